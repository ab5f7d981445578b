package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/routes"
)

// world simulates all that is outside the loop: a source, a host, a speaker with one peer,
// and a kernel.
type world struct {
	mu sync.Mutex

	snap        *snapshot.Snapshot
	sourceError string
	changed     chan struct{}
	hostError   error
	hostAddr    string // our address in the network of the peer
	hostReads   int

	desired  bgp.Desired
	applies  int
	applyErr error
	// applyTakes is how long the speaker takes.
	applyTakes time.Duration
	session    bgp.Session
	events     chan struct{}
	sessionErr error
	sessions   int // how many times they were asked for
	loops      []bgp.Loops
	loopsAsked int
	callers    []netip.Addr
	rib        map[netip.Prefix]bgp.RIBChange
	ribErr     error
	ribTakes   time.Duration
	ribReads   int
	queue      *bgp.RIBQueue

	asked      Questions
	answers    Answers
	answered   chan struct{}
	remembered []netip.Prefix // nil: nothing is known
	stores     int
	diskFull   bool
	upBefore   Memory[[]string] // nil: there is none
	trials     Memory[Trials]   // nil: there is none
	crashed    time.Time        // when the process before this one did

	kernel  map[routes.Key]routes.Route
	foreign string                        // the prefix of a route that is not ours, at the key of ours
	refused string                        // the prefix of a route that the kernel does not take
	worse   map[netip.Prefix][][]bgp.Path // paths that the speaker puts behind those of rib
	others  map[netip.Addr]routes.Route   // where the kernel's own routes lead
	moved   chan struct{}

	last    *report.Report
	reports int
	log     strings.Builder
	runErr  error
	stop    func()
}

func newWorld() *world {
	asn, peerASN := int64(64512), int64(65001)
	speaker := &v1alpha1.BGPSpeaker{
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec:       v1alpha1.BGPSpeakerSpec{LocalASN: &asn, Topology: v1alpha1.Topology{Type: v1alpha1.TopologyNone}, Cluster: v1alpha1.ClusterNetworks{PodCIDRs: []string{"10.244.0.0/16"}}},
	}
	peer := &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "tor"}, Spec: v1alpha1.BGPPeerSpec{Address: "192.0.2.1", ASN: &peerASN}}
	v1alpha1.SetDefaultsBGPSpeaker(speaker)
	v1alpha1.SetDefaultsBGPPeer(peer)
	return &world{
		snap: &snapshot.Snapshot{
			Nodes: map[string]*snapshot.Node{"node-1": {
				Name: "node-1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.11")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")},
			}},
			Speakers: map[string]*v1alpha1.BGPSpeaker{"default": speaker},
			Peers:    map[string]*v1alpha1.BGPPeer{"tor": peer},
		},
		changed:  make(chan struct{}, 1),
		hostAddr: "192.0.2.11",
		session:  bgp.Session{Peer: "tor/192.0.2.1", State: bgp.Active, GracefulRestart: true},
		events:   make(chan struct{}, 1),
		rib:      map[netip.Prefix]bgp.RIBChange{},
		queue:    bgp.NewRIBQueue(),
		kernel:   map[routes.Key]routes.Route{},
		worse:    map[netip.Prefix][][]bgp.Path{},
		others:   map[netip.Addr]routes.Route{},
		moved:    make(chan struct{}, 1),
		answered: make(chan struct{}, 1),
	}
}

func (w *world) Changed() <-chan struct{} { return w.changed }

func (w *world) Snapshot() (*snapshot.Snapshot, report.Source) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snap, report.Source{Synced: w.snap != nil, Error: w.sourceError}
}

func (w *world) Apply(_ context.Context, want bgp.Desired) error {
	time.Sleep(w.applyTakes) // in the time of the simulated world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.desired = want
	w.applies++
	return w.applyErr
}

func (w *world) Sessions(context.Context) ([]bgp.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions++
	if len(w.desired.Peers) == 0 || w.sessionErr != nil {
		return nil, w.sessionErr
	}
	return []bgp.Session{w.session}, nil
}

