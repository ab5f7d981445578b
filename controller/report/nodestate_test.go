package report_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/routes"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 999, time.UTC)

// healthy is a report of a node on which all is well.
func healthy() *report.Report {
	return &report.Report{
		Node: "node-a", Version: "v1.2.3", Time: noon,
		Source: report.Source{Synced: true},
		Speaker: report.Speaker{Name: "all", Running: true,
			Config: bgp.Config{ASN: 4200000001, RouterID: netip.MustParseAddr("192.0.2.11")}},
		Complete: true, RoutesSynced: true,
		Routes: routes.State{Wanted: 3, Installed: 3, Complete: true},
		Sessions: []report.Session{
			session("mesh/node-b", "192.0.2.12", bgp.Established),
			session("tor-a", "192.0.2.1", bgp.Established),
		},
	}
}

func session(object, address string, state bgp.SessionState) report.Session {
	s := report.Session{Object: object, Session: bgp.Session{
		Peer: object + "/" + address, Address: netip.MustParseAddr(address), ASN: 64512, State: state,
	}}
	if state == bgp.Established {
		s.Since, s.HoldTime = noon.Add(-time.Hour), 90*time.Second
		s.Families = []bgp.FamilySession{{Family: bgp.IPv6Unicast, Received: 1}, {Family: bgp.IPv4Unicast, Received: 5, Accepted: 4, Advertised: 2}}
	}
	return s
}

func failure(prefix, text string) routes.Failure {
	return routes.Failure{Route: routes.Route{Key: routes.Key{Prefix: netip.MustParsePrefix(prefix)}}, Err: errors.New(text)}
}

