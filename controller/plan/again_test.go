package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// TestAPlanMadeAgainIsTheWholePlan changes Services and EndpointSlices at random, shared and aggregated
// addresses, unreadable ones and pod CIDRs among them, and demands that the plan made from the last one is what a
// whole Build gives, and counts as much.
func TestAPlanMadeAgainIsTheWholePlan(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	snap, local := large()
	snap.Nodes = map[string]*snapshot.Node{"node-0": snap.Nodes["node-0"]}
	snap.Nodes["node-0"].PodCIDRs = append(snap.Nodes["node-0"].PodCIDRs, netip.MustParsePrefix("172.16.0.3/32"))
	for _, ad := range []*v1alpha1.BGPAdvertisement{
		advertisement("aggregated", v1alpha1.AddressLoadBalancerIP, 28), advertisement("plain", v1alpha1.AddressLoadBalancerIP, 32),
	} {
		ad.Spec.Attributes.LinkBandwidth = v1alpha1.LinkBandwidthByLocalEndpoints
		med := int64(5)
		ad.Spec.Attributes.MED = &med
		ad.Spec.Services.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"ad": ad.Name}}
		snap.Advertisements[ad.Name] = ad
	}
	both := advertisement("both", v1alpha1.AddressLoadBalancerIP, 32) // which alone has another MED
	both.Spec.PodCIDRs, both.Spec.Attributes.MED = nil, new(int64)
	both.Spec.Services.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"med": "0"}}
	snap.Advertisements[both.Name] = both
	snap.Services, snap.Slices = snapshot.Services{}, cow.Map[string, *snapshot.EndpointSlice]{}
	p, overridden := plan.Build(snap, local, nil), 0
	for step := range 2000 {
		next, services, moved := *snap, snap.Services.Edit(), snap.Slices.Edit()
		for range 1 + r.IntN(3) {
			name := fmt.Sprintf("service-%d", r.IntN(30))
			switch r.IntN(6) {
			case 0:
				services.Delete("default/" + name)
			case 1:
				services.Set("default/"+name, &snapshot.Service{Namespace: "default", Name: name, Problems: []string{"unreadable"}})
			case 2:
				moved.Delete(fmt.Sprintf("default/slice-%d", r.IntN(40)))
			case 3:
				moved.Set(fmt.Sprintf("default/slice-%d", r.IntN(40)), randomSlice(r, "default/"+name))
			default:
				services.Set("default/"+name, randomService(r, name))
			}
		}
		next.Services, next.Slices = services.Map(), moved.Map()
		snap = &next
		p = plan.Build(snap, local, p)
		whole := plan.Build(snap, local, nil)
		if strings.Contains(whole.String(), plan.ReasonOverridden) {
			overridden++
		}
		if got, want := p.String(), whole.String(); got != want {
			t.Fatalf("step %d: made again\n%s\nwhole\n%s", step, got, want)
		}
		up := func(string) bool { return true }
		if got, want := fmt.Sprint(p.Said(up, nil)), fmt.Sprint(whole.Said(up, nil)); got != want {
			t.Fatalf("step %d: made again, it says %v; whole, %v", step, got, want)
		}
	}
	if overridden < 20 || overridden > 1900 {
		t.Errorf("an attribute was overridden in %d steps: it comes and goes too seldom to try anything", overridden)
	}
}