func (w *world) Loops(context.Context, []bgp.Session, func(netip.Prefix) bool) ([]bgp.Loops, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loopsAsked++
	return w.loops, nil
}

func (w *world) SessionEvents() <-chan struct{} { return w.events }

func (w *world) Callers() []netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	callers := w.callers
	w.callers = nil
	return callers
}

func (w *world) Queue() *bgp.RIBQueue { return w.queue }

func (w *world) RIB(context.Context) ([]bgp.RIBChange, error) {
	time.Sleep(w.ribTakes) // in the time of the simulated world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ribReads++
	var out []bgp.RIBChange
	for _, c := range w.rib {
		out = append(out, c)
	}
	return out, w.ribErr
}

func (w *world) Rankings(_ context.Context, prefixes []netip.Prefix) ([]bgp.Ranking, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []bgp.Ranking
	for _, p := range prefixes {
		if c, ok := w.rib[p]; ok {
			out = append(out, bgp.Ranking{Prefix: p, Sets: append([][]bgp.Path{c.Paths}, w.worse[p]...)})
		}
	}
	return out, w.ribErr
}

func (w *world) Moved() <-chan struct{} { return w.moved }
func (w *world) Drift() <-chan struct{} { return nil }

func (w *world) Follow(_ context.Context, addrs []netip.Addr) (map[netip.Addr]routes.Route, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[netip.Addr]routes.Route{}
	for _, addr := range addrs {
		if route, ok := w.others[addr]; ok {
			found[addr] = route
		}
	}
	return found, nil
}

func (w *world) Dump(context.Context) ([]routes.Route, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []routes.Route
	for _, r := range w.kernel {
		out = append(out, r)
	}
	return out, nil
}

func (w *world) applyRoutes(ops []routes.Op) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	results := make([]error, len(ops))
	for i, op := range ops {
		switch {
		case op.Verb == routes.Delete:
			delete(w.kernel, op.Route.Key)
		case op.Route.Prefix.String() == w.refused:
			results[i] = errors.New("no memory")
		case op.Route.Prefix.String() == w.foreign:
			results[i] = &routes.TakenError{Protocol: 4, Owner: "static"}
		default:
			w.kernel[op.Route.Key] = op.Route
		}
	}
	return results
}

func (w *world) Report(r *report.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = r
	w.reports++
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// fib and host are the two interfaces whose method names collide with the others.
type fib struct{ *world }

func (f fib) Apply(_ context.Context, ops []routes.Op) []error { return f.applyRoutes(ops) }

func (f fib) Find(_ context.Context, keys []routes.Key) (found []routes.Route) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range keys {
		if r, held := f.world.kernel[key]; held {
			found = append(found, r)
		}
	}
	return found
}

type host struct {
	*world
	changed chan struct{}
}

func (h host) Changed() <-chan struct{} { return h.changed }

func (h host) Local(context.Context, plan.Needs) (plan.Local, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hostReads++
	return plan.Local{Networks: []plan.Network{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Addr: netip.MustParseAddr(h.hostAddr), Link: 2}}}, h.hostError
}

// prober answers as the world has it, to what is asked.
type prober struct{ *world }

func (p prober) Changed() <-chan struct{} { return p.answered }

func (p prober) Ask(q Questions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = q
}

func (p prober) Answers() Answers {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := Answers{Probes: map[string]Answer{}, Ports: map[uint16]bool{}, PodsUnknown: p.answers.PodsUnknown && p.asked.KubeProxy}
	for _, probe := range p.asked.Probes {
		if answer, known := p.answers.Probes[probe.Name]; known {
			a.Probes[probe.Name] = answer
		}
	}
	for _, port := range p.asked.Ports {
		if p.answers.Ports[port] {
			a.Ports[port] = true
		}
	}
	return a
}

// Load and Store are the memory of what was announced.
func (w *world) Load() ([]netip.Prefix, bool) { return w.remembered, w.remembered != nil }

