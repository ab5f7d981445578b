package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/fairway-bgp/fairway/controller/report"
)

func askController(c *report.Controller, path string) (status int, body string) {
	answer := httptest.NewRecorder()
	NewController(func() *report.Controller { return c }).http.Handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer.Code, answer.Body.String()
}

func TestControllerProbes(t *testing.T) {
	synced := report.Source{Synced: true}
	for _, c := range []struct {
		what         string
		is           report.Controller
		alive, ready int
	}{
		{"just started", report.Controller{}, http.StatusOK, http.StatusServiceUnavailable},
		{"following", report.Controller{Leader: "other"}, http.StatusOK, http.StatusOK},
		{"leading, still reading", report.Controller{Leader: "me", Leading: true, Turned: start}, http.StatusOK, http.StatusServiceUnavailable},
		{"leading", report.Controller{Leader: "me", Leading: true, Turned: start, Source: synced}, http.StatusOK, http.StatusOK},
		{"leading, quiet for a minute", report.Controller{Leader: "me", Leading: true, Turned: start.Add(-time.Minute), Source: synced}, http.StatusOK, http.StatusOK},
		{"leading, stuck", report.Controller{Leader: "me", Leading: true, Turned: start.Add(-time.Minute - time.Second), Source: synced}, http.StatusServiceUnavailable, http.StatusOK},
		{"following, without a loop that could be stuck", report.Controller{Leader: "other", Turned: start.Add(-time.Hour)}, http.StatusOK, http.StatusOK},
		{"leading while the API server is away", report.Controller{Leader: "me", Leading: true, Turned: start, Source: report.Source{Synced: true, Error: "away"}}, http.StatusOK, http.StatusOK},
	} {
		t.Run(c.what, func(t *testing.T) {
			c.is.Time = start
			if status, body := askController(&c.is, "/livez"); status != c.alive {
				t.Errorf("livez: %d %q, want %d", status, body, c.alive)
			}
			if status, body := askController(&c.is, "/readyz"); status != c.ready {
				t.Errorf("readyz: %d %q, want %d", status, body, c.ready)
			}
		})
	}
}

func TestControllerMetrics(t *testing.T) {
	leading := &report.Controller{
		Version: "v1", Leader: "me", Leading: true, Source: report.Source{Synced: true}, Nodes: 3, NodeStates: 2, Writes: 7, Failures: 1,
		Objects: []report.ObjectCondition{
			{Kind: "BGPPeer", Name: "router", Type: "Accepted", True: true},
			{Kind: "BGPPeer", Name: "router", Type: "Programmed"},
		},
	}
	_, body := askController(leading, "/metrics")
	for _, want := range []string{
		`fairway_controller_build_info{version="v1"} 1`,
		`fairway_controller_leading 1`,
		`fairway_controller_source_synced 1`,
		`fairway_controller_source_available 1`,
		`fairway_controller_nodes 3`,
		`fairway_controller_node_states 2`,
		`fairway_controller_object_condition{condition="Accepted",kind="BGPPeer",name="router"} 1`,
		`fairway_controller_object_condition{condition="Programmed",kind="BGPPeer",name="router"} 0`,
		`fairway_controller_status_writes_total 7`,
		`fairway_controller_status_write_failures_total 1`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	_, body = askController(&report.Controller{Leader: "other"}, "/metrics")
	if !strings.Contains(body, "\nfairway_controller_leading 0\n") || strings.Contains(body, "object_condition") {
		t.Errorf("one that follows says\n%s", body)
	}
}
