package kube

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/report"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// moment is a report so many seconds after noon.
func moment(seconds int, sessions ...report.Session) *report.Report {
	return &report.Report{Node: "node-a", Time: noon.Add(time.Duration(seconds) * time.Second), Sessions: sessions}
}

func (r *momentBuilder) rejected(generation int64, reason, message string) *momentBuilder {
	r.Verdicts = append(r.Verdicts,
		report.Verdict{Kind: "BGPPeer", Name: "tor", Generation: generation, Reason: reason, Message: message},
		report.Verdict{Kind: "BGPPeer", Name: "good", Generation: 1, Accepted: true, Reason: "Accepted"})
	return r
}

func (r *momentBuilder) refused(reason string, count int) *momentBuilder {
	r.Refusals = map[report.Refusal]int{{Peer: "tor", Reason: reason}: count}
	return r
}

func (r *momentBuilder) problem(kind, name, message string) *momentBuilder {
	r.Problems = append(r.Problems, report.Problem{Kind: kind, Name: name, Subject: "192.0.2.9", Reason: "OutsideRanges", Message: message})
	return r
}

func (r *momentBuilder) beyond(message string) *momentBuilder {
	r.Problems = append(r.Problems, report.Problem{Kind: "BGPPeer", Name: "tor", Subject: "192.0.2.1", Reason: report.ReasonMaxPrefixes, Message: message})
	return r
}

type momentBuilder struct{ *report.Report }

func at(seconds int) *momentBuilder { return &momentBuilder{moment(seconds)} }

// to is a session with an object; since is in seconds after noon.
func to(object string, state bgp.SessionState, since int, lastError string) report.Session {
	return report.Session{Object: object, Session: bgp.Session{
		Peer: object + "/192.0.2.1", Address: netip.MustParseAddr("192.0.2.1"), ASN: 64512, State: state,
		Since: noon.Add(time.Duration(since) * time.Second), LastError: lastError,
	}}
}