// TestAnObjectThatCannotBeReadIsNotAccepted: its last readable form stays at work.
func TestAnObjectThatCannotBeReadIsNotAccepted(t *testing.T) {
	snap, local := large()
	p := plan.Build(snap, local, nil)
	spoilt := *snap
	spoilt.Unreadable = []snapshot.Unreadable{{Kind: "BGPPeer", Name: "tor-0", Message: "asn must be a number"}}
	var lines []string
	for _, s := range []*snapshot.Snapshot{&spoilt, snap} {
		p = plan.Build(s, local, p)
		for line := range strings.Lines(p.String()) {
			if strings.HasPrefix(line, "peer ") || strings.HasPrefix(line, "not accepted") {
				lines = append(lines, strings.Join(strings.Fields(line)[:3], " "))
			}
		}
		for _, v := range p.Verdicts {
			if v.Object.Name == "tor-0" {
				lines = append(lines, v.Reason)
			}
		}
	}
	got := strings.Join(lines, "; ")
	want := "peer tor-0/192.0.2.1 asn; peer tor-1/192.0.2.2 asn; not accepted BGPPeer/tor-0; Invalid; peer tor-0/192.0.2.1 asn; peer tor-1/192.0.2.2 asn; Accepted"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// randomService has addresses that others have as well, those of nodes and outside the ranges
// among them, and any policies.
func randomService(r *rand.Rand, name string) *snapshot.Service {
	s := service(r.IntN(10))
	s.Name, s.Labels = name, snapshot.LabelsFrom(map[string]string{"ad": []string{"aggregated", "plain", "none"}[r.IntN(3)], "med": fmt.Sprint(r.IntN(4))})
	s.InternalLocal, s.ExternalLocal = r.IntN(4) == 0, r.IntN(2) == 0
	if r.IntN(2) == 0 {
		s.LoadBalancerIPs = []netip.Addr{
			netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(40))}),
			netip.AddrFrom4([4]byte{192, 0, 2, byte(8 + r.IntN(4))}),
		}
	}
	return s
}

func randomSlice(r *rand.Rand, service string) *snapshot.EndpointSlice {
	s := &snapshot.EndpointSlice{Service: service, Family: bgp.Family(1 + r.IntN(2))}
	for _, node := range []string{"", "node-0", "node-1", "node-2"} {
		if n := (snapshot.Endpoints{Node: node, Ready: r.Int32N(4), Draining: r.Int32N(2)}); n.Ready+n.Draining > 0 {
			s.Nodes = append(s.Nodes, n)
		}
	}
	return s
}

// TestAPlanMadeAgainKnowsWhereTheAPIServerIs: what is learned must not lead away from it.
func TestAPlanMadeAgainKnowsWhereTheAPIServerIs(t *testing.T) {
	snap, local := large()
	p := plan.Build(snap, local, nil)
	prefix := bgp.RIBChange{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Paths: []bgp.Path{{Peer: "tor-0/192.0.2.1", NextHop: netip.MustParseAddr("192.0.2.1")}}}
	if d := p.Importer.Decide(prefix, nil); d.Route == nil {
		t.Fatalf("before it is there: %v", d.Refusals)
	}
	next := *snap
	next.APIServers = []netip.Addr{netip.MustParseAddr("203.0.113.6")}
	p = plan.Build(&next, local, p)
	if d := p.Importer.Decide(prefix, nil); d.Route != nil || len(d.Refusals) != 1 || d.Refusals[0].Reason != plan.ReasonCoversHost {
		t.Errorf("once it is there: %v, %v", d.Route, d.Refusals)
	}
}

// TestAPlanMadeTwiceFromTheSameLastOneIsTheSame: what a plan shares with the last one must not
// change the last one.
func TestAPlanMadeTwiceFromTheSameLastOneIsTheSame(t *testing.T) {
	snap, local := large()
	last := plan.Build(snap, local, nil)
	text := last.String()
	for i := range 3 {
		next, services := *snap, snap.Services.Edit()
		theirs := service(7)
		theirs.Name = "service-1"
		services.Set("default/service-1", theirs)
		services.Delete("default/service-2")
		services.Delete("default/service-7")
		next.Services = services.Map()
		if got, want := plan.Build(&next, local, last).String(), plan.Build(&next, local, nil).String(); got != want {
			t.Errorf("made from the last plan the time %d, it differs from the whole", i+1)
		}
	}
	if last.String() != text {
		t.Error("the last plan has changed")
	}
}
