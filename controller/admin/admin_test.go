package admin

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/routes"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// clock is a time that stands still until it is set.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newServer() (*Server, *clock) {
	c := &clock{start}
	return New(c.now), c
}

// get asks as a kubelet or Prometheus would.
func get(s *Server, path string) (status int, body string) {
	answer := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer.Code, answer.Body.String()
}

func TestLivenessAsksForAReportThatIsNotOlderThanAMinute(t *testing.T) {
	for _, c := range []struct {
		what     string
		reported time.Duration // after the start; -1: never
		asked    time.Duration // after the start
		want     int
	}{
		{"just started", -1, 0, http.StatusOK},
		{"no report for a minute since the start", -1, time.Minute, http.StatusOK},
		{"no report for longer", -1, time.Minute + time.Second, http.StatusServiceUnavailable},
		{"a report a minute ago", time.Hour, time.Hour + time.Minute, http.StatusOK},
		{"a report longer ago", time.Hour, time.Hour + time.Minute + time.Second, http.StatusServiceUnavailable},
	} {
		t.Run(c.what, func(t *testing.T) {
			s, now := newServer()
			if c.reported >= 0 {
				s.Report(&report.Report{Time: start.Add(c.reported)})
			}
			now.Time = start.Add(c.asked)
			status, body := get(s, "/livez")
			if status != c.want || (status != http.StatusOK) != strings.Contains(body, "the loop is stuck") {
				t.Errorf("%d %q, want %d", status, body, c.want)
			}
		})
	}
}

func TestLivenessAsksForNothingBeyondTheProcess(t *testing.T) {
	s, _ := newServer()
	s.Report(&report.Report{
		Time:    start,
		Source:  report.Source{Error: "the API server cannot be reached"},
		Speaker: report.Speaker{Error: "the port is in use"},
	})
	if status, body := get(s, "/livez"); status != http.StatusOK {
		t.Errorf("%d %q", status, body)
	}
}

func TestReadinessNamesTheStageThatIsMissing(t *testing.T) {
	s, _ := newServer()
	r := report.Report{Source: report.Source{Error: "the API server is away"}, Speaker: report.Speaker{Error: "no speaker selects this node"}}
	for _, stage := range []struct {
		reach func()
		want  string // "" is ready
	}{
		{func() {}, "starting"},
		{func() { s.Report(&report.Report{Source: r.Source}) }, "has not been read completely yet: the API server is away"},
		{func() { r.Source.Synced = true }, "the speaker does not run: no speaker selects this node"},
		{func() { r.Speaker.Running = true }, "the kernel's routes have not been compared yet"},
		{func() { r.RoutesSynced = true }, ""},
		// What was read stays at work, and no peer is asked for.
		{func() { r.Sessions = []report.Session{{Session: bgp.Session{State: bgp.Idle}}} }, ""},
	} {
		stage.reach()
		if r.Source.Synced {
			now := r
			s.Report(&now)
		}
		status, body := get(s, "/readyz")
		if ready := status == http.StatusOK; ready != (stage.want == "") || !strings.Contains(body, stage.want) {
			t.Errorf("%d %q, want %q", status, body, stage.want)
		}
	}
}

// full has something for each metric.
func full() *report.Report {
	return &report.Report{
		Version: "v1", Time: start, Complete: true, RoutesSynced: true,
		Source:  report.Source{Synced: true, Error: "the API server is away", Failures: 7},
		Plans:   report.Plans{Made: 3, Took: 12 * time.Millisecond},
		Speaker: report.Speaker{Running: true},
		Sessions: []report.Session{
			{Object: "tor-a", Session: bgp.Session{
				Address: netip.MustParseAddr("192.0.2.1"), State: bgp.Established,
				Families: []bgp.FamilySession{{Family: bgp.IPv4Unicast, Received: 5, Accepted: 4, Advertised: 3}},
			}},
			{Object: "mesh/node-b", Session: bgp.Session{Address: netip.MustParseAddr("2001:db8::12"), State: bgp.Active}},
		},
		Routes:   routes.State{Wanted: 4, Installed: 4},
		Problems: []report.Problem{{Kind: "BGPPeer", Name: "tor-b", Reason: "PasswordUnavailable"}},
		Verdicts: []report.Verdict{
			{Kind: "BGPPeer", Name: "tor-b", Reason: "PasswordUnavailable"},
			{Kind: "BGPPeer", Name: "tor-a", Accepted: true, Reason: "Accepted"},
		},
		Refusals: map[report.Refusal]int{{Peer: "tor-a", Reason: "NotOnLink"}: 2},
		Sysctls:  []report.Sysctl{{}, {Required: true}, {}},
		Waiting:  map[string]int{"DataplaneDelay": 3},
	}
}