// text renders what is due, one line each.
func text(due []news) string {
	var lines []string
	for _, n := range due {
		sign := "+"
		if n.warning {
			sign = "!"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s: %s: %s", sign, n.about.kind, n.about.name, n.reason, n.note))
	}
	return strings.Join(lines, "\n")
}

func TestNewsAreWhatIsSoAndHasNotBeenTold(t *testing.T) {
	const (
		up    = "+ BGPPeer tor: SessionUp: node-a: the session with 192.0.2.1 (AS 64512) is up"
		down  = "! BGPPeer tor: SessionDown: node-a: the session with 192.0.2.1 (AS 64512) went down"
		never = "! BGPPeer tor: SessionDown: node-a: the session with 192.0.2.1 (AS 64512) does not come up"
	)
	session := func(second int, state bgp.SessionState, since int, lastError string) *report.Report {
		return moment(second, to("tor", state, since, lastError))
	}
	type step struct {
		r    *report.Report
		want string // told at once
	}
	for name, steps := range map[string][]step{
		"a session comes up, stays, goes down and comes back": {
			{session(0, bgp.Active, 0, ""), ""},
			{session(1, bgp.Established, 1, ""), up},
			{session(9, bgp.Established, 1, ""), ""},
			{session(20, bgp.Idle, 20, "the hold timer expired"), down + ": the hold timer expired"},
			{session(21, bgp.Active, 20, "the hold timer expired"), ""},
			{session(30, bgp.Established, 30, "the hold timer expired"), up},
		},
		"the agent starts beside sessions that are up": {{session(0, bgp.Established, -60, ""), up}},
		"a session went down and came back between two reports": {
			{session(0, bgp.Established, 0, ""), up},
			{session(5, bgp.Established, 4, "the peer closed it"), up + " again; it went down: the peer closed it"},
		},
		"a session goes down without a word": {
			{session(0, bgp.Established, 0, ""), up},
			{session(1, bgp.Idle, 1, ""), down},
		},
		"a session that does not come up is told of when it has had its time, each reason once, four at most": {
			{session(0, bgp.Active, 0, "refused"), ""},
			{session(14, bgp.Active, 0, "refused"), ""},
			{session(15, bgp.Active, 0, "refused"), never + ": refused"},
			{session(20, bgp.Active, 0, "refused"), ""},
			{session(21, bgp.Active, 0, "no route"), never + ": no route"},
			{session(22, bgp.Active, 0, "refused"), ""},
			{session(23, bgp.Active, 0, "three"), never + ": three"},
			{session(24, bgp.Active, 0, "four"), never + ": four"},
			{session(25, bgp.Active, 0, "five"), ""},
			{session(26, bgp.Established, 26, ""), up},
		},
		"what keeps a session down that was up is told later": {
			{session(0, bgp.Established, 0, ""), up},
			{session(10, bgp.Idle, 10, "the link is down"), down + ": the link is down"},
			{session(12, bgp.Active, 10, "refused"), ""},
			{session(25, bgp.Active, 10, "refused"), never + ": refused"},
		},
		"a session of the mesh is about the other Node": {
			{moment(0, to("mesh/node-b", bgp.Established, 0, "")), "+ Node node-b: SessionUp: node-a: the session with 192.0.2.1 (AS 64512) is up"},
		},
		"a session that is no longer wanted is forgotten": {
			{session(0, bgp.Established, 0, ""), up},
			{moment(1), ""},
			{session(2, bgp.Established, 0, ""), up},
		},
		"a session of no object is nobody's": {{moment(0, to("", bgp.Established, 0, "")), ""}},
		"an object is rejected, edited, mended and spoilt again": {
			{at(0).rejected(1, "Invalid", "no").Report, "! BGPPeer tor: Invalid: no"},
			{at(1).rejected(1, "Invalid", "no").Report, ""},
			{at(2).rejected(2, "Invalid", "no").Report, "! BGPPeer tor: Invalid: no"},
			{at(3).rejected(2, "Conflicted", "older").Report, "! BGPPeer tor: Conflicted: older"},
			{at(4).Report, ""},
			{at(5).rejected(2, "Conflicted", "older").Report, "! BGPPeer tor: Conflicted: older"},
		},
		"an address of a Service is not announced, and is said on the Service; what concerns others is not": {
			{at(0).problem("Service", "shop/web", "outside").problem("Node", "node-a", "other").Report, "! Service shop/web: OutsideRanges: outside"},
			{at(1).problem("Service", "shop/web", "outside").Report, ""},
			{at(2).problem("Service", "shop/web", "outside still").Report, "! Service shop/web: OutsideRanges: outside still"},
			{at(3).Report, ""},
			{at(4).problem("Service", "shop/web", "outside").Report, "! Service shop/web: OutsideRanges: outside"},
		},
		"a router tells more prefixes than it should, stops that and does it again": {
			{at(0).beyond("more than 5").Report, "! BGPPeer tor: MaxPrefixesExceeded: node-a: more than 5"},
			{at(1).beyond("more than 5").Report, ""},
			{at(2).Report, ""},
			{at(3).beyond("more than 5").Report, "! BGPPeer tor: MaxPrefixesExceeded: node-a: more than 5"},
		},
		"prefixes are refused: at first, and when they are twice as many": {
			{at(0).refused("OwnPodCIDR", 2).Report, "! BGPPeer tor: PrefixesRefused: node-a: learned prefixes that stay out of the kernel: 2 (OwnPodCIDR)"},
			{at(1).refused("OwnPodCIDR", 3).Report, ""},
			{at(2).refused("OwnPodCIDR", 4).Report, "! BGPPeer tor: PrefixesRefused: node-a: learned prefixes that stay out of the kernel: 4 (OwnPodCIDR)"},
			{at(3).refused("OwnPodCIDR", 1).Report, ""},
			{at(4).refused("OwnPodCIDR", 0).Report, ""},
			{at(5).refused("OwnPodCIDR", 1).Report, "! BGPPeer tor: PrefixesRefused: node-a: learned prefixes that stay out of the kernel: 1 (OwnPodCIDR)"},
			{at(6).refused("Protected", 1).Report, "! BGPPeer tor: PrefixesRefused: node-a: learned prefixes that stay out of the kernel: 1 (Protected)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			told := memory{}
			for i, s := range steps {
				now, due := diff(told, s.r)
				if got := text(due); got != s.want {
					t.Errorf("step %d: got\n%s\nwant\n%s", i, got, s.want)
				}
				told = now
				for _, n := range due {
					told = told.with(n)
				}
			}
		})
	}
}

func TestNewsThatCouldNotBeToldAreDueWhileTheyAreSo(t *testing.T) {
	told := memory{}
	told, due := diff(told, moment(0, to("tor", bgp.Established, 0, "")))
	told = told.with(due[0])
	for second, state := range []bgp.SessionState{bgp.Idle, bgp.Active} {
		told, due = diff(told, moment(1+second, to("tor", state, 1, "lost")))
		if len(due) != 1 || due[0].reason != reasonSessionDown {
			t.Errorf("while it is %s, due is %q; want that it is down", state, text(due))
		}
	}
	_, due = diff(told, moment(3, to("tor", bgp.Established, 3, "lost")))
	if want := "is up again; it went down: lost"; len(due) != 1 || !strings.HasSuffix(due[0].note, want) {
		t.Errorf("when it is up again, due is %q; want that it %s, and no more", text(due), want)
	}
}

func TestTheMostUrgentNewsComeFirst(t *testing.T) {
	r := at(1).rejected(1, "Invalid", "no").refused("Protected", 1).Report
	r.Sessions = []report.Session{to("a", bgp.Established, 1, ""), to("z", bgp.Idle, 1, "lost")}
	_, due := diff(memory{"session z/192.0.2.1": {up: true, since: noon}}, r)
	var reasons []string
	for _, n := range due {
		reasons = append(reasons, n.reason)
	}
	if got, want := fmt.Sprint(reasons), "[SessionDown Invalid SessionUp PrefixesRefused]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDiffLeavesTheMemoryItIsGivenAsItIs(t *testing.T) {
	was := memory{"session gone/192.0.2.1": {up: true}}
	now, due := diff(was, at(0).rejected(1, "Invalid", "no").Report)
	now.with(due[0])
	if _, kept := was["session gone/192.0.2.1"]; !kept || len(was) != 1 {
		t.Errorf("it was changed to %v", was)
	}
	if _, again := diff(now, at(0).rejected(1, "Invalid", "no").Report); len(again) != 1 {
		t.Errorf("what was not told is not due: %q", text(again))
	}
}

func TestAnEventStaysWithinTheBounds(t *testing.T) {
	long := strings.Repeat("a.", 126) + "b"
	for _, shared := range []bool{false, true} {
		n := news{reason: "SessionDown", action: "Peer", note: "line\none\t\x1b[31m\xff" + strings.Repeat("ä", 2000), shared: shared}
		e := eventOf(n, long, corev1.ObjectReference{Kind: "Node", Name: long, UID: "1"}, noon)
		if problems := validation.NameIsDNSSubdomain(e.Name, false); len(problems) > 0 {
			t.Errorf("name %q: %v", e.Name, problems)
		}
		if len(e.Note) > maxNote || len(e.Note) < maxNote-300 || !strings.HasPrefix(e.Note, "line one [31m\uFFFDää") || len(e.ReportingInstance) > maxInstance {
			t.Errorf("a note of %d bytes, %.40q, an instance of %d", len(e.Note), e.Note, len(e.ReportingInstance))
		}
	}
}

func TestTheSameNewsHaveOneNameWithinAnHour(t *testing.T) {
	n := news{reason: "Invalid", note: "no", shared: true}
	name := func(n news, node string, after time.Duration) string {
		return eventOf(n, node, corev1.ObjectReference{Name: "tor", UID: "1"}, noon.Add(after)).Name
	}
	if name(n, "node-a", 0) != name(n, "node-b", 59*time.Minute) {
		t.Error("what two agents see is not one Event")
	}
	edited := n
	edited.then.verdict.Generation = 2
	if name(n, "node-a", 0) == name(edited, "node-a", 0) || name(n, "node-a", 0) == name(n, "node-a", time.Hour) {
		t.Error("an edited object, or the next hour, makes no Event of its own")
	}
}

func TestABucketGivesABurstAndThenOneEachPeriod(t *testing.T) {
	b := bucket{tokens: eventBurst}
	now := noon
	for i := range eventBurst {
		if rest := b.wait(now); rest > 0 {
			t.Fatalf("number %d waits %s", i, rest)
		}
		b.take(now)
	}
	for range 3 {
		rest := b.wait(now)
		if rest < eventPeriod || rest > eventPeriod+time.Second {
			t.Fatalf("it waits %s, want %s", rest, eventPeriod)
		}
		now = now.Add(rest)
		if rest := b.wait(now); rest > 0 {
			t.Fatalf("after the wait it waits %s more", rest)
		}
		b.take(now)
	}
	now = now.Add(24 * time.Hour)
	given := 0
	for b.wait(now) == 0 {
		b.take(now)
		given++
	}
	if given != eventBurst {
		t.Errorf("after a day it gives %d, want %d", given, eventBurst)
	}
}
