package schema

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/test/controlplane"
)

// The largest status that an agent writes must fit into the schema and into etcd.
func TestServerTakesTheLargestStatusOfANode(t *testing.T) {
	cp := controlplane.Start(t, controlplane.Options{})
	if err := cp.ApplyCRDs(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
	objects, err := dynamic.NewForConfig(cp.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	states := objects.Resource(v1alpha1.SchemeGroupVersion.WithResource(v1alpha1.ResourceBGPNodeStates))
	strict := metav1.FieldValidationStrict

	state := &v1alpha1.BGPNodeState{Status: largestStatus()}
	state.APIVersion, state.Kind, state.Name = v1alpha1.SchemeGroupVersion.String(), v1alpha1.KindBGPNodeState, "node-a"
	made, err := states.Create(t.Context(), fields(t, state), metav1.CreateOptions{FieldValidation: strict})
	if err != nil {
		t.Fatal(err)
	}
	state.ResourceVersion = made.GetResourceVersion()
	written, err := states.UpdateStatus(t.Context(), fields(t, state), metav1.UpdateOptions{FieldValidation: strict})
	if err != nil {
		t.Fatal(err)
	}

	state.ResourceVersion = written.GetResourceVersion()
	state.Status.Sessions = append(state.Status.Sessions, v1alpha1.SessionStatus{Peer: "one-more", Address: "192.0.2.1", State: v1alpha1.SessionIdle})
	_, err = states.UpdateStatus(t.Context(), fields(t, state), metav1.UpdateOptions{FieldValidation: strict})
	if err == nil || !strings.Contains(err.Error(), "status.sessions: Too many") {
		t.Errorf("one session more: got %v, want Too many", err)
	}
}

func fields(t *testing.T, state *v1alpha1.BGPNodeState) *unstructured.Unstructured {
	t.Helper()
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(state)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: out}
}

// largestStatus has more of everything than there is room for, cut to what there is.
func largestStatus() v1alpha1.BGPNodeStateStatus {
	const many = 300
	text := strings.Repeat("x", 2*v1alpha1.MaxMessageLength)
	now := metav1.Now()
	var status v1alpha1.BGPNodeStateStatus
	var reasons []v1alpha1.RefusedCount
	var capabilities []string
	for i := range many {
		reasons = append(reasons, v1alpha1.RefusedCount{Reason: fmt.Sprintf("ReasonOfUsualLength%d", i), Count: 1})
		capabilities = append(capabilities, fmt.Sprintf("capability-of-usual-length-%d", i))
	}
	for i := range many {
		status.Sessions = append(status.Sessions, v1alpha1.SessionStatus{
			Peer: fmt.Sprintf("peer-%d", i), Address: "2001:db8::1", ASN: 4294967294,
			State: v1alpha1.SessionEstablished, Since: &now, LastError: text, HoldTimeSeconds: 65535,
			Capabilities: capabilities, BFDState: v1alpha1.BFDUp,
			Families: []v1alpha1.FamilyStatus{
				{Family: v1alpha1.IPv4Unicast, Received: 1, Rejected: reasons},
				{Family: v1alpha1.IPv6Unicast, Received: 1, Rejected: reasons},
			},
		})
		status.Routes.Failed = append(status.Routes.Failed, v1alpha1.FailedRoute{Prefix: fmt.Sprintf("2001:db8:%x::/48", i), Reason: text})
		status.Advertisements = append(status.Advertisements, v1alpha1.AdvertisedState{
			Name: fmt.Sprintf("advertisement-%d", i), Source: v1alpha1.AdvertisedFromServices, Rejected: reasons,
		})
		status.Problems = append(status.Problems, v1alpha1.Problem{Kind: v1alpha1.KindBGPPeer, Name: "tor", Reason: "Invalid", Message: text})
	}
	status.Routes.Refused = reasons
	status.Truncate()
	return status
}
