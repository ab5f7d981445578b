package main

import (
	"encoding/json"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/test/lab"
	"github.com/fairway-bgp/fairway/test/raw"
)

func TestBadInputBenchHasAnOutcomeForEveryMessage(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	found, err := badInput(t.Context(), []string{"-prefixes=2000"}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	r := found.(*badResult)
	if n := len(handledCases(1)); r.Messages != n || r.Handled != n || r.OtherSessionsLost+r.PacketsLost+r.KillingPacketsLost > 0 || len(r.Invalid) > 0 {
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
	if r.Messages != 1 || r.Handled != 0 || r.OtherSessionsLost == 0 || !slices.Contains(r.NotHandled, "kill-as4-path-before-as-path") {
		t.Errorf("a message that kills counts as handled: %+v", r)
	}
}

func TestBadInputBenchIsInvalidWhenOnlyAPartRuns(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	err := run(t.Context(), []string{"badinput", "-only=update-before-open"}, &out)
	if err == nil || !strings.Contains(err.Error(), `only cases with "update-before-open" in their name have run`) {
		t.Errorf("got %v, want the run to be invalid", err)
	}
	if !strings.Contains(out.String(), `"messages":1,"handled_messages":1,`) {
		t.Errorf("the result does not say that it is of one message:\n%s", out.String())
	}
}

func TestBadInputBenchNamesTheCasesWhereNoneIsChosen(t *testing.T) {
	_, err := badInput(t.Context(), []string{"-only=nosuch"}, io.Discard)
	for _, want := range []string{`"nosuch"`, "header-marker, ", "many, kill-as4-path-before-as-path, ", "kill-second-open"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	handled, killing, err := badOptions{only: "second-open"}.choose()
	if err != nil || len(handled) != 0 || len(killing) != 1 {
		t.Errorf("chosen are %d and %d that kill, %v", len(handled), len(killing), err)
	}
}

func TestBadInputIsInvalidWithFewPackets(t *testing.T) {
	var r badResult
	r.sent(leastSamples, "enough")
	r.sent(leastSamples-1, "too few")
	if r.Sent != 2*leastSamples-1 || len(r.Invalid) != 1 || !strings.HasPrefix(r.Invalid[0], "packets beside too few: ") {
		t.Errorf("%+v", r)
	}
}

func TestClassesThatAreNotQuarantinedAreNamed(t *testing.T) {
	var r badResult
	r.killed("found", true)
	r.killed("not-found", false)
	line, err := json.Marshal(r)
	if err != nil || r.KillingClasses != 2 || r.Quarantined != 1 || !strings.Contains(string(line), `"not_quarantined":["not-found"]`) {
		t.Errorf("%s, %v", line, err)
	}
}

func TestAnAnswerIsTheEndOfTheConnectionOrNone(t *testing.T) {
	const refused = "2/1"
	for name, test := range map[string]struct {
		says  []byte // before it ends; nil: it stays
		right string
	}{
		"stays":        {nil, ""},
		"NOTIFICATION": {raw.Message(raw.NotificationType, 2, 1), refused},
		"ends":         {raw.Message(raw.KeepaliveType), closed},
	} {
		ours, theirs := net.Pipe()
		session := raw.Follow(ours)
		if test.says != nil {
			if _, err := theirs.Write(test.says); err != nil {
				t.Fatal(err)
			}
			_ = theirs.Close()
			<-session.Ended()
		}
		for _, want := range []string{"", refused, closed} {
			if err := answered(session, want); (err == nil) != (want == test.right) {
				t.Errorf("%s, want %q: %v", name, want, err)
			}
		}
		_, _ = ours.Close(), theirs.Close()
	}
}

func TestRefusedPrefixesAreThoseOfTheReason(t *testing.T) {
	var state v1alpha1.BGPNodeState
	state.Status.Routes.Refused = []v1alpha1.RefusedCount{{Reason: "a", Count: 2}, {Reason: "b", Count: 1}}
	for reason, want := range map[string]int{"a": 2, "b": 1, "c": 0} {
		if got := refusedFor(state, reason); got != want {
			t.Errorf("%s: %d, want %d", reason, got, want)
		}
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
