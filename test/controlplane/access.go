package controlplane

import (
	"context"
	"fmt"
	"os"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// KubeconfigForUser is the path of a kubeconfig file of the user called name in
// groups. The user may do what RBAC grants it, which at first is nothing but
// discovery; in the group system:nodes, what a kubelet may.
func (cp *ControlPlane) KubeconfigForUser(name string, groups ...string) string {
	cp.tb.Helper()
	path, err := cp.userKubeconfig(name, groups...)
	if err != nil {
		cp.tb.Fatal(err)
	}
	return path
}

// KubeconfigForServiceAccount is the path of a kubeconfig file with a token of
// a service account that exists, valid for a day and bound to nothing.
func (cp *ControlPlane) KubeconfigForServiceAccount(ctx context.Context, namespace, name string) string {
	cp.tb.Helper()
	return cp.kubeconfigForToken(ctx, namespace, name, nil)
}

// TokenKubeconfig is KubeconfigForServiceAccount with an error in place of a failed test.
func (cp *ControlPlane) TokenKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	return cp.tokenKubeconfig(ctx, namespace, name, nil)
}

// KubeconfigForPod is the path of a kubeconfig file with a token such as a kubelet
// mounts into a Pod that exists, for the Pod's service account. The server tells the
// Pod's node by it.
func (cp *ControlPlane) KubeconfigForPod(ctx context.Context, namespace, name string) string {
	cp.tb.Helper()
	pod, err := cp.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		cp.tb.Fatalf("token of Pod %s/%s: %v", namespace, name, err)
	}
	bound := &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: name, UID: pod.UID}
	return cp.kubeconfigForToken(ctx, namespace, pod.Spec.ServiceAccountName, bound)
}

func (cp *ControlPlane) kubeconfigForToken(ctx context.Context, namespace, name string, bound *authenticationv1.BoundObjectReference) string {
	cp.tb.Helper()
	path, err := cp.tokenKubeconfig(ctx, namespace, name, bound)
	if err != nil {
		cp.tb.Fatal(err)
	}
	return path
}

func (cp *ControlPlane) tokenKubeconfig(ctx context.Context, namespace, name string, bound *authenticationv1.BoundObjectReference) (string, error) {
	seconds := int64((24 * time.Hour).Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds, BoundObjectRef: bound}}
	token, err := cp.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token of service account %s/%s: %w", namespace, name, err)
	}
	return cp.writeKubeconfig(&clientcmdapi.AuthInfo{Token: token.Status.Token})
}

func (cp *ControlPlane) userKubeconfig(name string, groups ...string) (string, error) {
	cert, key, err := cp.pki.user(name, groups...)
	if err != nil {
		return "", fmt.Errorf("certificate of %s: %w", name, err)
	}
	return cp.writeKubeconfig(&clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key})
}

func (cp *ControlPlane) writeKubeconfig(who *clientcmdapi.AuthInfo) (string, error) {
	const name = "test"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   "https://" + cp.address.String(),
		CertificateAuthorityData: cp.pki.pem,
	}
	config.AuthInfos[name] = who
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	file, err := os.CreateTemp(cp.dir.path, "kubeconfig-*.yaml")
	if err != nil {
		return "", err
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	return file.Name(), clientcmd.WriteToFile(*config, file.Name())
}

// makeClients makes the administrator's clients for a server at cp.address.
func (cp *ControlPlane) makeClients() error {
	var err error
	if cp.admin, err = cp.userKubeconfig("fairway-test", "system:masters"); err != nil {
		return err
	}
	if cp.config, err = clientcmd.BuildConfigFromFlags("", cp.admin); err != nil {
		return err
	}
	cp.config.QPS = -1
	cp.config.Dial = cp.opts.Dial
	cp.config.WarningHandler = rest.NoWarnings{}
	if cp.client, err = kubernetes.NewForConfig(cp.config); err != nil {
		return err
	}
	cp.objects, err = newObjects(cp.config)
	return err
}