func TestMetricsShowTheReport(t *testing.T) {
	s, _ := newServer()
	s.Report(full())
	status, body := get(s, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	var got []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "fairway_") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`fairway_build_info{version="v1"} 1`,
		`fairway_picture_complete 1`,
		`fairway_plan_seconds_sum 0.012`,
		`fairway_plan_seconds_count 3`,
		`fairway_prefixes_waiting{reason="DataplaneDelay"} 3`,
		`fairway_problems{kind="BGPPeer",reason="PasswordUnavailable"} 2`,
		`fairway_refused_prefixes{peer="tor-a",reason="NotOnLink"} 2`,
		`fairway_routes_contested 0`,
		`fairway_routes_failed 0`,
		`fairway_routes_installed 4`,
		`fairway_routes_wanted 4`,
		`fairway_session_accepted_prefixes{address="192.0.2.1",family="IPv4Unicast",peer="tor-a"} 4`,
		`fairway_session_advertised_prefixes{address="192.0.2.1",family="IPv4Unicast",peer="tor-a"} 3`,
		`fairway_session_received_prefixes{address="192.0.2.1",family="IPv4Unicast",peer="tor-a"} 5`,
		`fairway_session_up{address="192.0.2.1",peer="tor-a"} 1`,
		`fairway_session_up{address="2001:db8::12",peer="mesh/node-b"} 0`,
		`fairway_source_available 0`,
		`fairway_source_failures_total 7`,
		`fairway_source_synced 1`,
		`fairway_speaker_running 1`,
		`fairway_sysctls_wrong{class="recommended"} 2`,
		`fairway_sysctls_wrong{class="required"} 1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMetricsWithoutAReportAreThoseOfGoAlone(t *testing.T) {
	s, _ := newServer()
	status, body := get(s, "/metrics")
	if status != http.StatusOK || !strings.Contains(body, "\ngo_goroutines ") || strings.Contains(body, "fairway_") {
		t.Errorf("%d %s", status, body)
	}
}

func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	s, _ := newServer()
	s.Report(full())
	_, body := get(s, "/metrics")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(body)); err != nil {
		t.Errorf("they do not parse: %v", err)
	}
	if found := complaints(t, ours(body)); len(found) > 0 {
		t.Errorf("promlint complains: %v", found)
	}
	// The twin, which shows that the linter complains of what is wrong.
	if found := complaints(t, strings.ReplaceAll(ours(body), "fairway_routes_wanted", "fairway_routes_total")); len(found) != 1 {
		t.Errorf("promlint complains of a gauge that is named like a counter: %v", found)
	}
}

func complaints(t *testing.T, metrics string) []promlint.Problem {
	t.Helper()
	found, err := promlint.New(strings.NewReader(metrics)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// ours are the lines about our own metrics, comments included.
func ours(body string) string {
	var b strings.Builder
	for line := range strings.Lines(body) {
		if strings.Contains(line, "fairway_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestMetricsAreThoseOfTheManual compares names both ways with docs/operations.md.
func TestMetricsAreThoseOfTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(manual), "\n## Metrics\n")
	if !found {
		t.Fatal("the manual has no section about metrics")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	named := namesIn(section)
	s, _ := newServer()
	s.Report(full())
	_, body := get(s, "/metrics")
	var there []string
	for line := range strings.Lines(body) {
		if name, isType := strings.CutPrefix(line, "# TYPE fairway_"); isType {
			there = append(there, "fairway_"+strings.Fields(name)[0])
		}
	}
	slices.Sort(there)
	if !slices.Equal(named, there) {
		t.Errorf("docs/operations.md names\n%s\nand there are\n%s", strings.Join(named, "\n"), strings.Join(there, "\n"))
	}
	if len(there) != len(descs) {
		t.Errorf("%d metrics of %d are there: the report of this test has to have something for each", len(there), len(descs))
	}
}

var metricName = regexp.MustCompile("`(fairway_[a-z_]*)(?:\\{([a-z,]+)\\}([a-z_]*))?`")

// namesIn returns the metrics that a text names, sorted; a_{b,c}_d are two.
func namesIn(text string) []string {
	var names []string
	for _, m := range metricName.FindAllStringSubmatch(text, -1) {
		for part := range strings.SplitSeq(m[2], ",") {
			names = append(names, m[1]+part+m[3])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
