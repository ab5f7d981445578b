package snapshot

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// For a Service with publishNotReadyAddresses the endpoint-slice controller writes that pods are
// ready that are not, and those that end, too; serving goes on to say how they are. Without it the same
// pods are not ready.
func TestPublishNotReadyAddressesCountsAsTheSliceSays(t *testing.T) {
	yes, no, node := true, false, "node-1"
	slice := func(ready *bool) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.244.1.2"}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: ready, Serving: &no, Terminating: &no}},
				{Addresses: []string{"10.244.1.3"}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: ready, Serving: &yes, Terminating: &yes}},
			},
		}
	}
	for _, tt := range []struct {
		what  string
		ready *bool
		want  []Endpoints
	}{
		{"with publishNotReadyAddresses", &yes, []Endpoints{{Node: node, Ready: 2}}},
		{"without", &no, []Endpoints{{Node: node, Draining: 1}}},
	} {
		if got := SliceFrom(slice(tt.ready)).Nodes; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s the endpoints are %+v, want %+v", tt.what, got, tt.want)
		}
	}
}

// What no service proxy serves must draw no traffic.
func TestHeadlessServicesHaveNoAddress(t *testing.T) {
	for clusterIP, want := range map[string]bool{corev1.ClusterIPNone: false, "10.96.0.10": true} {
		in := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: clusterIP, ClusterIPs: []string{clusterIP}, ExternalIPs: []string{"203.0.113.10"},
		}}
		if got := ServiceFrom(in); (got != nil) != want {
			t.Errorf("with the cluster IP %s: %+v", clusterIP, got)
		}
	}
}