func (w *world) Store(prefixes []netip.Prefix) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stores++
	if w.diskFull {
		return errors.New("no space left on device")
	}
	w.remembered = append([]netip.Prefix{}, prefixes...)
	return nil
}

// learn has the peer announce prefixes, withdraw has it take them back.
func (w *world) learn(prefix string) {
	p := netip.MustParsePrefix(prefix)
	c := bgp.RIBChange{Prefix: p, Paths: []bgp.Path{{Peer: "tor/192.0.2.1", NextHop: netip.MustParseAddr("192.0.2.1")}}}
	w.mu.Lock()
	w.rib[p] = c
	w.mu.Unlock()
	w.queue.Put(c)
}

func (w *world) withdraw(prefix string) {
	p := netip.MustParsePrefix(prefix)
	w.mu.Lock()
	delete(w.rib, p)
	w.mu.Unlock()
	w.queue.Put(bgp.RIBChange{Prefix: p})
}

func (w *world) setSession(state bgp.SessionState, endOfRIB bool) {
	w.mu.Lock()
	w.session.State = state
	w.session.Families = []bgp.FamilySession{{Family: bgp.IPv4Unicast, EndOfRIB: endOfRIB}}
	w.mu.Unlock()
	signal(w.events)
}

// inherit puts a route of an earlier process into the kernel.
func (w *world) inherit(prefix string) {
	r := routes.Route{
		Key:      routes.Key{Table: 254, Prefix: netip.MustParsePrefix(prefix), Metric: 2048},
		NextHops: []routes.NextHop{{Gateway: netip.MustParseAddr("192.0.2.1"), Link: 2, Weight: 1}},
	}
	w.kernel[r.Key] = r
}

// prefixes returns what the kernel holds.
// prefixes are those of the routes that lead somewhere.
func (w *world) prefixes() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for key, route := range w.kernel {
		if route.Kind == routes.Unicast {
			out = append(out, key.Prefix.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// change edits the configuration as a source would: a new snapshot each time.
func (w *world) change(edit func(*snapshot.Snapshot)) {
	w.mu.Lock()
	next := *w.snap
	edit(&next)
	w.snap = &next
	w.mu.Unlock()
	signal(w.changed)
}

// inWorld tells a story in a new world with a clock that leaps. The agent runs from start on.
func inWorld(t *testing.T, story func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		story(t, w)
		w.stop()
	})
}

// start runs the loop and the forwarder.
func (w *world) start(t *testing.T) {
	log := slog.New(slog.NewTextHandler(w, nil))
	forwarder := NewForwarder(w, routes.NewTable(fib{w}, time.Now), w, log)
	loop := NewLoop(Options{
		Node: "node-1", Source: w, Host: host{w, make(chan struct{}, 1)}, Speaker: w,
		Forwarder: forwarder, Refuser: NewRefuser(&filter{}, log), Reporters: []Reporter{w}, Log: log, Now: time.Now,
		Prober: prober{w}, Sessions: w.upBefore, Announced: w, Trials: w.trials, Crashed: w.crashed,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := loop.Run(ctx); err != nil {
			w.mu.Lock()
			w.runErr = err
			w.mu.Unlock()
		}
	})
	tasks.Go(func() {
		if err := forwarder.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	w.stop = func() {
		cancel()
		tasks.Wait()
	}
}

// pass lets time pass, and everything that is due in it happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *world) expect(t *testing.T, want string) {
	t.Helper()
	if got := w.prefixes(); got != want {
		t.Errorf("the kernel holds %q, want %q", got, want)
	}
}

func TestAPictureThatBecomesCompleteIsNotReadAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.inherit("10.244.3.0/24")
		w.start(t)
		w.setSession(bgp.Established, false)
		w.learn("10.244.2.0/24")
		pass(time.Second)
		reads := w.ribReads
		w.learn("10.244.4.0/24")
		w.setSession(bgp.Established, true)
		pass(time.Second)
		w.expect(t, "10.244.2.0/24 10.244.4.0/24")
		if w.ribReads != reads {
			t.Errorf("End-of-RIB made the forwarder read the RIB %d times", w.ribReads-reads)
		}
	})
}

