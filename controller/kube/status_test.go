package kube

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/controller/report"
)

// Before the source has been read, the agent may be about to end because the Node does not
// exist, and then that is all it says.
func TestStatusWriterTellsOfAMissingNodeOnlyOnceTheSourceHasBeenRead(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.NotFound(w, r)
	}))
	defer server.Close()
	var log bytes.Buffer
	w, err := NewStatusWriter(StatusOptions{
		Config: &rest.Config{Host: server.URL}, NodeName: "node-a", Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	attempt := func(synced bool) {
		w.Report(&report.Report{Node: "node-a", Source: report.Source{Synced: synced}})
		w.last = time.Time{} // the pause is over
		w.step(t.Context())
	}
	attempt(false)
	if asked != 1 || log.Len() > 0 {
		t.Errorf("asked %d times, want once, and logged %q, want nothing", asked, log.String())
	}
	attempt(true)
	attempt(true)
	if n := strings.Count(log.String(), "the Node does not exist"); asked != 3 || n != 1 {
		t.Errorf("asked %d times, want 3, and told %d times, want once:\n%s", asked, n, log.String())
	}
}
