package controller

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/routes"
)

// via is a path of the one peer with a next hop of its own.
func via(nextHop string) bgp.Path {
	return bgp.Path{Peer: "tor/192.0.2.1", PeerAddr: netip.MustParseAddr("192.0.2.1"), NextHop: netip.MustParseAddr(nextHop)}
}

// learnBy has the peer announce a prefix with these next hops, and has the speaker know of
// worse ones.
func (w *world) learnBy(prefix string, best bgp.Path, worse ...bgp.Path) {
	p := netip.MustParsePrefix(prefix)
	c := bgp.RIBChange{Prefix: p, Paths: []bgp.Path{best}}
	w.mu.Lock()
	w.rib[p], w.worse[p] = c, nil
	for _, path := range worse {
		w.worse[p] = append(w.worse[p], []bgp.Path{path})
	}
	w.mu.Unlock()
	w.queue.Put(c)
}

// lead gives the kernel a route of its own to an address; "" takes it away.
func (w *world) lead(addr, gateway string) {
	a := netip.MustParseAddr(addr)
	w.mu.Lock()
	delete(w.others, a)
	if gateway != "" {
		w.others[a] = kernelRoute(addr, gateway)
	}
	w.mu.Unlock()
	signal(w.moved)
}

func kernelRoute(addr, gateway string) routes.Route {
	return routes.Route{
		Key:      routes.Key{Prefix: netip.PrefixFrom(netip.MustParseAddr(addr), 24).Masked()},
		NextHops: []routes.NextHop{{Gateway: netip.MustParseAddr(gateway), Link: 2, Weight: 1}},
	}
}

// gateway returns where the kernel sends a prefix; "" where it has no route.
func (w *world) gateway(prefix string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, route := range w.kernel {
		if key.Prefix == netip.MustParsePrefix(prefix) {
			return route.NextHops[0].Gateway.String()
		}
	}
	return ""
}

func (w *world) mustLead(t *testing.T, prefix, gateway string) {
	t.Helper()
	synctest.Wait()
	if got := w.gateway(prefix); got != gateway {
		t.Errorf("%s goes to %q, want %q", prefix, got, gateway)
	}
}

func TestNextHopIsFollowedWhereTheKernelLeadsIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.learnBy("10.244.2.0/24", via("198.51.100.7"))
		w.mustLead(t, "10.244.2.0/24", "")
		w.lead("198.51.100.7", "192.0.2.1")
		w.mustLead(t, "10.244.2.0/24", "192.0.2.1")
		w.lead("198.51.100.7", "192.0.2.2")
		w.mustLead(t, "10.244.2.0/24", "192.0.2.2")
		w.learnBy("10.244.3.0/24", via("198.51.100.7"))
		w.mustLead(t, "10.244.3.0/24", "192.0.2.2")
		w.lead("198.51.100.7", "")
		w.mustLead(t, "10.244.2.0/24", "")
		w.mustLead(t, "10.244.3.0/24", "")
	})
}

func TestNextHopIsFollowedThroughWhatIsLearned(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.learnBy("10.244.2.0/24", via("10.244.9.1"))
		w.mustLead(t, "10.244.2.0/24", "")
		w.learnBy("10.244.9.0/24", via("192.0.2.9"))
		w.mustLead(t, "10.244.2.0/24", "192.0.2.9")
		w.withdraw("10.244.9.0/24")
		w.mustLead(t, "10.244.2.0/24", "")
	})
}

func TestWorsePathIsTakenWhileNoBestOneLeadsAnywhere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.learnBy("10.244.2.0/24", via("198.51.100.7"), via("198.51.100.8"), via("192.0.2.3"))
		w.mustLead(t, "10.244.2.0/24", "192.0.2.3")
		w.lead("198.51.100.8", "192.0.2.8")
		w.mustLead(t, "10.244.2.0/24", "192.0.2.8")

		// The speaker does not tell of worse paths that change.
		p := netip.MustParsePrefix("10.244.2.0/24")
		w.mu.Lock()
		w.worse[p] = [][]bgp.Path{{via("192.0.2.4")}}
		w.mu.Unlock()
		time.Sleep(2 * reviewPeriod)
		w.mustLead(t, "10.244.2.0/24", "192.0.2.4")

		w.lead("198.51.100.7", "192.0.2.7")
		w.mustLead(t, "10.244.2.0/24", "192.0.2.7")
		w.learnBy("10.244.2.0/24", via("198.51.100.9"))
		w.mustLead(t, "10.244.2.0/24", "")
	})
}