func TestNodeStateShowsTheReport(t *testing.T) {
	r := healthy()
	down := session("tor-b", "192.0.2.2", bgp.Active)
	down.LastError = "the peer refused our AS number"
	r.Sessions = append(r.Sessions, down)
	r.Refusals = map[report.Refusal]int{
		{Peer: "tor-a", Reason: "OwnPodCIDR"}: 1,
		{Peer: "tor-b", Reason: "OwnPodCIDR"}: 2,
		{Peer: "tor-a", Reason: "Protected"}:  9,
		{Peer: "tor-a", Reason: "Gone"}:       0,
	}
	r.Verdicts = []report.Verdict{
		{Kind: "BGPPeer", Name: "tor-a", Accepted: true},
		{Kind: "BGPPeer", Name: "tor-c", Reason: "Conflicted", Message: "older one counts"},
	}
	r.Problems = []report.Problem{
		{Kind: "BGPPeer", Name: "tor-c", Subject: "192.0.2.3", Reason: "Conflicted", Message: "older one counts"},
		{Kind: "Node", Name: "node-b", Subject: "IPv6Unicast", Reason: "NoAddress", Message: "no mesh session"},
	}
	want := `asn: 4200000001
conditions:
- lastTransitionTime: "2026-05-01T12:00:00Z"
  message: ""
  reason: Ready
  status: "True"
  type: Ready
- lastTransitionTime: "2026-05-01T12:00:00Z"
  message: ""
  reason: Synced
  status: "True"
  type: SourceSynced
- lastTransitionTime: "2026-05-01T12:00:00Z"
  message: ""
  reason: Running
  status: "True"
  type: SpeakerReady
- lastTransitionTime: "2026-05-01T12:00:00Z"
  message: ""
  reason: InSync
  status: "True"
  type: RoutesInSync
- lastTransitionTime: "2026-05-01T12:00:00Z"
  message: ""
  reason: HostReady
  status: "True"
  type: HostReady
problems:
- kind: BGPPeer
  message: older one counts
  name: tor-c
  reason: Conflicted
- kind: Node
  message: 'IPv6Unicast: no mesh session'
  name: node-b
  reason: NoAddress
routerID: 192.0.2.11
routes:
  installed: 3
  refused:
  - count: 9
    reason: Protected
  - count: 3
    reason: OwnPodCIDR
  wanted: 3
sessions:
- address: 192.0.2.2
  asn: 64512
  lastError: the peer refused our AS number
  peer: tor-b
  state: Active
- address: 192.0.2.12
  asn: 64512
  families:
  - accepted: 4
    advertised: 2
    family: IPv4Unicast
    received: 5
  - accepted: 0
    advertised: 0
    family: IPv6Unicast
    received: 1
  holdTimeSeconds: 90
  peer: mesh/node-b
  since: "2026-05-01T11:00:00Z"
  state: Established
- address: 192.0.2.1
  asn: 64512
  families:
  - accepted: 4
    advertised: 2
    family: IPv4Unicast
    received: 5
  - accepted: 0
    advertised: 0
    family: IPv6Unicast
    received: 1
  holdTimeSeconds: 90
  peer: tor-a
  since: "2026-05-01T11:00:00Z"
  state: Established
sessionsEstablished: 2
sessionsTotal: 3
softwareVersion: v1.2.3
`
	got, err := yaml.Marshal(report.NodeState(r, v1alpha1.BGPNodeStateStatus{}))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestConditionsSayWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*report.Report)
		want   string // Ready's reason, then the four others'
		words  string // in Ready's message
	}{
		"all is well":     {func(*report.Report) {}, "Ready Synced Running InSync HostReady", ""},
		"source away":     {func(r *report.Report) { r.Source.Error = "refused" }, "SourceUnavailable SourceUnavailable Running InSync HostReady", "refused"},
		"source not read": {func(r *report.Report) { r.Source.Synced = false }, "Syncing Syncing Running InSync HostReady", "not been read completely"},
		"no speaker":      {func(r *report.Report) { r.Speaker = report.Speaker{} }, "NoSpeaker Synced NoSpeaker InSync HostReady", "selects this node"},
		"speaker failed":  {func(r *report.Report) { r.Speaker.Error = "port in use" }, "SpeakerFailed Synced SpeakerFailed InSync HostReady", "port in use"},
		"speaker down":    {func(r *report.Report) { r.Speaker.Running = false }, "SpeakerFailed Synced SpeakerFailed InSync HostReady", "BGPSpeaker all does not run"},
		"no ASN": {func(r *report.Report) {
			r.Speaker.Running = false
			r.Verdicts = []report.Verdict{{Kind: "BGPPeer", Name: "all", Reason: "Invalid"}, {Kind: "BGPSpeaker", Name: "all", Reason: "ASNUnknown", Message: "no label"}}
		}, "ASNUnknown Synced ASNUnknown InSync HostReady", "no label"},
		"another verdict": {func(r *report.Report) {
			r.Speaker.Running = false
			r.Verdicts = []report.Verdict{{Kind: "BGPSpeaker", Name: "all", Reason: "NoRouterID", Message: "no IPv4"}}
		}, "SpeakerFailed Synced SpeakerFailed InSync HostReady", "no IPv4"},
		"kernel not compared": {func(r *report.Report) { r.RoutesSynced = false }, "Pending Synced Running Pending HostReady", "not been compared"},
		"routes failed": {func(r *report.Report) {
			r.Routes.Installed, r.Routes.Failed = 2, []routes.Failure{failure("10.0.0.0/24", "x")}
		}, "RoutesFailed Synced Running RoutesFailed HostReady", "1 of 3 routes"},
		"routes contested": {func(r *report.Report) {
			r.Routes.Installed, r.Routes.Failed = 2, []routes.Failure{failure("10.0.0.0/24", "x")}
			for i := range 5 {
				key := routes.Key{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24), Metric: 2048}
				r.Routes.Contested = append(r.Routes.Contested, routes.Contest{Key: key, By: "something deletes it"})
			}
		}, "RouteContested Synced Running RouteContested HostReady", "10.0.2.0/24 metric 2048: something deletes it; and 2 more routes"},
		"host does not forward": {func(r *report.Report) {
			r.Sysctls = []report.Sysctl{{Text: "policy is 0"}, {Required: true, Text: "net.ipv4.ip_forward is 0"}}
		}, "ForwardingDisabled Synced Running InSync ForwardingDisabled", "net.ipv4.ip_forward is 0; policy is 0"},
		"advice about the host": {func(r *report.Report) {
			r.Sysctls = []report.Sysctl{{Text: "policy is 0"}}
		}, "Ready Synced Running InSync SysctlsDiffer", ""},
		"routes missing":   {func(r *report.Report) { r.Routes.Installed = 1 }, "Pending Synced Running Pending HostReady", "2 of 3 routes"},
		"routes left over": {func(r *report.Report) { r.Routes.Stale = 4 }, "Pending Synced Running Pending HostReady", "4 routes of an earlier process"},
	} {
		t.Run(name, func(t *testing.T) {
			r := healthy()
			c.change(r)
			var reasons, ready []string
			for _, cond := range report.NodeState(r, v1alpha1.BGPNodeStateStatus{}).Conditions {
				good := map[string]bool{"Ready": true, "Synced": true, "Running": true, "InSync": true, "HostReady": true, "SysctlsDiffer": true}[cond.Reason]
				if good != (cond.Status == metav1.ConditionTrue) {
					t.Errorf("%s is %s with reason %s", cond.Type, cond.Status, cond.Reason)
				}
				reasons, ready = append(reasons, cond.Reason), append(ready, cond.Message)
			}
			if got := strings.Join(reasons, " "); got != c.want {
				t.Errorf("reasons %q, want %q", got, c.want)
			}
			if !strings.Contains(ready[0], c.words) {
				t.Errorf("message %q, want %q in it", ready[0], c.words)
			}
		})
	}
}

