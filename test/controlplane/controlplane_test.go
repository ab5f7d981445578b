package controlplane

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-bgp/fairway/test/controlplane/binaries"
)

// TestControlPlane shares one control plane, as each takes seconds to start.
func TestControlPlane(t *testing.T) {
	cp := Start(t, Options{})
	for name, test := range map[string]func(*testing.T, *ControlPlane){
		"answers and reports its release and start time":      testRelease,
		"gives Services addresses of both families":           testDualStackService,
		"refuses a restricted kubeconfig what RBAC withholds": testRestrictedKubeconfig,
		"keeps a node's user away from another node":          testNodeUser,
		"comes back after an outage with its data":            testOutage,
		"refuses a port that is taken, and says so":           testPortInUse,
	} {
		t.Run(name, func(t *testing.T) { test(t, cp) })
	}
}

func testRelease(t *testing.T, cp *ControlPlane) {
	ctx := t.Context()

	body, err := cp.Client().Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if err != nil || string(body) != "ok" {
		t.Errorf("/readyz: %q, %v", body, err)
	}
	want, err := binaries.Version()
	if err != nil {
		t.Fatal(err)
	}
	got, err := cp.Client().Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if got.GitVersion != want || got.Major != "1" || got.Minor == "" {
		t.Errorf("server reports %+v, want %s", got, want)
	}
	if cp.ReadyAfter() <= 0 {
		t.Errorf("ReadyAfter is %v", cp.ReadyAfter())
	}
	t.Logf("etcd and kube-apiserver were ready after %v", cp.ReadyAfter().Round(time.Millisecond))
}

func testDualStackService(t *testing.T, cp *ControlPlane) {
	policy := corev1.IPFamilyPolicyRequireDualStack
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{IPFamilyPolicy: &policy, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	created, err := cp.Client().CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(created.Spec.ClusterIPs) != 2 {
		t.Errorf("cluster IPs are %v, want one of each family", created.Spec.ClusterIPs)
	}
}

func testOutage(t *testing.T, cp *ControlPlane) {
	ctx := t.Context()
	address := cp.Address()
	keep := []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: keep, namespace: default}\ndata: {a: b}\n")
	if err := cp.Apply(ctx, keep); err != nil {
		t.Fatal(err)
	}

	cp.StopAPIServer()
	if _, err := getKept(ctx, cp.Client()); err == nil {
		t.Fatal("the API server answers although it was stopped")
	}

	cp.StartAPIServer()
	kept, err := getKept(ctx, cp.Client())
	if err != nil {
		t.Fatal(err)
	}
	if kept.Data["a"] != "b" {
		t.Errorf("the object came back as %v", kept.Data)
	}
	if cp.Address() != address {
		t.Errorf("it came back at %s, was at %s", cp.Address(), address)
	}
}

func getKept(ctx context.Context, client kubernetes.Interface) (*corev1.ConfigMap, error) {
	return client.CoreV1().ConfigMaps("default").Get(ctx, "keep", metav1.GetOptions{})
}

func testPortInUse(t *testing.T, cp *ControlPlane) {
	second := &ControlPlane{tb: t, etcdBinary: cp.etcdBinary, apiserverBinary: cp.apiserverBinary, opts: Options{Port: cp.Address().Port()}.withDefaults()}
	t.Cleanup(second.stop)
	if err := second.start(t.Context()); !errors.Is(err, errAddressInUse) {
		t.Errorf("starting a second server at %s: %v, want address in use", cp.Address(), err)
	}
	if err := cp.ready(t.Context()); err != nil {
		t.Errorf("the first no longer answers: %v", err)
	}
}

func TestTwoControlPlanesSideBySideDoNotShareAnything(t *testing.T) {
	one, two := Start(t, Options{}), Start(t, Options{})
	ctx := t.Context()
	if err := one.Apply(ctx, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: keep}\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := getKept(ctx, one.Client()); err != nil {
		t.Errorf("the first lacks what was written to it: %v", err)
	}
	if _, err := getKept(ctx, two.Client()); !apierrors.IsNotFound(err) {
		t.Errorf("the second answers %v about an object of the first, want not found", err)
	}
	config := one.RESTConfig()
	config.Host = two.RESTConfig().Host
	stranger := kubernetes.NewForConfigOrDie(config)
	if _, err := getKept(ctx, stranger); err == nil || apierrors.IsNotFound(err) {
		t.Errorf("the second lets in a client of the first: %v", err)
	}
}

const readerRole = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [services], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects:
- {kind: ServiceAccount, name: reader, namespace: default}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: jane}
`

func testRestrictedKubeconfig(t *testing.T, cp *ControlPlane) {
	ctx := t.Context()
	if err := cp.Apply(ctx, []byte(readerRole)); err != nil {
		t.Fatal(err)
	}
	for who, kubeconfig := range map[string]string{
		"service account": cp.KubeconfigForServiceAccount(ctx, "default", "reader"),
		"user":            cp.KubeconfigForUser("jane"),
	} {
		client := clientFrom(t, kubeconfig)
		eventually(t, who+" may list services", func() bool { // RBAC reads roles through a cache
			_, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
			return err == nil
		})
		if _, err := client.CoreV1().Secrets("").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s lists secrets: %v, want forbidden", who, err)
		}
		if err := client.CoreV1().Services("default").Delete(ctx, "kubernetes", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s deletes a service: %v, want forbidden", who, err)
		}
	}
}

func testNodeUser(t *testing.T, cp *ControlPlane) {
	ctx := t.Context()
	for _, name := range []string{"one", "two"} {
		if err := cp.Apply(ctx, []byte("apiVersion: v1\nkind: Node\nmetadata: {name: "+name+"}\n")); err != nil {
			t.Fatal(err)
		}
	}
	kubelet := clientFrom(t, cp.KubeconfigForUser("system:node:one", "system:nodes"))
	patch := []byte(`{"metadata":{"labels":{"seen":"yes"}}}`)
	write := func(node string) error {
		_, err := kubelet.CoreV1().Nodes().Patch(ctx, node, "application/merge-patch+json", patch, metav1.PatchOptions{})
		return err
	}
	eventually(t, "node one writes itself", func() bool { return write("one") == nil })
	if err := write("two"); !apierrors.IsForbidden(err) {
		t.Errorf("node one writes node two: %v, want forbidden", err)
	}
}

func clientFrom(t *testing.T, kubeconfig string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return kubernetes.NewForConfigOrDie(config)
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !check() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s in vain until %s", what)
		}
		time.Sleep(poll)
	}
}

func TestAControlPlaneBeginsWithWhatAnotherHasSaved(t *testing.T) {
	requireEtcd(t)
	ctx, saved := t.Context(), filepath.Join(t.TempDir(), "saved")
	first := open(t, Options{})
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "keep"}, Data: map[string]string{"a": "b"}}
	if _, err := first.Client().CoreV1().ConfigMaps("default").Create(ctx, object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := first.Save(ctx, saved); err != nil {
		t.Fatal(err)
	}
	for name, cp := range map[string]*ControlPlane{"the one that saved": first, "one that begins with it": open(t, Options{Data: saved})} {
		if kept, err := getKept(ctx, cp.Client()); err != nil || kept.Data["a"] != "b" {
			t.Errorf("%s has %v (%v)", name, kept, err)
		}
	}
}

// open is Open for a test.
func open(t *testing.T, opts Options) *ControlPlane {
	t.Helper()
	cp, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Close(); err != nil {
			t.Error(err)
		}
	})
	return cp
}
