package controller

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// gateSite is a configuration with the Services of these names: "a" has the ClusterIP
// 10.96.0.97, and so on by the letter. A capital letter is a Local Service with the load
// balancer IP 203.0.113.65 and the healthCheckNodePort 30065; it has a ready endpoint on
// this node, or with "-" behind it one that is about to end, or with ">" besides that a ready
// one on another node, or with ">>" only that; with "+" behind it one on each.
func gateSite(delay time.Duration, probes []string, aggregation int32, services string) (*snapshot.Snapshot, plan.Local) {
	w := newWorld()
	milliseconds := int32(delay / time.Millisecond)
	speaker := w.snap.Speakers["default"]
	speaker.Spec.Readiness.DataplaneDelayMilliseconds = &milliseconds
	for _, name := range probes {
		speaker.Spec.Readiness.Probes = append(speaker.Spec.Readiness.Probes, v1alpha1.ReadinessProbe{Name: name, File: &v1alpha1.FileProbe{Path: "/" + name}})
	}
	w.advertise(aggregation)
	w.serve(services)
	local, _ := host{world: w}.Local(context.Background(), plan.Needs{})
	local.NodeName = "node-1"
	return w.snap, local
}

// advertise has pod CIDRs, ClusterIPs and load balancer IPs announced.
func (w *world) advertise(aggregation int32) {
	ad := &v1alpha1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}, Spec: v1alpha1.BGPAdvertisementSpec{
		PodCIDRs: &v1alpha1.AdvertisedPodCIDRs{},
		Services: &v1alpha1.AdvertisedServices{AddressTypes: []v1alpha1.ServiceAddressType{v1alpha1.AddressClusterIP, v1alpha1.AddressLoadBalancerIP}},
	}}
	v1alpha1.SetDefaultsBGPAdvertisement(ad)
	ad.Spec.Services.Aggregation.IPv4Length = &aggregation
	w.snap.Advertisements = map[string]*v1alpha1.BGPAdvertisement{"all": ad}
}

func (w *world) serve(services string) {
	w.snap.Services, w.snap.Slices = servicesOf(services)
}

func servicesOf(names string) (cow.Map[string, *snapshot.Service], cow.Map[string, *snapshot.EndpointSlice]) {
	services, endpoints := map[string]*snapshot.Service{}, map[string]*snapshot.EndpointSlice{}
	for _, name := range strings.Fields(names) {
		service := serviceNamed(name[:1])
		services[service.Key()], endpoints[service.Key()] = service, endpointOf(service, name[1:])
	}
	return cow.Of(services), cow.Of(endpoints)
}

// A source gives what has not changed as the very same object.
var (
	servicesMade  = map[string]*snapshot.Service{}
	endpointsMade = map[string]*snapshot.EndpointSlice{}
)

func serviceNamed(name string) *snapshot.Service {
	if servicesMade[name] == nil {
		s := &snapshot.Service{Namespace: "default", Name: name}
		if letter := name[0]; letter >= 'a' {
			s.ClusterIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, letter})}
		} else {
			s.LoadBalancerIPs, s.ExternalLocal = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, letter})}, true
			s.HealthCheckNodePort = 30000 + uint16(letter)
		}
		servicesMade[name] = s
	}
	return servicesMade[name]
}

func endpointOf(service *snapshot.Service, state string) *snapshot.EndpointSlice {
	key, there := service.Name+state, snapshot.Endpoints{Node: "node-2", Ready: 1}
	if endpointsMade[key] == nil {
		endpointsMade[key] = &snapshot.EndpointSlice{Service: service.Key(), Family: bgp.IPv4Unicast, Nodes: map[string][]snapshot.Endpoints{
			"":   {{Node: "node-1", Ready: 1}},
			"-":  {{Node: "node-1", Draining: 1}},
			">":  {{Node: "node-1", Draining: 1}, there},
			">>": {there},
			"+":  {{Node: "node-1", Ready: 1}, there},
		}[state]}
	}
	return endpointsMade[key]
}