func TestTransitionTimeMovesOnlyWithTheStatus(t *testing.T) {
	first := report.NodeState(healthy(), v1alpha1.BGPNodeStateStatus{})
	later := healthy()
	later.Time = noon.Add(time.Hour)
	second := report.NodeState(later, first)
	if !equality.Semantic.DeepEqual(first, second) {
		t.Errorf("an hour later the status differs:\n%+v\n%+v", first, second)
	}
	later.Source.Error = "away"
	third := report.NodeState(later, second)
	if got := third.Conditions[1].LastTransitionTime.Time; !got.Equal(later.Time.Truncate(time.Second)) {
		t.Errorf("SourceSynced changed at %v", got)
	}
	if got := third.Conditions[2].LastTransitionTime; !got.Equal(&first.Conditions[2].LastTransitionTime) {
		t.Errorf("SpeakerReady changed at %v", got)
	}
	if second.Conditions[1].Status != metav1.ConditionTrue {
		t.Error("the status that was handed in was changed")
	}
}

func TestNodeStateStaysWithinTheSchema(t *testing.T) {
	r := healthy()
	r.Sessions = nil
	long := strings.Repeat("ä", 5000) + "\xff"
	for i := range 300 {
		s := session(fmt.Sprintf("up-%03d", i), fmt.Sprintf("10.1.%d.%d", i/200, i%200), bgp.Established)
		r.Sessions = append(r.Sessions, s)
	}
	worst := session("mesh/"+strings.Repeat("n", 253), "10.9.9.9", "")
	worst.LastError = long
	r.Sessions = append(r.Sessions, worst)
	for i := range 200 {
		prefix := fmt.Sprintf("10.2.%d.0/24", i/2) // each twice, as in two tables
		r.Routes.Failed = append(r.Routes.Failed, failure(prefix, long))
		r.Problems = append(r.Problems, report.Problem{Kind: "BGPPeer", Name: fmt.Sprint(i), Reason: "Invalid", Message: long})
	}
	r.Source.Error = long
	status := report.NodeState(r, v1alpha1.BGPNodeStateStatus{})

	if len(status.Sessions) != v1alpha1.MaxSessions || status.SessionsTotal != 301 || status.SessionsEstablished != 300 {
		t.Errorf("%d sessions of %d, %d up", len(status.Sessions), status.SessionsTotal, status.SessionsEstablished)
	}
	if s := status.Sessions[0]; s.State != v1alpha1.SessionIdle || utf8.RuneCountInString(s.Peer) > 253 || !strings.HasPrefix(s.Peer, "mesh/n") {
		t.Errorf("the worst session is not the first: %+v", s)
	}
	prefixes := map[string]bool{}
	for _, f := range status.Routes.Failed {
		prefixes[f.Prefix] = true
	}
	if len(status.Routes.Failed) != v1alpha1.MaxFailedRoutes || len(prefixes) != len(status.Routes.Failed) {
		t.Errorf("%d failed routes, %d prefixes", len(status.Routes.Failed), len(prefixes))
	}
	if len(status.Problems) != v1alpha1.MaxProblems {
		t.Errorf("%d problems", len(status.Problems))
	}
	for _, text := range []string{status.Sessions[0].LastError, status.Routes.Failed[0].Reason, status.Problems[0].Message, status.Conditions[0].Message} {
		if utf8.RuneCountInString(text) != v1alpha1.MaxMessageLength || !utf8.ValidString(text) || !strings.HasSuffix(text, "…") {
			t.Errorf("a text of %d characters: %.20q", utf8.RuneCountInString(text), text)
		}
	}
}

func TestConditionsOfAnObjectFollowTheVerdict(t *testing.T) {
	foreign := metav1.Condition{Type: "Programmed", Status: metav1.ConditionTrue, Reason: "Programmed"}
	bad := report.Verdict{Kind: "BGPPeer", Name: "x", Generation: 2, Reason: "Invalid", Message: "no"}
	first := report.Conditions(bad, []metav1.Condition{foreign}, noon)
	if len(first) != 2 || first[0] != foreign {
		t.Fatalf("%+v", first)
	}
	want := metav1.Condition{Type: "Accepted", Status: metav1.ConditionFalse, ObservedGeneration: 2,
		LastTransitionTime: metav1.NewTime(noon.Truncate(time.Second)), Reason: "Invalid", Message: "no"}
	if first[1] != want {
		t.Errorf("%+v, want %+v", first[1], want)
	}
	bad.Generation = 3
	second := report.Conditions(bad, first, noon.Add(time.Hour))
	want.ObservedGeneration = 3
	if second[1] != want {
		t.Errorf("%+v, want %+v", second[1], want)
	}
	third := report.Conditions(report.Verdict{Generation: 4, Accepted: true}, second, noon.Add(time.Hour))
	want = metav1.Condition{Type: "Accepted", Status: metav1.ConditionTrue, ObservedGeneration: 4,
		LastTransitionTime: metav1.NewTime(noon.Add(time.Hour).Truncate(time.Second)), Reason: "Accepted"}
	if third[1] != want {
		t.Errorf("%+v, want %+v", third[1], want)
	}
}
