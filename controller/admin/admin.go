// Package admin shows the last report to machines: metrics, liveness and readiness over
// HTTP. It only reads, and it never says anything that the report does not.
package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairway-bgp/fairway/controller/report"
)

// stuckAfter is how old the last report may be until the loop counts as stuck. It makes
// one every few seconds, whatever the API server does.
const stuckAfter = time.Minute

// Server serves /livez, /readyz and /metrics of the agent.
type Server struct {
	web
	last    atomic.Pointer[report.Report]
	started time.Time
	now     func() time.Time
}

// New returns a Server that has no report yet.
func New(now func() time.Time) *Server {
	s := &Server{started: now(), now: now}
	s.web.handle(s.alive, s.ready, collector{s})
	return s
}

// Report takes the newest report.
func (s *Server) Report(r *report.Report) { s.last.Store(r) }

// web is two probes and a page of metrics.
type web struct{ http http.Server }

func (w *web) handle(alive, ready func() error, c prometheus.Collector) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), c)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", probe(alive))
	mux.HandleFunc("GET /readyz", probe(ready))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	w.http = http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}

// Serve answers on the listener until ctx ends.
func (w *web) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = w.http.Close() })
	defer stop()
	if err := w.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving probes and metrics: %w", err)
	}
	return nil
}

// alive asks only whether the loop turns. It does not ask whether anything outside this
// process works: killing the agent would not mend that, and would cost its sessions.
func (s *Server) alive() error {
	seen := s.started
	if r := s.last.Load(); r != nil {
		seen = r.Time
	}
	if age := s.now().Sub(seen); age > stuckAfter {
		return fmt.Errorf("no report for %s: the loop is stuck", age.Round(time.Second))
	}
	return nil
}

// ready asks whether this node does its part: configuration read, speaker running, kernel
// compared. Whether peers answer is not asked: a router's outage must not stop a rollout here.
func (s *Server) ready() error {
	r := s.last.Load()
	switch {
	case r == nil:
		return errors.New("starting")
	case !r.Source.Synced:
		return errors.New("the configuration has not been read completely yet: " + r.Source.Error)
	case !r.Speaker.Running:
		return errors.New("the speaker does not run: " + r.Speaker.Error)
	case !r.RoutesSynced:
		return errors.New("the kernel's routes have not been compared yet")
	}
	return nil
}

func probe(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}