// While the ways of a stuck prefix's worse paths are looked for, the kernel may already lead others
// elsewhere than their routes were decided by.
func TestNextHopThatMovesWhileOthersAreLookedForIsFollowed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.lead("198.51.100.7", "192.0.2.1")
		w.learnBy("10.244.2.0/24", via("198.51.100.7"))
		w.learnBy("10.244.3.0/24", via("198.51.100.9"))
		w.mustLead(t, "10.244.2.0/24", "192.0.2.1")
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.others[netip.MustParseAddr("198.51.100.7")] = kernelRoute("198.51.100.7", "192.0.2.2")
		w.mu.Unlock()
		w.learnBy("10.244.4.0/24", via("198.51.100.9"), via("198.51.100.8"))
		synctest.Wait()
		signal(w.moved)
		w.mustLead(t, "10.244.2.0/24", "192.0.2.2")
	})
}

// A stuck prefix is looked at every second, of which nobody has to hear while nothing comes of it.
func TestReviewThatChangesNothingIsNoNews(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		reports := func() int {
			w.mu.Lock()
			before := w.reports
			w.mu.Unlock()
			time.Sleep(time.Minute)
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.reports - before
		}
		idle := reports()
		w.learnBy("10.244.2.0/24", via("198.51.100.7"))
		time.Sleep(time.Minute)
		if stuck := reports(); stuck > idle {
			t.Errorf("%d reports a minute with a stuck prefix, %d without", stuck, idle)
		}
	})
}

// A pass over a part must not make the failure of a whole one forgotten.
func TestWholePassThatFailedIsMadeAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		w.learnBy("10.244.2.0/24", via("192.0.2.2"))
		w.mustLead(t, "10.244.2.0/24", "192.0.2.2")
		w.mu.Lock()
		w.ribErr = errors.New("not now")
		w.mu.Unlock()
		w.change(func(s *snapshot.Snapshot) {
			speaker := s.Speakers["default"].DeepCopy()
			speaker.Spec.Kernel.ProtectedPrefixes = []string{"10.244.2.0/24"}
			s.Speakers = map[string]*v1alpha1.BGPSpeaker{"default": speaker}
		})
		synctest.Wait()
		w.mu.Lock()
		w.ribErr = nil
		w.mu.Unlock()
		w.learnBy("10.244.3.0/24", via("192.0.2.3"))
		w.mustLead(t, "10.244.3.0/24", "192.0.2.3")
		time.Sleep(2 * retryPeriod)
		w.mustLead(t, "10.244.2.0/24", "")
	})
}

// A kernel route that flaps costs whole passes only a part of the time, and the last word counts.
func TestNextHopThatFlapsIsFollowedAPartOfTheTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.ribTakes = 100 * time.Millisecond
		w.start(t)
		w.learnBy("10.244.2.0/24", via("198.51.100.7"))
		time.Sleep(time.Minute)
		w.mu.Lock()
		before := w.ribReads
		w.mu.Unlock()
		for i := range 200 { // for ten seconds
			w.lead("198.51.100.7", fmt.Sprintf("192.0.2.%d", 20+i%2))
			time.Sleep(50 * time.Millisecond)
		}
		w.lead("198.51.100.7", "192.0.2.33")
		time.Sleep(2 * time.Second)
		w.mustLead(t, "10.244.2.0/24", "192.0.2.33")
		w.mu.Lock()
		defer w.mu.Unlock()
		if reads := w.ribReads - before; reads > 14 {
			t.Errorf("the RIB was read %d times in twelve seconds", reads)
		}
	})
}
