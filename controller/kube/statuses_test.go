package kube

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// peersServer answers writes of the status of peers as it is told to.
type peersServer struct {
	fails func(name string) error
	asked []string
}

func (s *peersServer) UpdateStatus(_ context.Context, o *v1alpha1.BGPPeer, _ metav1.UpdateOptions) (*v1alpha1.BGPPeer, error) {
	s.asked = append(s.asked, o.Name)
	return o, s.fails(o.Name)
}

// passed makes one pass over peers, of which all but "same" should say something new. It
// returns who was asked about, sorted.
func (s *peersServer) passed(t *term, names ...string) []string {
	s.asked = nil
	held, next := map[string]*v1alpha1.BGPPeer{}, map[string]v1alpha1.BGPPeerStatus{}
	for _, name := range append(names, "same") {
		held[name] = &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		next[name] = v1alpha1.BGPPeerStatus{SessionsExpected: 1}
	}
	next["same"] = v1alpha1.BGPPeerStatus{NotEstablishedNodes: []string{}}
	before := t.retries
	t.retries, t.cutOff = map[types.UID]retry{}, false
	statusOf[*v1alpha1.BGPPeer, v1alpha1.BGPPeerStatus]{
		"bgppeers", held, func(o *v1alpha1.BGPPeer) *v1alpha1.BGPPeerStatus { return &o.Status }, s,
	}.write(context.Background(), t, next, before)
	t.tellWrites()
	slices.Sort(s.asked)
	return s.asked
}

func newTestTerm() (*term, *strings.Builder) {
	log := &strings.Builder{}
	return &term{Rollup: &Rollup{host: "h", log: slog.New(slog.NewTextHandler(log, nil))}, retries: map[types.UID]retry{}}, log
}

// pauseIsOver makes all that failed due again.
func (t *term) pauseIsOver() {
	for uid, r := range t.retries {
		r.after = time.Time{}
		t.retries[uid] = r
	}
}

var peersResource = schema.GroupResource{Group: v1alpha1.GroupName, Resource: "bgppeers"}

func TestAWriteThatFailsHoldsNoOtherUp(t *testing.T) {
	term, log := newTestTerm()
	s := &peersServer{fails: func(name string) error {
		if name == "bad" {
			return apierrors.NewForbidden(peersResource, name, errors.New("no"))
		}
		return nil
	}}
	if got := s.passed(term, "bad", "good"); !slices.Equal(got, []string{"bad", "good"}) {
		t.Fatalf("asked about %q", got)
	}
	if got := s.passed(term, "bad", "good"); !slices.Equal(got, []string{"good"}) {
		t.Errorf("within its pause the one that failed is tried again: asked about %q", got)
	}
	if r := term.retries["bad"]; r.pause != passPause || len(term.retries) != 1 {
		t.Errorf("retries %v", term.retries)
	}
	term.pauseIsOver()
	s.passed(term, "bad")
	if r := term.retries["bad"]; r.pause != 2*passPause {
		t.Errorf("the pause does not double: %v", term.retries)
	}
	for range 20 {
		term.pauseIsOver()
		s.passed(term, "bad")
	}
	if r := term.retries["bad"]; r.pause != lastWritePause {
		t.Errorf("the pause has no bound: %v", term.retries)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "writing the status of bgppeers/bad") {
		t.Errorf("the log does not tell of it once:\n%s", text)
	}
	s.passed(term, "good")
	if len(term.retries) != 0 || strings.Count(log.String(), "status is written again") != 1 {
		t.Errorf("of an object that is gone remains %v; the log says\n%s", term.retries, log)
	}
}

func TestAConflictIsTriedAgainInSilence(t *testing.T) {
	term, log := newTestTerm()
	s := &peersServer{fails: func(name string) error { return apierrors.NewConflict(peersResource, name, errors.New("newer")) }}
	s.passed(term, "a")
	if len(term.retries) != 1 || log.Len() > 0 {
		t.Errorf("retries %v, log %q", term.retries, log)
	}
	s.fails = func(name string) error { return apierrors.NewNotFound(peersResource, name) }
	term.pauseIsOver()
	s.passed(term, "a")
	if len(term.retries) != 0 || log.Len() > 0 {
		t.Errorf("an object that is gone: retries %v, log %q", term.retries, log)
	}
}

func TestNoAnswerEndsThePass(t *testing.T) {
	term, log := newTestTerm()
	s := &peersServer{fails: func(string) error {
		return &url.Error{Op: "Put", URL: "https://h/x", Err: context.DeadlineExceeded}
	}}
	for range 3 {
		if got := s.passed(term, "a", "b", "c"); len(got) != 1 {
			t.Fatalf("asked about %q while nothing answers", got)
		}
		if !term.cutOff {
			t.Error("the pass counts as complete")
		}
		term.pauseIsOver()
	}
	s.fails = func(string) error { return nil }
	if got := s.passed(term, "a", "b", "c"); len(got) != 3 || len(term.retries) != 0 {
		t.Errorf("asked about %q, retries %v", got, term.retries)
	}
	if strings.Count(log.String(), "status cannot be written") != 1 || strings.Count(log.String(), "written again") != 1 {
		t.Errorf("the log says\n%s", log)
	}
}