func TestAPictureThatWasWrongIsReadAgainWhenItBecomesComplete(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.inherit("10.244.3.0/24")
		w.ribErr = errors.New("the speaker is busy")
		w.start(t)
		w.learn("10.244.2.0/24")
		pass(time.Second)
		w.mu.Lock()
		w.ribErr = nil
		w.mu.Unlock()
		w.setSession(bgp.Established, true)
		pass(time.Second)
		w.expect(t, "10.244.2.0/24")
	})
}

func TestAFeedIsReportedAtMostOnceASecond(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.setSession(bgp.Established, true)
		pass(time.Minute)
		before := w.reports
		for i := range 200 {
			w.learn(fmt.Sprintf("10.244.%d.0/24", i+2))
			pass(10 * time.Millisecond)
		}
		if n := w.reports - before; n < 2 || n > 4 { // one in five seconds comes anyhow
			t.Errorf("two seconds of changes made %d reports", n)
		}
		pass(time.Second)
		if got := w.last.Routes.Installed; got != 201 { // the pod CIDR's own too
			t.Errorf("the last report tells of %d routes", got)
		}
	})
}

func TestRoutesOfAnEarlierProcessStayUntilEndOfRIB(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.inherit("10.244.2.0/24")
		w.inherit("10.244.3.0/24")
		w.start(t)
		pass(10 * time.Second)
		w.expect(t, "10.244.2.0/24 10.244.3.0/24")
		w.setSession(bgp.Established, false)
		w.learn("10.244.2.0/24")
		w.learn("10.244.4.0/24") // additions never wait
		pass(10 * time.Second)
		w.expect(t, "10.244.2.0/24 10.244.3.0/24 10.244.4.0/24")
		w.setSession(bgp.Established, true)
		pass(time.Second)
		w.expect(t, "10.244.2.0/24 10.244.4.0/24")
	})
}

func TestRoutesOfAnEarlierProcessGoAfterTheSweepTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.inherit("10.244.3.0/24")
		w.start(t)
		pass(119 * time.Second)
		w.expect(t, "10.244.3.0/24")
		pass(2 * time.Second)
		w.expect(t, "")
	})
}

func TestWithdrawalByALivePeerDoesNotWait(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.setSession(bgp.Established, false)
		w.learn("10.244.2.0/24")
		pass(time.Second)
		w.expect(t, "10.244.2.0/24")
		w.withdraw("10.244.2.0/24")
		pass(time.Second)
		w.expect(t, "")
	})
}

func TestNothingIsTouchedBeforeTheSourceHasSynced(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		snap := w.snap
		w.snap, w.sourceError = nil, "the API server is away"
		w.inherit("10.244.3.0/24")
		w.start(t)
		pass(time.Hour)
		w.expect(t, "10.244.3.0/24")
		if w.applies != 0 || w.last == nil || w.last.Source.Synced || w.last.Source.Error == "" {
			t.Errorf("applied %d times, report %+v", w.applies, w.last)
		}
		w.mu.Lock()
		w.snap, w.sourceError = snap, ""
		w.mu.Unlock()
		signal(w.changed)
		pass(time.Second)
		if w.applies == 0 || !w.last.Source.Synced {
			t.Error("the agent did not begin when the source came")
		}
	})
}

func TestARouteThatFailsIsLoggedOnceAndOnceMoreWhenItDoesNot(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.foreign = "10.244.2.0/24"
		w.start(t)
		w.setSession(bgp.Established, true)
		w.learn("10.244.2.0/24")
		pass(time.Second)
		said := func() [2]int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return [2]int{strings.Count(w.log.String(), "are not as wanted"), strings.Count(w.log.String(), "as wanted again")}
		}
		for _, other := range []string{"10.244.3.0/24", "10.244.4.0/24"} { // passes that go through
			w.learn(other)
			pass(10 * time.Second)
		}
		if got := said(); got != [2]int{1, 0} {
			t.Errorf("failed and mended were said %v times:\n%s", got, w.log.String())
		}
		w.mu.Lock()
		w.foreign = ""
		w.mu.Unlock()
		pass(10 * time.Second)
		if got := said(); got != [2]int{1, 1} {
			t.Errorf("failed and mended were said %v times:\n%s", got, w.log.String())
		}
	})
}