// text is what is let through, and what waits and why; the pod CIDR is "pods".
func (g *gate) text(now time.Time, delay time.Duration, ports map[uint16]bool) string {
	name := func(p netip.Prefix) string {
		switch {
		case p.String() == "10.244.1.0/24":
			return "pods"
		case !p.IsSingleIP():
			return p.String()
		}
		return string(rune(p.Addr().As4()[3]))
	}
	var through, waiting []string
	for prefix := range g.through.Keys() {
		through = append(through, name(prefix))
	}
	for prefix, w := range g.waiting {
		waiting = append(waiting, name(prefix)+" "+g.waitsFor(w, now, delay, ports))
	}
	slices.Sort(through)
	slices.Sort(waiting)
	text := strings.Join(through, " ")
	if len(waiting) > 0 {
		text += ", waiting: " + strings.Join(waiting, ", ")
	}
	return text
}

func TestGate(t *testing.T) {
	type step struct {
		at       time.Duration
		services string
		passage  passage
		ports    []uint16
		want     string
	}
	const delay = 500 * time.Millisecond
	tests := []struct {
		name        string
		delay       time.Duration
		aggregation int32
		before      []string
		steps       []step
	}{
		{"pod CIDRs pass, whatever is not known", 0, 32, nil, []step{
			{0, "a", unknown, nil, "pods, waiting: a why"},
			{0, "a", open, nil, "a pods"},
		}},
		{"pod CIDRs pass, whatever fails", 0, 32, nil, []step{
			{0, "a", shut, nil, "pods, waiting: a why"},
		}},
		{"each address has a delay of its own", delay, 32, nil, []step{
			{0, "a", open, nil, "pods, waiting: a DataplaneDelay"},
			{300 * time.Millisecond, "a b", open, nil, "pods, waiting: a DataplaneDelay, b DataplaneDelay"},
			{500 * time.Millisecond, "a b", open, nil, "a pods, waiting: b DataplaneDelay"},
			{800 * time.Millisecond, "a b", open, nil, "a b pods"},
		}},
		{"the delay runs while other things are waited for", delay, 32, nil, []step{
			{0, "a", unknown, nil, "pods, waiting: a why"},
			{500 * time.Millisecond, "a", open, nil, "a pods"},
		}},
		{"a withdrawal does not wait, and what comes back does", delay, 32, nil, []step{
			{0, "a b", open, nil, "pods, waiting: a DataplaneDelay, b DataplaneDelay"},
			{400 * time.Millisecond, "a", open, nil, "pods, waiting: a DataplaneDelay"},
			{600 * time.Millisecond, "a b", open, nil, "a pods, waiting: b DataplaneDelay"},
			{700 * time.Millisecond, "b", open, nil, "pods, waiting: b DataplaneDelay"},
			{800 * time.Millisecond, "a b", open, nil, "pods, waiting: a DataplaneDelay, b DataplaneDelay"},
		}},
		{"a Local Service waits for its port, and only until it is announced", 0, 32, nil, []step{
			{0, "a A B", open, nil, "a pods, waiting: A HealthCheckNodePort, B HealthCheckNodePort"},
			{1, "a A B", open, []uint16{30065}, "A a pods, waiting: B HealthCheckNodePort"},
			{2, "a A B", open, nil, "A a pods, waiting: B HealthCheckNodePort"},
		}},
		{"the port counts once the delay is over", delay, 32, nil, []step{
			{0, "A", open, []uint16{30065}, "pods, waiting: A DataplaneDelay"},
			{delay, "A", open, nil, "pods, waiting: A HealthCheckNodePort"},
			{delay + 1, "A", open, []uint16{30065}, "A pods"},
		}},
		{"a service proxy says no of endpoints that are about to end, so it is not asked", 0, 32, nil, []step{
			{0, "A-", open, nil, "A pods"},
		}},
		{"and is asked no more when they begin to", 0, 32, nil, []step{
			{0, "A a b c", open, nil, "a b c pods, waiting: A HealthCheckNodePort"},
			{time.Second, "A- a b c", open, nil, "A a b c pods"},
		}},
		{"an address that is handed over stays for the delay of the others and some more", delay, 32, nil, []step{
			{0, "A a", open, []uint16{30065}, "pods, waiting: A DataplaneDelay, a DataplaneDelay"},
			{delay, "A a", open, []uint16{30065}, "A a pods"},
			{time.Second, "A> a>", open, nil, "A a pods"},
			{time.Second + delay + handoverTime - 1, "A> a>", open, nil, "A a pods"},
			{time.Second + delay + handoverTime, "A> a>", open, nil, "a pods"},
		}},
		{"or less where they are ready already", delay, 32, nil, []step{
			{0, "A B", open, []uint16{30065, 30066}, "pods, waiting: A DataplaneDelay, B DataplaneDelay"},
			{delay, "A B", open, []uint16{30065, 30066}, "A B pods"},
			{time.Second, "A+ B+", open, nil, "A B pods"},
			{2 * time.Second, "A> B+", open, nil, "A B pods"},
			{time.Second + delay + handoverTime - 1, "A> B+", open, nil, "A B pods"},
			{time.Second + delay + handoverTime, "A> B>", open, nil, "pods"},
		}},
		{"counted anew when none of them was meanwhile", 0, 32, nil, []step{
			{0, "A", open, []uint16{30065}, "A pods"},
			{time.Second, "A+", open, nil, "A pods"},
			{2 * time.Second, "A", open, nil, "A pods"},
			{9 * time.Second, "A>", open, nil, "A pods"},
			{9*time.Second + handoverTime, "A>", open, nil, "pods"},
		}},
		{"but no longer than it is served", 0, 32, nil, []step{
			{0, "A", open, []uint16{30065}, "A pods"},
			{1, "A>", open, nil, "A pods"},
			{2, "A>>", open, nil, "pods"},
		}},
		{"nor when it is not announced any more at all", 0, 32, nil, []step{
			{0, "A a", open, []uint16{30065}, "A a pods"},
			{1, "A> a", open, nil, "A a pods"},
			{2, "a", open, nil, "a pods"},
		}},
		{"nor while a probe fails, after which it does not come back", 0, 32, nil, []step{
			{0, "A", open, []uint16{30065}, "A pods"},
			{1, "A>", open, nil, "A pods"},
			{2, "A>", shut, nil, "pods"},
			{3, "A>", open, nil, "pods"},
		}},
		{"an address that was handed over and comes back has not been away", 0, 32, nil, []step{
			{0, "A", open, []uint16{30065}, "A pods"},
			{1, "A>", open, nil, "A pods"},
			{2, "A", open, nil, "A pods"},
			{2 * handoverTime, "A", open, nil, "A pods"},
		}},
		{"what was not announced is not handed over", 0, 32, nil, []step{
			{0, "A", open, nil, "pods, waiting: A HealthCheckNodePort"},
			{1, "A>", open, nil, "pods"},
		}},
		{"an aggregate is announced with its first address", 0, 24, nil, []step{
			{0, "A B", open, nil, "pods, waiting: 203.0.113.0/24 HealthCheckNodePort, A HealthCheckNodePort, B HealthCheckNodePort"},
			{1, "A B", open, []uint16{30066}, "203.0.113.0/24 B pods, waiting: A HealthCheckNodePort"},
		}},
		{"an aggregate of addresses that cannot be asked about has a delay", delay, 24, nil, []step{
			{0, "a", open, nil, "pods, waiting: 10.96.0.0/24 DataplaneDelay"},
			{300 * time.Millisecond, "a b", open, nil, "pods, waiting: 10.96.0.0/24 DataplaneDelay"},
			{delay, "a b", open, nil, "10.96.0.0/24 pods"},
		}},
		{"what fails takes back all addresses, and they need no new delay", delay, 32, nil, []step{
			{0, "a A", open, nil, "pods, waiting: A DataplaneDelay, a DataplaneDelay"},
			{delay, "a A", open, []uint16{30065}, "A a pods"},
			{delay + 1, "a A b", shut, []uint16{30065}, "pods, waiting: A why, a why, b why"},
			{delay + 2, "a A b", open, nil, "a pods, waiting: A HealthCheckNodePort, b DataplaneDelay"},
			{2*delay + 1, "a A b", open, []uint16{30065}, "A a b pods"},
		}},
		{"what is announced stays while it is not known how things are", 0, 32, nil, []step{
			{0, "a", open, nil, "a pods"},
			{1, "a b", unknown, nil, "a pods, waiting: b why"},
			{2, "b", unknown, nil, "pods, waiting: b why"},
		}},
		{"what an earlier process announced passes until it is known how things are", delay, 32, []string{"10.96.0.97/32", "203.0.113.65/32"}, []step{
			{0, "a b A", unknown, nil, "A a pods, waiting: b why"},
			{1, "a b A", open, nil, "A a pods, waiting: b DataplaneDelay"},
			{delay, "a b A", open, nil, "A a b pods"},
		}},
		{"and no longer", 0, 32, []string{"10.96.0.97/32", "203.0.113.65/32"}, []step{
			{0, "a", unknown, nil, "a pods"},
			{1, "a", shut, nil, "pods, waiting: a why"},
			{2, "a A", unknown, nil, "pods, waiting: A why, a why"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate()
			for _, text := range tt.before {
				if g.before == nil {
					g.before = map[netip.Prefix]bool{}
				}
				g.before[netip.MustParsePrefix(text)] = true
			}
			began := time.Unix(1000, 0)
			snap, local := gateSite(tt.delay, nil, tt.aggregation, "")
			var p *plan.Plan
			for i, s := range tt.steps {
				next := *snap
				next.Services, next.Slices = servicesOf(s.services)
				p = plan.Build(&next, local, p)
				now, ports := began.Add(s.at), map[uint16]bool{}
				for _, port := range s.ports {
					ports[port] = true
				}
				v := verdict{passage: s.passage}
				if s.passage != open {
					v.reason = "why"
				}
				g.follow(p, now)
				g.admit(p, now, v, ports)
				if got := g.text(now, tt.delay, ports); got != s.want {
					t.Errorf("step %d: %s, want %s", i, got, s.want)
				}
				_, byReason := g.held(now, tt.delay, ports)
				if sum := sum(byReason); sum != len(g.waiting) {
					t.Errorf("step %d: %d of %d are counted", i, sum, len(g.waiting))
				}
			}
		})
	}
}

func sum(counts map[string]int) (n int) {
	for count := range maps.Values(counts) {
		n += count
	}
	return n
}

// TestGateAlwaysLetsThroughWhatIsWantedAndDoesNotWait walks at random over Services, what is
// known of the node, and time.
func TestGateAlwaysLetsThroughWhatIsWantedAndDoesNotWait(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const delay = 500 * time.Millisecond
	snap, local := gateSite(delay, nil, 30, "")
	g, now := newGate(), time.Unix(1000, 0)
	g.before = map[netip.Prefix]bool{netip.MustParsePrefix("203.0.113.65/32"): true}
	var p *plan.Plan
	for step := range 3000 {
		if r.IntN(2) == 0 || p == nil {
			var names []string
			for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "A", "B", "C", "D"} {
				switch r.IntN(8) {
				case 0:
				case 1:
					names = append(names, name+"-")
				default:
					names = append(names, name)
				}
			}
			next := *snap
			next.Services, next.Slices = servicesOf(strings.Join(names, " "))
			p = plan.Build(&next, local, p)
		}
		now = now.Add(time.Duration(r.IntN(300)) * time.Millisecond)
		passage := []passage{unknown, shut, open, open, open, open}[r.IntN(6)]
		g.follow(p, now)
		g.admit(p, now, verdict{passage: passage, reason: "why"}, map[uint16]bool{30065 + uint16(r.IntN(4)): true})
		want := p.Desired.Advertisements.Edit()
		for prefix, w := range g.waiting {
			if _, wanted := want.Get(prefix); !wanted {
				t.Fatalf("step %d: %s waits and is not wanted", step, prefix)
			}
			want.Delete(prefix)
			if reason := g.waitsFor(w, now, delay, nil); reason == "" {
				t.Fatalf("step %d: %s waits for nothing", step, prefix)
			}
		}
		for prefix := range cow.Diff(want.Map(), g.through) {
			t.Fatalf("step %d: %s is wrong", step, prefix)
		}
		if passage == shut && g.through.Len() != 1 {
			t.Fatalf("step %d: what is shut lets %d prefixes through", step, g.through.Len())
		}
	}
}

