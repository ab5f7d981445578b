package controller

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
)

func TestCallersAreForgottenOnceTheyHaveBeenAwayForAWhile(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")
	now := time.Unix(0, 0)
	var c callers
	expect := func(want ...netip.Addr) {
		t.Helper()
		if got := c.known(now); !slices.Equal(got, want) {
			t.Errorf("at %v: %v, want %v", now.Sub(time.Unix(0, 0)), got, want)
		}
	}
	expect()
	c.note(now, a, b)
	expect(b, a)
	up := []bgp.Session{{Address: a, State: bgp.Established}, {Address: b, State: bgp.Active}, {Address: netip.MustParseAddr("192.0.2.3"), State: bgp.Established}}
	now = now.Add(forgetAfter - time.Second)
	c.alive(now, up, func(string) bool { return false })
	expect(b, a)
	now = now.Add(time.Second)
	expect(a)
	c.note(now, b)
	now = now.Add(forgetAfter - time.Second)
	expect(b)
	now = now.Add(time.Second)
	expect()
	c.note(now, a, b)
	c.alive(now, up, func(string) bool { return true })
	expect()
}

func TestCallersAreNotWithoutNumber(t *testing.T) {
	var c callers
	now := time.Unix(0, 0)
	for i := range maxCallers {
		if !c.note(now, nth(i)) {
			t.Error("full too early")
		}
	}
	all := c.note(now, netip.MustParseAddr("192.0.2.1"))
	if got := len(c.known(now)); got != maxCallers || all {
		t.Errorf("%d are known, all %v", got, all)
	}
	if !c.note(now, netip.MustParseAddr("10.0.0.1")) {
		t.Error("full for one that is known")
	}
}

func nth(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

func TestThatThereAreTooManyCallersIsSaidOnce(t *testing.T) {
	w, now := newWorld(), time.Unix(0, 0)
	l := NewLoop(Options{Speaker: w, Log: slog.New(slog.NewTextHandler(w, nil)), Now: func() time.Time { return now }})
	hear := func(times int, callers ...netip.Addr) {
		t.Helper()
		w.callers = callers
		l.hearCallers()
		if said := strings.Count(w.log.String(), "there are too many"); said != times {
			t.Errorf("it is said %d times, want %d", said, times)
		}
	}
	for i := range maxCallers {
		hear(0, nth(i))
	}
	stranger := netip.MustParseAddr("192.0.2.1")
	for range 3 {
		hear(1, stranger)
		hear(1)
	}
	now = now.Add(forgetAfter)
	hear(1)
	for i := range maxCallers {
		hear(1, nth(i))
	}
	hear(2, stranger)
}

// peersWanted are the names of those that the speaker is to have.
func (w *world) peersWanted() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, p := range w.desired.Peers {
		names = append(names, p.Name)
	}
	return fmt.Sprint(names)
}

func TestARouterInsideAListenRangeComesAndGoes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		asn := int64(65001)
		rack := &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "rack"}, Spec: v1alpha1.BGPPeerSpec{ListenRange: "192.0.2.0/24", ASN: &asn}}
		v1alpha1.SetDefaultsBGPPeer(rack)
		w.snap.Peers = map[string]*v1alpha1.BGPPeer{"rack": rack}
		w.start(t)
		pass(time.Second)
		if got := fmt.Sprint(w.peersWanted(), w.desired.Listens); got != "[][{192.0.2.0/24 }]" {
			t.Errorf("nobody has called, and wanted is %s", got)
		}
		w.mu.Lock()
		w.callers = []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.1")}
		w.session.Peer, w.session.Address = "rack/192.0.2.2", netip.MustParseAddr("192.0.2.2")
		w.mu.Unlock()
		w.setSession(bgp.Established, true)
		pass(time.Second)
		for range 3 {
			if got := w.peersWanted(); got != "[rack/192.0.2.2]" {
				t.Errorf("its session is up, and wanted is %s", got)
			}
			pass(forgetAfter)
		}
		w.setSession(bgp.Active, false)
		pass(forgetAfter - time.Minute)
		if got := w.peersWanted(); got != "[rack/192.0.2.2]" {
			t.Errorf("its session was up lately, and wanted is %s", got)
		}
		pass(time.Minute + countPeriod)
		if got := w.peersWanted(); got != "[]" {
			t.Errorf("it has been away, and wanted is %s", got)
		}
	})
}

type remembered struct {
	names []string
	known bool // they are of this boot
}

func (r remembered) Load() ([]string, bool) { return r.names, r.known }
func (remembered) Store([]string) error     { return nil }

func TestRoutersWhoseSessionsWereUpAreCallersFromTheStart(t *testing.T) {
	names := []string{"rack/192.0.2.2", "rack/", "tor/192.0.2.1"}
	for i := range maxCallers { // these are there anyhow
		names = append(names, plan.MeshPeerName("node", nth(i)))
	}
	slices.Sort(names)
	for _, known := range []bool{true, false} {
		l := NewLoop(Options{Sessions: remembered{names, known}, Now: time.Now})
		l.snap = newWorld().snap
		l.recallCallers()
		if got := fmt.Sprint(l.local.Callers); got != "[192.0.2.2]" {
			t.Errorf("callers are %.200s", got)
		}
		if waited := l.completeness.before != nil; waited != known {
			t.Errorf("known %v, and the sessions are waited for: %v", known, waited)
		}
	}
}

func TestTheFirstPlanHasTheRoutersWhoseSessionsWereUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		asn := int64(65001)
		rack := &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "rack"}, Spec: v1alpha1.BGPPeerSpec{ListenRange: "192.0.2.0/24", ASN: &asn}}
		v1alpha1.SetDefaultsBGPPeer(rack)
		w.snap.Peers["rack"], w.upBefore = rack, remembered{[]string{"rack/192.0.2.2", "tor/192.0.2.1"}, true}
		w.start(t)
		pass(time.Millisecond)
		if got := w.peersWanted(); got != "[rack/192.0.2.2 tor/192.0.2.1]" || w.applies != 1 {
			t.Errorf("wanted is %s, after %d times", got, w.applies)
		}
	})
}

// A peer with an address of its own that was up before is no caller, whose absence would be news.
func TestANamedPeerThatIsAwayMakesNoPlans(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.upBefore = remembered{[]string{"tor/192.0.2.1"}, true}
		w.start(t)
		pass(2 * forgetAfter)
		if made := w.last.Plans.Made; made != 1 {
			t.Errorf("%d plans were made", made)
		}
	})
}