func TestARIBThatCannotBeReadIsNotEmpty(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.ribErr = errors.New("half of it")
		w.inherit("10.244.3.0/24")
		w.start(t)
		pass(10 * time.Minute)
		w.expect(t, "10.244.3.0/24")
		w.mu.Lock()
		w.ribErr = nil
		w.mu.Unlock()
		pass(10 * time.Second)
		w.expect(t, "")
		if n := strings.Count(w.log.String(), "half of it"); n != 1 {
			t.Errorf("the log tells %d times of an error that stayed the same:\n%s", n, w.log.String())
		}
	})
}

func TestASpeakerThatIsTakenAwayLeavesNoRoutes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.setSession(bgp.Established, true)
		w.learn("10.244.2.0/24")
		pass(time.Second)
		w.expect(t, "10.244.2.0/24")
		w.change(func(s *snapshot.Snapshot) { s.Speakers = nil })
		w.withdraw("10.244.2.0/24") // as a speaker that stops does
		pass(time.Second)
		w.expect(t, "")
	})
}

func TestUnusedPodAddressesAreUnreachableForAsLongAsThePodCIDRIsOurs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		own := func() (out string) {
			for _, route := range w.kernel {
				out += route.String()
			}
			return out
		}
		w.start(t)
		pass(time.Second) // additions do not wait for the picture to be complete
		if got, want := own(), "unreachable 10.244.1.0/24 metric 4294967295 table 254"; got != want {
			t.Errorf("the kernel holds %q, want %q", got, want)
		}
		w.setSession(bgp.Established, true)
		pass(time.Second)
		w.change(func(s *snapshot.Snapshot) {
			node := *s.Nodes["node-1"]
			node.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("fd00:10:244:1::/64")}
			s.Nodes = map[string]*snapshot.Node{"node-1": &node}
		})
		pass(time.Second)
		if got, want := own(), "unreachable fd00:10:244:1::/64 metric 4294967295 table 254"; got != want {
			t.Errorf("the kernel holds %q, want %q", got, want)
		}
		w.change(func(s *snapshot.Snapshot) { s.Speakers = nil })
		pass(time.Second)
		if got := own(); got != "" {
			t.Errorf("without a speaker the kernel holds %q", got)
		}
	})
}

func TestAnotherTableMovesTheRoutes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.setSession(bgp.Established, true)
		w.learn("10.244.2.0/24")
		pass(time.Second)
		w.change(func(s *snapshot.Snapshot) {
			speaker := s.Speakers["default"].DeepCopy()
			*speaker.Spec.Kernel.Table = 100
			s.Speakers = map[string]*v1alpha1.BGPSpeaker{"default": speaker}
		})
		pass(time.Second)
		for key, route := range w.kernel {
			if key.Table != 100 && route.Kind == routes.Unicast {
				t.Errorf("the kernel holds %v", key)
			}
		}
		w.expect(t, "10.244.2.0/24")
	})
}

func TestAFailedApplyIsTriedAgainWithBackOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.applyErr = errors.New("no")
		w.start(t)
		pass(8 * time.Second) // at 0, 1, 3 and 7 seconds
		if w.applies != 4 {
			t.Errorf("applied %d times, want 4", w.applies)
		}
		w.mu.Lock()
		w.applyErr = nil
		w.mu.Unlock()
		pass(10 * time.Second)
		applies := w.applies
		pass(time.Hour)
		if w.applies != applies {
			t.Errorf("applied %d times more without a reason", w.applies-applies)
		}
	})
}

func TestASpeakerThatCannotStartEndsTheAgent(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.applyErr = fmt.Errorf("port 179: %w", bgp.ErrNotStarted)
		w.start(t)
		pass(time.Second)
		if !errors.Is(w.runErr, bgp.ErrNotStarted) {
			t.Errorf("the loop ended with %v", w.runErr)
		}
	})
}

