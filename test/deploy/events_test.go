package deploy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/tools/clientcmd"
)

const ourController = "bgp.fairway.dev/agent"

// events is a client of Events with these rights.
func (s *stage) events(kubeconfig string) eventsclient.EventInterface {
	s.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := eventsclient.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return c.Events("default")
}

func eventBy(name, controller, instance string) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, EventTime: metav1.NewMicroTime(time.Unix(1, 0)),
		ReportingController: controller, ReportingInstance: instance, Action: "Test", Reason: "Test", Type: "Normal",
		Regarding: corev1.ObjectReference{Kind: "Service", Namespace: "default", Name: "web"},
	}
}

func TestEachAgentWritesItsOwnEventsAlone(t *testing.T) {
	s := raise(t)
	agent := s.events(s.KubeconfigForPod(t.Context(), namespace, "agent"))
	unbound := s.events(s.KubeconfigForServiceAccount(t.Context(), namespace, "fairway-agent"))
	operator := s.events(s.Kubeconfig())
	publish := func(c eventsclient.EventInterface, e *eventsv1.Event) error {
		_, err := c.Create(t.Context(), e, metav1.CreateOptions{})
		return err
	}
	patch := func(c eventsclient.EventInterface, name, text string) error {
		_, err := c.Patch(t.Context(), name, types.MergePatchType, []byte(text), metav1.PatchOptions{})
		return err
	}
	const count = `{"series":{"count":2,"lastObservedTime":"2026-01-01T00:00:00.000000Z"}}`
	for _, e := range []*eventsv1.Event{eventBy("foreign", "kubelet", "node-1"), eventBy("shared", ourController, "node-2")} {
		if err := publish(operator, e); err != nil {
			t.Fatal(err)
		}
	}

	t.Log("without the policy it may write those of others, so that what follows can fail")
	s.eventually("its rights", func(context.Context) error { return patch(agent, "foreign", count) })
	for _, e := range []*eventsv1.Event{eventBy("one", "kubelet", "node-1"), eventBy("two", ourController, "node-2")} {
		if err := publish(agent, e); err != nil {
			t.Error(err)
		}
	}

	t.Log("with it, its own, and it counts what another agent has published")
	if err := s.Apply(t.Context(), read(t, base+"/admission.yaml")); err != nil {
		t.Fatal(err)
	}
	s.eventually("the policy", func(ctx context.Context) error {
		_, err := agent.Create(ctx, eventBy("probe", "kubelet", "node-1"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("a foreign write is not refused")
		}
		return nil
	})
	for what, err := range map[string]error{
		"its own": publish(agent, eventBy("own", ourController, "node-1")), "counting its own": patch(agent, "own", count),
		"counting another agent's": patch(agent, "shared", count), "somebody else's write": publish(operator, eventBy("other", "kubelet", "node-1")),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}

	t.Log("and no other")
	for what, err := range map[string]error{
		"publishing as another":  publish(agent, eventBy("three", "kubelet", "node-1")),
		"publishing as a node":   publish(agent, eventBy("four", ourController, "node-2")),
		"without a pod":          publish(unbound, eventBy("five", ourController, "node-1")),
		"changing a foreign one": patch(agent, "foreign", count),
	} {
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "fairway-agent-own-events") {
			t.Errorf("%s: %v, want that the policy forbids it", what, err)
		}
	}
}
