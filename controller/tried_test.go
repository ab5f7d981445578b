package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// twoPeers has a peer "away" beside "tor", to whom nobody answers.
func (w *world) twoPeers() {
	asn := int64(65002)
	away := &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: "away"}, Spec: v1alpha1.BGPPeerSpec{Address: "192.0.2.2", ASN: &asn}}
	v1alpha1.SetDefaultsBGPPeer(away)
	w.snap.Peers["away"] = away
	w.trials = &trialFile{}
}

// crash ends the loop, and starts the next one a little later.
func (w *world) crash(t *testing.T) {
	w.stop()
	w.crashed = time.Now()
	pass(300 * time.Millisecond)
	w.start(t)
	pass(10 * time.Millisecond)
}

// peersDown says of each peer that the speaker is to have why it is down, in short.
func (w *world) peersDown() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.desired.Peers {
		down, _, _ := strings.Cut(p.Down, ":")
		if p.Down == waitsForItsTurn {
			down = "waits"
		}
		out = append(out, fmt.Sprintf("%s %s", p.Name, down))
	}
	return strings.Join(out, "; ")
}

func (w *world) expectPeers(t *testing.T, want string) {
	t.Helper()
	if got := w.peersDown(); got != want {
		t.Errorf("the speaker is to have %q, want %q", got, want)
	}
}

// askedWhenCalm returns how many times a minute the sessions are asked for once all that is due has been done.
func (w *world) askedWhenCalm() int {
	pass(3 * time.Minute)
	w.mu.Lock()
	before := w.sessions
	w.mu.Unlock()
	pass(time.Minute)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sessions - before
}

func TestAPeerThatIsFollowedByTwoCrashesIsHeldDownByTheLoop(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.twoPeers()
		w.start(t)
		quiet := w.askedWhenCalm()
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 ")

		w.crash(t)
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 waits")
		pass(trialPatience + trialPeriod)
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 ")

		w.crash(t) // of tor's doing
		pass(trialPatience + trialPeriod)
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 Quarantined")
		var said []string
		for _, p := range w.last.Problems {
			if p.Reason == reasonQuarantined {
				said = append(said, p.Kind+" "+p.Name)
			}
		}
		if got := fmt.Sprint(said); got != "[BGPPeer tor]" {
			t.Errorf("the report names %s", got)
		}

		w.change(func(s *snapshot.Snapshot) {
			tor := s.Peers["tor"].DeepCopy()
			tor.Spec.Timers.HoldTimeSeconds = new(int32(9))
			s.Peers = map[string]*v1alpha1.BGPPeer{"away": s.Peers["away"], "tor": tor}
		})
		pass(time.Second)
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 ")
		if n := w.askedWhenCalm(); n != quiet {
			t.Errorf("once all have had their turn the sessions are asked for %d times a minute, and without a crash %d times", n, quiet)
		}
	})
}

// A change of the configuration is no reason to begin the next peer before the one that is up has our End-of-RIB.
func TestAReplanCutsNoTurnShort(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.twoPeers()
		w.session.Peer, w.session.GracefulRestart = "away/192.0.2.2", true
		w.start(t)
		w.crash(t)
		w.setSession(bgp.Established, false)
		pass(trialPatience + trialPeriod)
		w.change(func(*snapshot.Snapshot) {})
		pass(trialPeriod)
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 waits")
		pass(trialPatience)
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 ")
	})
}

// A speaker that does not answer keeps nobody waiting.
func TestThePeersHaveTheirTurnsThoughSessionsCannotBeRead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.twoPeers()
		w.crashed, w.sessionErr = time.Now(), errors.New("the speaker is busy")
		w.start(t)
		pass(time.Millisecond)
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 waits")
		pass(trialPatience + trialPeriod)
		w.expectPeers(t, "away/192.0.2.2 ; tor/192.0.2.1 ")
		if n := strings.Count(w.log.String(), "sessions cannot be read"); n != 1 {
			t.Errorf("it is said %d times", n)
		}
	})
}

func TestAfterACrashThereIsNothingMoreToReportUntilThereIsAPlan(t *testing.T) {
	var reports []int
	for _, crashed := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			w.trials = &trialFile{}
			if crashed {
				w.crashed = time.Now()
			}
			snap := w.snap
			w.snap = nil
			w.start(t)
			pass(time.Minute)
			reports = append(reports, w.reports)
			w.mu.Lock()
			w.snap = snap
			w.mu.Unlock()
			signal(w.changed)
			w.setSession(bgp.Established, true)
			pass(time.Second)
			w.expectPeers(t, "tor/192.0.2.1 ")
		})
	}
	if reports[1] != reports[0] {
		t.Errorf("without a plan there are %d reports a minute, and %d after a crash", reports[0], reports[1])
	}
}
