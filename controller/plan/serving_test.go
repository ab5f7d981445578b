package plan_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
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

// TestAClaimThatMayNotBeAnnouncedCountsForNothing: a Service that somebody writes with the
// address of another must not take it away from that one.
func TestAClaimThatMayNotBeAnnouncedCountsForNothing(t *testing.T) {
	addr := netip.MustParseAddr("203.0.113.1")
	snap, local := large()
	snap.Nodes = map[string]*snapshot.Node{"node-0": snap.Nodes["node-0"]}
	snap.Advertisements["default"] = advertisement("default", v1alpha1.AddressLoadBalancerIP, 32)
	snap.Advertisements["default"].Spec.Services.AddressTypes = append(snap.Advertisements["default"].Spec.Services.AddressTypes, v1alpha1.AddressExternalIP)
	rightful := &snapshot.Service{Namespace: "default", Name: "rightful", LoadBalancerIPs: []netip.Addr{addr}, ExternalLocal: true, HealthCheckNodePort: 30001}
	intruder := &snapshot.Service{Namespace: "default", Name: "intruder", ExternalIPs: []netip.Addr{addr}}
	at := func(service, node string) *snapshot.EndpointSlice {
		return &snapshot.EndpointSlice{Service: "default/" + service, Family: bgp.IPv4Unicast, Nodes: []snapshot.Endpoints{{Node: node, Ready: 1}}}
	}
	snap.Services = cow.Of(map[string]*snapshot.Service{"default/rightful": rightful, "default/intruder": intruder})
	snap.Slices = cow.Of(map[string]*snapshot.EndpointSlice{"a": at("rightful", "node-0"), "b": at("intruder", "node-9")})
	p := plan.Build(snap, local, nil)
	prefix := netip.PrefixFrom(addr, 32)
	if _, announced := p.Desired.Advertisements.Get(prefix); !announced {
		t.Errorf("not announced:\n%s", p)
	}
	if serving, _ := p.Serving(prefix); fmt.Sprint(serving.Ports) != "[30001]" {
		t.Errorf("ports %v", serving.Ports)
	}
	if elsewhere, _ := p.Elsewhere(prefix); !elsewhere {
		t.Error("it is no address of Local Services alone any more")
	}
	var refused []string
	for _, r := range p.Refusals {
		refused = append(refused, r.Object.Name+" "+r.Reason)
	}
	if got := fmt.Sprint(refused); got != "[default/intruder OutsideRanges]" {
		t.Errorf("refused %s", got)
	}
}

// TestManyServicesOfOneAddressAreNotAllNamed: a message of each that named all the others would
// be a hundred million names.
func TestManyServicesOfOneAddressAreNotAllNamed(t *testing.T) {
	snap, local := large()
	snap.Nodes = map[string]*snapshot.Node{"node-0": snap.Nodes["node-0"]}
	snap.Advertisements["default"] = advertisement("default", v1alpha1.AddressLoadBalancerIP, 32)
	services := map[string]*snapshot.Service{}
	for i := range 10000 {
		s := service(i)
		s.ExternalLocal, s.LoadBalancerIPs = true, []netip.Addr{netip.MustParseAddr("203.0.113.1")}
		services[s.Key()] = s
	}
	snap.Services = cow.Of(services)
	p := plan.Build(snap, local, nil)
	if len(p.Refusals) != 10000 {
		t.Fatalf("%d refusals", len(p.Refusals))
	}
	if message := p.Refusals[0].Message; !strings.Contains(message, " and 9992 more, which differ") || len(message) > 500 {
		t.Errorf("it says %s", message)
	}
}

// TestHandoverCountsAServiceOnce: one may have an address as two kinds, and one that has no
// endpoints any more has let go of it.
func TestHandoverCountsAServiceOnce(t *testing.T) {
	addr := netip.MustParseAddr("203.0.113.1")
	snap, local := large()
	snap.Nodes = map[string]*snapshot.Node{"node-0": snap.Nodes["node-0"]}
	ad := advertisement("default", v1alpha1.AddressLoadBalancerIP, 32)
	ad.Spec.Attributes.LinkBandwidth = v1alpha1.LinkBandwidthByLocalEndpoints
	ad.Spec.Services.AddressTypes = append(ad.Spec.Services.AddressTypes, v1alpha1.AddressExternalIP)
	ad.Spec.Services.ExternalIPRanges = []string{"203.0.113.0/24"}
	snap.Advertisements["default"] = ad
	both := &snapshot.Service{Namespace: "default", Name: "both", LoadBalancerIPs: []netip.Addr{addr}, ExternalIPs: []netip.Addr{addr}, ExternalLocal: true}
	ended := &snapshot.Service{Namespace: "default", Name: "ended", LoadBalancerIPs: []netip.Addr{addr}, ExternalLocal: true}
	snap.Services = cow.Of(map[string]*snapshot.Service{"default/both": both, "default/ended": ended})
	build := func(at ...snapshot.Endpoints) *plan.Plan {
		snap.Slices = cow.Of(map[string]*snapshot.EndpointSlice{"a": {Service: "default/both", Family: bgp.IPv4Unicast, Nodes: at}})
		return plan.Build(snap, local, nil)
	}
	prefix := netip.PrefixFrom(addr, 32)
	before, _ := build(snapshot.Endpoints{Node: "node-0", Ready: 2}).Desired.Advertisements.Get(prefix)
	p := build(snapshot.Endpoints{Node: "node-0", Draining: 2}, snapshot.Endpoints{Node: "node-9", Ready: 1})
	if said := p.Handover(prefix); before == nil || said == nil || !reflect.DeepEqual(*said, *before) {
		t.Errorf("handed over as %v, announced as %v", said, before)
	}
	if local, ready := p.Elsewhere(prefix); !local || !ready {
		t.Errorf("local %t, ready elsewhere %t", local, ready)
	}
}

// TestASpoiltPeerStillNeedsTheDefaultGateways: its last accepted form is at work.
func TestASpoiltPeerStillNeedsTheDefaultGateways(t *testing.T) {
	snap, local := large()
	peer := *snap.Peers["tor-0"]
	peer.Spec.Address, peer.Spec.DefaultGateway = "", &v1alpha1.DefaultGateway{Family: v1alpha1.IPv4}
	snap.Peers = map[string]*v1alpha1.BGPPeer{"tor-0": &peer}
	local.Gateways = []plan.Gateway{{Addr: netip.MustParseAddr("192.0.2.1"), Link: 2}}
	p := plan.Build(snap, local, nil)
	spoilt, next := peer, *snap
	spoilt.Spec.DefaultGateway = nil
	next.Peers = map[string]*v1alpha1.BGPPeer{"tor-0": &spoilt}
	if !plan.NeedsOf(snap, nil).Gateways || plan.NeedsOf(&next, nil).Gateways || !plan.NeedsOf(&next, p).Gateways {
		t.Error("the default gateways are needed by the object as it is and as it was accepted, and by nothing else")
	}
	if p = plan.Build(&next, local, p); len(p.Desired.Peers) != 1 {
		t.Errorf("%d sessions:\n%s", len(p.Desired.Peers), p)
	}
	if fallen := (&snapshot.Snapshot{Fallback: snap}); !plan.NeedsOf(fallen, nil).Gateways {
		t.Error("what an earlier process accepted counts too")
	}
}