func TestGateKnowsWhenToLookAgain(t *testing.T) {
	const delay = 500 * time.Millisecond
	g, now := newGate(), time.Unix(1000, 0)
	snap, local := gateSite(delay, nil, 32, "a")
	p := plan.Build(snap, local, nil)
	g.follow(p, now)
	if got := g.next(now, delay); got != everLong {
		t.Errorf("while it is not known how things are, in %s", got)
	}
	g.admit(p, now, verdict{passage: open}, nil)
	next := *snap
	next.Services, next.Slices = servicesOf("a b A")
	now = now.Add(delay / 2)
	g.follow(plan.Build(&next, local, p), now)
	if got := g.next(now, delay); got != delay/2 {
		t.Errorf("in %s, want %s", got, delay/2)
	}
	if got, want := fmt.Sprint(g.questions(p.Readiness).Ports), "[30065]"; got != want {
		t.Errorf("asks %s, want %s", got, want)
	}
	g.admit(p, now.Add(delay), verdict{passage: open}, map[uint16]bool{30065: true})
	next.Services, next.Slices = servicesOf("a b A>")
	g.follow(plan.Build(&next, local, p), now.Add(delay))
	if got := g.next(now.Add(delay+time.Second), delay); got != handoverTime+delay-time.Second {
		t.Errorf("an address that is handed over stays for %s", got)
	}
}