func TestANodeThatDoesNotExistEndsTheAgentAtStart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.snap.Nodes = map[string]*snapshot.Node{"other": {Name: "other"}}
		w.start(t)
		pass(time.Second)
		if w.runErr == nil || !strings.Contains(w.runErr.Error(), `the Node "node-1" does not exist (there are other)`) {
			t.Errorf("the loop ended with %v", w.runErr)
		}
	})
}

func TestANodeThatGoesLaterWithdrawsEverything(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		pass(time.Second)
		if w.desired.Config == nil {
			t.Fatal("the speaker was not started")
		}
		w.change(func(s *snapshot.Snapshot) { s.Nodes = nil })
		pass(time.Second)
		if w.desired.Config != nil || w.runErr != nil {
			t.Errorf("the speaker still holds %+v; the loop ended with %v", w.desired, w.runErr)
		}
	})
}

func TestHostFactsThatCannotBeReadKeepTheLast(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		pass(time.Second)
		w.mu.Lock()
		w.hostError = errors.New("no")
		w.mu.Unlock()
		w.change(func(*snapshot.Snapshot) {})
		pass(time.Second)
		if len(w.desired.Peers) != 1 || !w.desired.Peers[0].NextHops.IPv4.IsValid() {
			t.Errorf("the plan lost what the host was: %+v", w.desired.Peers)
		}
		if !strings.Contains(w.last.Speaker.Error, "no") {
			t.Errorf("the report does not tell: %+v", w.last.Speaker)
		}
	})
}

// Facts that have never been read are not facts: a plan of none would take everything down.
func TestNothingIsPlannedBeforeTheHostHasBeenRead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.hostError = errors.New("no")
		w.inherit("10.244.9.0/24")
		w.start(t)
		pass(10 * time.Minute)
		if w.applies != 0 || w.prefixes() != "10.244.9.0/24" {
			t.Errorf("applied %d times, the kernel holds %s", w.applies, w.prefixes())
		}
		w.mu.Lock()
		w.hostError = nil
		w.mu.Unlock()
		pass(time.Minute)
		if len(w.desired.Peers) != 1 {
			t.Errorf("once it can be read: %+v", w.desired.Peers)
		}
	})
}

func TestNoPlanWaitsForTheHostAndNoChangeOfItIsMissed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.setSession(bgp.Established, true)
		pass(time.Minute)
		reads, applies := w.hostReads, w.applies
		for range 5 {
			w.change(func(*snapshot.Snapshot) {})
			pass(time.Millisecond)
		}
		if w.hostReads > reads+1 || w.applies != applies+5 {
			t.Errorf("for %d plans the host was read %d times", w.applies-applies, w.hostReads-reads)
		}
		w.mu.Lock()
		w.hostAddr = "192.0.2.12" // and nobody says so
		w.mu.Unlock()
		pass(countPeriod)
		if got := w.desired.Peers[0].NextHops.IPv4.String(); got != "192.0.2.12" {
			t.Errorf("the next hop is %s", got)
		}
		applies = w.applies
		pass(time.Minute)
		if w.applies != applies {
			t.Errorf("%d plans were made of nothing new", w.applies-applies)
		}
	})
}

func TestProblemsAreLoggedOncePerChange(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		bad := &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "bad"}}
		v1alpha1.SetDefaultsBGPPeer(bad)
		w.snap.Peers["bad"] = bad
		w.start(t)
		for range 5 {
			w.change(func(*snapshot.Snapshot) {})
			pass(time.Second)
		}
		w.change(func(s *snapshot.Snapshot) { s.Peers = map[string]*v1alpha1.BGPPeer{"tor": s.Peers["tor"]} })
		pass(time.Second)
		log := w.log.String()
		if strings.Count(log, `msg="not done"`) != 1 || strings.Count(log, "msg=mended") != 1 {
			t.Errorf("the log is\n%s", log)
		}
	})
}

