package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/test/lab"
)

func TestBadInputBenchHasAnOutcomeForEveryMessage(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	found, err := badInput(t.Context(), []string{"-prefixes=2000"}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	r := found.(*badResult)
	if r.Handled != len(handledCases(1)) || r.OtherSessionsLost+r.PacketsLost+r.KillingPacketsLost > 0 || len(r.Invalid) > 0 {
		t.Errorf("not all is handled, or something was lost: %+v\n%s", r, out.String())
	}
	if n := len(killingCases()); r.KillingClasses != n || r.Quarantined != n || r.Restarts != 2*n {
		t.Errorf("want %d classes that kill twice and are quarantined then: %+v\n%s", n, r, out.String())
	}
}

func TestBadInputBenchNoticesWhatKillsAndWhatDoesNot(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	s, err := raiseBad(t.Context(), t.TempDir(), 1, &narrator{out: &out, began: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.lab.Close(); err != nil {
			t.Error(err)
		}
	}()
	harmless := badCase{name: "kill-nothing", spec: notPassive, do: says(announces("10.244.77.0/24"))}
	r, err := s.measure(t.Context(), killingCases()[:1], []badCase{harmless})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"kill-as4-path-before-as-path ends the agent", "kill-nothing: the agent survives it", "packets beside the handled messages"} {
		if !strings.Contains(strings.Join(r.Invalid, "; "), want) {
			t.Errorf("the run is not invalid because of %q: %v", want, r.Invalid)
		}
	}
	if r.Handled != 0 || r.OtherSessionsLost == 0 || !slices.Contains(r.NotHandled, "kill-as4-path-before-as-path") {
		t.Errorf("a message that kills counts as handled: %+v", r)
	}
}

func TestWordsAreThoseOfThePeerAlone(t *testing.T) {
	var state v1alpha1.BGPNodeState
	state.Status.Sessions = []v1alpha1.SessionStatus{
		{Peer: "a", State: v1alpha1.SessionIdle, LastError: "away"},
		{Peer: "b", State: v1alpha1.SessionEstablished, Families: []v1alpha1.FamilyStatus{{Received: 3, Accepted: 1}}},
	}
	state.Status.Problems = []v1alpha1.Problem{{Kind: v1alpha1.KindBGPPeer, Name: "a", Reason: "Quarantined", Message: "why"}}
	for peer, want := range map[string]string{"a": "Idle: away; Quarantined: why", "b": "Established; 3 received, 1 accepted", "c": ""} {
		if got := wordsOf(state, peer); got != want {
			t.Errorf("%s: %q, want %q", peer, got, want)
		}
	}
}