func TestJudge(t *testing.T) {
	_, local := gateSite(0, nil, 32, "")
	snap, _ := gateSite(0, []string{"one", "two"}, 32, "")
	probes := plan.Build(snap, local, nil).Readiness.Probes
	yes, no := Answer{Good: true}, Answer{Words: "no"}
	for _, tt := range []struct {
		inPlace  bool
		one, two *Answer
		want     verdict
	}{
		{true, &yes, &yes, verdict{passage: open}},
		{false, &yes, &yes, verdict{passage: unknown, reason: waitRoutes}},
		{true, &yes, nil, verdict{passage: unknown, reason: waitProbe, probe: "two"}},
		{false, nil, nil, verdict{passage: unknown, reason: waitRoutes}},
		{true, nil, &no, verdict{shut, waitProbeBad, "two", "no"}},
		{false, &no, &yes, verdict{shut, waitProbeBad, "one", "no"}},
	} {
		answers := map[string]Answer{"three": no} // which nobody asked
		for name, a := range map[string]*Answer{"one": tt.one, "two": tt.two} {
			if a != nil {
				answers[name] = *a
			}
		}
		if got := judge(tt.inPlace, probes, answers); got != tt.want {
			t.Errorf("%t %v %v: %+v, want %+v", tt.inPlace, tt.one, tt.two, got, tt.want)
		}
	}
}

