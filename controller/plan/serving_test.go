package plan_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// TestServing has addresses that Services have alone or share, with endpoints here, about to end
// here, or elsewhere.
func TestServing(t *testing.T) {
	snap, local := large()
	snap.Nodes = map[string]*snapshot.Node{"node-0": snap.Nodes["node-0"]}
	snap.Advertisements["default"] = advertisement("default", v1alpha1.AddressLoadBalancerIP, 29)
	services, endpoints := map[string]*snapshot.Service{}, map[string]*snapshot.EndpointSlice{}
	add := func(addr string, localPolicy bool, port uint16, at snapshot.Endpoints) {
		s := &snapshot.Service{Namespace: "default", Name: fmt.Sprint(len(services)), LoadBalancerIPs: []netip.Addr{netip.MustParseAddr(addr)},
			ExternalLocal: localPolicy, HealthCheckNodePort: port}
		services[s.Key()] = s
		endpoints[s.Key()] = &snapshot.EndpointSlice{Service: s.Key(), Family: bgp.IPv4Unicast, Nodes: []snapshot.Endpoints{at}}
	}
	here, draining, there := snapshot.Endpoints{Node: "node-0", Ready: 1}, snapshot.Endpoints{Node: "node-0", Draining: 1}, snapshot.Endpoints{Node: "node-9", Ready: 1}
	add("203.0.113.1", true, 30001, here) // one that is shared, and needs both
	add("203.0.113.1", true, 30002, here)
	add("203.0.113.2", true, 30003, draining)
	add("203.0.113.9", true, 30004, here)
	add("203.0.113.10", true, 30005, here)
	add("203.0.113.11", true, 30006, there)
	add("203.0.113.17", true, 30007, here)
	add("203.0.113.18", false, 0, there)
	add("203.0.113.25", true, 0, here) // which has been given no port
	snap.Services, snap.Slices = cow.Of(services), cow.Of(endpoints)
	p := plan.Build(snap, local, nil)
	for _, tt := range []struct{ prefix, want string }{
		{snap.Nodes["node-0"].PodCIDRs[0].String(), "no Service"},
		{"203.0.113.1/32", "[30001 30002] false"},
		{"203.0.113.2/32", "[] false"},
		{"203.0.113.9/32", "[30004] false"},
		{"203.0.113.25/32", "[] false"},
		{"203.0.113.0/29", "[] false"}, // holds one whose endpoints are about to end
		{"203.0.113.8/29", "[30004 30005] true"},
		{"203.0.113.16/29", "[] false"}, // holds one that any node serves
	} {
		prefix := netip.MustParsePrefix(tt.prefix)
		if _, said := p.Desired.Advertisements.Get(prefix); !said {
			t.Errorf("%s is not to be announced", prefix)
		}
		serving, isService := p.Serving(prefix)
		got := "no Service"
		if isService {
			got = fmt.Sprint(serving.Ports, serving.Any)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", prefix, got, tt.want)
		}
	}
	for prefix, want := range map[string]bool{"10.1.2.0/24": true, "10.0.0.0/8": true, "0.0.0.0/0": false, "203.0.113.0/24": false} {
		if got := p.OfPods(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("%s is of pods: %t", prefix, got)
		}
	}
	if p.SaysClusterIPs() {
		t.Error("no ClusterIP is said")
	}
}