func TestPlansAndTheirTimeAreReported(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.applyTakes = 3 * time.Millisecond
		w.start(t)
		pass(time.Second)
		signal(w.changed)
		pass(time.Second)
		if got, want := w.last.Plans, (report.Plans{Made: 2, Took: 6 * time.Millisecond}); got != want {
			t.Errorf("reported as %+v, want %+v", got, want)
		}
		if said := strings.Count(w.log.String(), "the first plan is at work"); said != 1 {
			t.Errorf("the first plan was told %d times:\n%s", said, w.log.String())
		}
	})
}

func TestAPeerThatTellsMoreThanItShouldIsNamed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		limit := int32(2)
		peer := w.snap.Peers["tor"].DeepCopy()
		peer.Spec.Import.MaxPrefixes = &limit
		w.snap.Peers["tor"] = peer
		w.start(t)
		problems := func(received int) string {
			w.mu.Lock()
			w.session.Address = netip.MustParseAddr("192.0.2.1")
			w.session.State = bgp.Established
			w.session.Families = []bgp.FamilySession{{Family: bgp.IPv4Unicast, Received: received}}
			w.mu.Unlock()
			signal(w.events)
			pass(time.Second)
			return fmt.Sprint(w.last.Problems)
		}
		const named = "[{BGPPeer tor 192.0.2.1 MaxPrefixesExceeded 192.0.2.1 tells more than 2 prefixes of IPv4Unicast, its maxPrefixes; maxPrefixesAction is Warn, so the session stays}]"
		for received, want := range map[int]string{2: "[]", 3: named} {
			if got := problems(received); got != want {
				t.Errorf("with %d prefixes: %s, want %s", received, got, want)
			}
		}
		w.change(func(s *snapshot.Snapshot) { // then the session says it
			peer := peer.DeepCopy()
			peer.Spec.Import.MaxPrefixesAction = v1alpha1.MaxPrefixesShutdown
			s.Peers = map[string]*v1alpha1.BGPPeer{"tor": peer}
		})
		if got := problems(3); got != "[]" {
			t.Errorf("with Shutdown: %s", got)
		}
	})
}

func TestAPeerThatTakesNoIPv6NextHopForIPv4IsNamed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		yes := true
		peer := w.snap.Peers["tor"].DeepCopy()
		peer.Spec.Address, peer.Spec.ExtendedNextHop, peer.Spec.Families = "2001:db8::1", &yes, []v1alpha1.Family{v1alpha1.IPv4Unicast}
		hops := int32(2)
		peer.Spec.EBGPMultihopTTL = &hops
		w.snap.Peers["tor"] = peer
		w.snap.Nodes["node-1"].Addresses = []netip.Addr{netip.MustParseAddr("2001:db8::11")}
		w.session.Peer, w.session.Address = "tor/2001:db8::1", netip.MustParseAddr("2001:db8::1")
		w.start(t)
		named := func(takes bool) bool {
			w.mu.Lock()
			w.session.State, w.session.ExtendedNextHop = bgp.Established, takes
			w.mu.Unlock()
			signal(w.events)
			pass(time.Second)
			return strings.Contains(fmt.Sprint(w.last.Problems), "NoNextHop nothing of IPv4Unicast is advertised to 2001:db8::1")
		}
		if !named(false) || named(true) {
			t.Errorf("problems %v", w.last.Problems)
		}
	})
}

// What changes while the speaker is busy is planned together.
func TestABurstOfChangesIsAppliedAFewTimes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.applyTakes = 50 * time.Millisecond
		w.start(t)
		pass(time.Minute)
		before := w.appliedTimes()
		for i := range 100 {
			names := "a b"
			if i%2 == 0 {
				names = "a"
			}
			w.change(func(s *snapshot.Snapshot) { s.Services, s.Slices = servicesOf(names) })
			pass(time.Millisecond)
		}
		pass(time.Minute)
		if applied := w.appliedTimes() - before; applied < 1 || applied > 5 {
			t.Errorf("100 changes in 100 ms were applied %d times", applied)
		}
		w.mustAnnounce(t, "10.96.0.97/32 10.96.0.98/32")
	})
}