// BenchmarkAChangedService is what the gate adds to a plan in a cluster of 10,000 Services.
func BenchmarkAChangedService(b *testing.B) {
	snap, local := gateSite(0, nil, 32, "")
	services, endpoints := map[string]*snapshot.Service{}, map[string]*snapshot.EndpointSlice{}
	for i := range 10000 {
		s := &snapshot.Service{Namespace: "default", Name: fmt.Sprint(i), ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})}}
		services[s.Key()] = s
		endpoints[s.Key()] = &snapshot.EndpointSlice{Service: s.Key(), Family: bgp.IPv4Unicast, Nodes: []snapshot.Endpoints{{Node: "node-1", Ready: 1}}}
	}
	snap.Services, snap.Slices = cow.Of(services), cow.Of(endpoints)
	without := *snap
	edit := snap.Services.Edit()
	edit.Delete("default/7")
	without.Services = edit.Map()
	with := plan.Build(snap, local, nil)
	plans := []*plan.Plan{plan.Build(&without, local, with), with}
	for name, passage := range map[string]passage{"open": open, "shut": shut} {
		b.Run(name, func(b *testing.B) {
			g, now, v := newGate(), time.Unix(1000, 0), verdict{passage: passage}
			b.ReportAllocs()
			for i := range b.N {
				p := plans[i%2]
				g.follow(p, now)
				if through := g.admit(p, now, v, nil).Len(); through != 1 && through != p.Desired.Advertisements.Len() {
					b.Fatalf("%d prefixes pass", through)
				}
			}
		})
	}
}
