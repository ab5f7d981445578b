package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/lab"
)

// mayEverything grants two accounts more than rbac.yaml does, to show that what is refused is
// refused by the policy.
const mayEverything = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: other, namespace: fairway-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: may-everything}
rules: [{apiGroups: [bgp.fairway.dev], resources: [bgpnodestates, bgpnodestates/status], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: may-everything}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: may-everything}
subjects:
  - {kind: ServiceAccount, name: fairway-agent, namespace: fairway-system}
  - {kind: ServiceAccount, name: other, namespace: fairway-system}
`

// write is one way to write a BGPNodeState.
type write struct {
	verb string
	do   func(ctx context.Context, c *client.NodeStates, node string) error
}

var writes = []write{
	{"create", func(ctx context.Context, c *client.NodeStates, node string) error {
		_, err := c.Create(ctx, &v1alpha1.BGPNodeState{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
		return err
	}},
	{"update", func(ctx context.Context, c *client.NodeStates, node string) error {
		state, err := c.Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		metav1.SetMetaDataLabel(&state.ObjectMeta, "updated", "yes")
		_, err = c.Update(ctx, state, metav1.UpdateOptions{})
		return err
	}},
	{"update the status", func(ctx context.Context, c *client.NodeStates, node string) error {
		state, err := c.Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		state.Status.SoftwareVersion += "x"
		_, err = c.UpdateStatus(ctx, state, metav1.UpdateOptions{})
		return err
	}},
	{"patch", func(ctx context.Context, c *client.NodeStates, node string) error {
		_, err := c.Patch(ctx, node, types.MergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}}}`), metav1.PatchOptions{})
		return err
	}},
	{"patch the status", func(ctx context.Context, c *client.NodeStates, node string) error {
		_, err := c.Patch(ctx, node, types.MergePatchType, []byte(`{"status":{"softwareVersion":"patched"}}`), metav1.PatchOptions{}, "status")
		return err
	}},
	{"delete", func(ctx context.Context, c *client.NodeStates, node string) error {
		return c.Delete(ctx, node, metav1.DeleteOptions{})
	}},
}

// stage is a control plane with the agent's rights, two nodes and an agent's pod on node-1.
type stage struct {
	*controlplane.ControlPlane
	t               *testing.T
	agent, unbound  *client.NodeStates // of the agent on node-1; of its account without a pod
	other, operator *client.NodeStates // of another account; of who may do everything
}

func raise(t *testing.T) *stage {
	t.Helper()
	s := &stage{ControlPlane: controlplane.Start(t, controlplane.Options{}), t: t}
	ctx := t.Context()
	if err := s.ApplyCRDs(ctx, crds); err != nil {
		t.Fatal(err)
	}
	for _, manifests := range [][]byte{read(t, base+"/namespace.yaml"), read(t, base+"/rbac.yaml"), []byte(mayEverything)} {
		if err := s.Apply(ctx, manifests); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"node-1", "node-2"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := s.Client().CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "agent", Namespace: namespace},
		Spec: corev1.PodSpec{
			NodeName: "node-1", ServiceAccountName: "fairway-agent",
			Containers: []corev1.Container{{Name: "agent", Image: "fairway"}},
		},
	}
	if _, err := s.Client().CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.agent = s.states(s.KubeconfigForPod(ctx, namespace, "agent"))
	s.unbound = s.states(s.KubeconfigForServiceAccount(ctx, namespace, "fairway-agent"))
	s.other = s.states(s.KubeconfigForServiceAccount(ctx, namespace, "other"))
	s.operator = s.states(s.Kubeconfig())
	return s
}

func (s *stage) states(kubeconfig string) *client.NodeStates {
	s.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := client.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return c.BGPNodeStates()
}

// eventually waits for what reaches the server's admission and authorizer through a watch.
func (s *stage) eventually(what string, check func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	if err := lab.Until(ctx, func() error { return check(ctx) }); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// all does every write of a node's object, in order, up to the first that fails.
func (s *stage) all(c *client.NodeStates, node string) error {
	for _, w := range writes {
		if err := w.do(s.t.Context(), c, node); err != nil {
			return fmt.Errorf("%s: %w", w.verb, err)
		}
	}
	return nil
}

// refuses demands that the policy refuses every write, with these words.
func (s *stage) refuses(c *client.NodeStates, node string, words ...string) {
	s.t.Helper()
	for _, w := range writes {
		if w.verb == "create" {
			if err := s.operator.Delete(s.t.Context(), node, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				s.t.Fatal(err)
			}
		} else if err := writes[0].do(s.t.Context(), s.operator, node); err != nil && !apierrors.IsAlreadyExists(err) {
			s.t.Fatal(err)
		}
		err := w.do(s.t.Context(), c, node)
		if !apierrors.IsForbidden(err) {
			s.t.Errorf("%s of BGPNodeState %s: %v, want that it is forbidden", w.verb, node, err)
			continue
		}
		for _, word := range append(words, "fairway-agent-own-node") {
			if !strings.Contains(err.Error(), word) {
				s.t.Errorf("%s of BGPNodeState %s: the refusal does not say %q: %v", w.verb, node, word, err)
			}
		}
	}
}

func TestEachAgentWritesTheStateOfItsOwnNodeAlone(t *testing.T) {
	s := raise(t)

	t.Log("without the policy it may write that of another, so that what follows can fail")
	for _, c := range []*client.NodeStates{s.agent, s.unbound, s.other} {
		s.eventually("its rights", func(ctx context.Context) error {
			if err := c.Delete(ctx, "nowhere", metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
				return err
			}
			return nil
		})
		if err := s.all(c, "node-2"); err != nil {
			t.Error(err)
		}
	}

	t.Log("with it, its own")
	if err := s.Apply(t.Context(), read(t, base+"/admission.yaml")); err != nil {
		t.Fatal(err)
	}
	s.eventually("the policy", func(ctx context.Context) error {
		foreign := &v1alpha1.BGPNodeState{ObjectMeta: metav1.ObjectMeta{Name: "node-2"}}
		_, err := s.agent.Create(ctx, foreign, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("a foreign write is not refused")
		}
		return nil
	})
	if err := s.all(s.agent, "node-1"); err != nil {
		t.Errorf("its own: %v", err)
	}

	t.Log("and no other; without a pod, none; whom it does not concern, all")
	s.refuses(s.agent, "node-2", "the agent on node node-1 may write BGPNodeState node-1 only, not node-2")
	s.refuses(s.unbound, "node-1", "names no node", "kubectl create token --bound-object-kind=Pod")
	for _, c := range []*client.NodeStates{s.other, s.operator} {
		if err := s.operator.Delete(t.Context(), "node-2", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		if err := s.all(c, "node-2"); err != nil {
			t.Errorf("somebody else's write: %v", err)
		}
	}
}
