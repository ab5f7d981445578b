package probe

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller"
)

// answering is an HTTP server whose answer can be changed; 0 is none at all.
type answering struct {
	port   uint16
	status atomic.Int32
	paths  chan string
}

func newAnswering(t *testing.T, host string, status int) *answering {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	a := &answering{port: listener.Addr().(*net.TCPAddr).AddrPort().Port(), paths: make(chan string, 100)}
	a.status.Store(int32(status))
	server := &http.Server{Handler: a, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return a
}

func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case a.paths <- r.URL.RequestURI():
	default:
	}
	status := int(a.status.Load())
	if status == 0 {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(status)
}

func (a *answering) probe(name string) v1alpha1.ReadinessProbe {
	return v1alpha1.ReadinessProbe{Name: name, HTTP: &v1alpha1.HTTPProbe{Address: "127.0.0.1", Port: int32(a.port), Path: "/ready?full"}}
}

func TestAProbeIsGoodWhenItIsAnsweredSo(t *testing.T) {
	p := New()
	for status, want := range map[int]bool{200: true, 204: true, 301: true, 399: true, 400: false, 404: false, 500: false, 503: false} {
		a := newAnswering(t, "127.0.0.1", status)
		got, err := p.probe(t.Context(), a.probe("x"))
		if err != nil || got.Good != want || !strings.Contains(got.Words, fmt.Sprint("answers ", status)) {
			t.Errorf("%d: %+v, %v", status, got, err)
		}
		if path := <-a.paths; path != "/ready?full" || len(a.paths) > 0 {
			t.Errorf("asked for %s, and %d more: a redirect is an answer", path, len(a.paths))
		}
	}
	silent := newAnswering(t, "127.0.0.1", 0)
	if got, err := p.probe(t.Context(), silent.probe("x")); err == nil {
		t.Errorf("no answer: %+v", got)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := &answering{port: listener.Addr().(*net.TCPAddr).AddrPort().Port()}
	_ = listener.Close()
	if got, err := p.probe(t.Context(), closed.probe("x")); err != nil || got.Good || !strings.Contains(got.Words, "nothing listens") {
		t.Errorf("nobody listens: %+v, %v", got, err)
	}
	file := v1alpha1.ReadinessProbe{Name: "x", File: &v1alpha1.FileProbe{Path: filepath.Join(t.TempDir(), "ready")}}
	if got, err := p.probe(t.Context(), file); err != nil || got.Good {
		t.Errorf("no file: %+v, %v", got, err)
	}
	if err := os.WriteFile(file.File.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := p.probe(t.Context(), file); err != nil || !got.Good {
		t.Errorf("a file: %+v, %v", got, err)
	}
}

// A probe that gives no answer has not said no: a node under load would else withdraw all.
func TestNoAnswerIsOneAfterThree(t *testing.T) {
	p, probe := New(), (&answering{}).probe("x")
	p.Ask(controller.Questions{Probes: []v1alpha1.ReadinessProbe{probe}})
	known := func() string {
		a, known := p.Answers().Probes["x"]
		return fmt.Sprintf("%t %t %s", known, a.Good, a.Words)
	}
	none := context.DeadlineExceeded
	for i, step := range []struct {
		good bool
		err  error
		want string
	}{
		{false, none, "false false "}, {false, none, "false false "}, {false, none, "true false " + none.Error()},
		{true, nil, "true true said"},
		{false, none, "true true said"}, {false, none, "true true said"},
		{true, nil, "true true said"}, // they have to be in a row
		{false, none, "true true said"}, {false, none, "true true said"}, {false, none, "true false " + none.Error()},
		{true, nil, "true true said"}, {false, nil, "true false said"},
	} {
		p.note(probe, controller.Answer{Good: step.good, Words: "said"}, step.err)
		if got := known(); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	other := probe
	other.HTTP = &v1alpha1.HTTPProbe{Address: "127.0.0.1", Port: 1, Path: "/"}
	p.Ask(controller.Questions{Probes: []v1alpha1.ReadinessProbe{other}})
	p.note(probe, controller.Answer{Good: true}, nil) // which was under way
	if got := known(); got != "false false " {
		t.Errorf("another probe of the same name is answered: %q", got)
	}
}

func TestProbesAndPortsAreAskedAgainAndAgain(t *testing.T) {
	probe, loopback := newAnswering(t, "127.0.0.1", 200), newAnswering(t, "127.0.0.1", 503)
	nodeOnly := newAnswering(t, "127.0.0.2", 200) // as kube-proxy's nftables mode listens on the node's address alone
	p := New()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	eventually := func(want string) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for {
			a := p.Answers()
			got := fmt.Sprintf("%v %v %v", a.Probes["x"].Good, a.Ports[loopback.port], a.Ports[nodeOnly.port])
			if got == want {
				return
			}
			select {
			case <-p.Changed():
			case <-deadline:
				t.Fatalf("%s, want %s", got, want)
			}
		}
	}
	ports := []uint16{min(loopback.port, nodeOnly.port), max(loopback.port, nodeOnly.port)}
	node := []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	p.Ask(controller.Questions{Probes: []v1alpha1.ReadinessProbe{probe.probe("x")}, Ports: ports})
	eventually("true false false")
	p.Ask(controller.Questions{Probes: []v1alpha1.ReadinessProbe{probe.probe("x")}, Ports: ports, Addresses: node})
	eventually("true false true")
	loopback.status.Store(200)
	eventually("true true true")
	probe.status.Store(500)
	nodeOnly.status.Store(503)
	eventually("false true false")
	p.Ask(controller.Questions{})
	eventually("false false false")
	if a := p.Answers(); len(a.Probes)+len(a.Ports) > 0 {
		t.Errorf("of what is not asked there are answers: %+v", a)
	}
}

func TestAPortThatAnswersTooLateSaysNothing(t *testing.T) {
	p := New()
	p.Ask(controller.Questions{Ports: []uint16{30001, 30002}})
	p.Ask(controller.Questions{Ports: []uint16{30001}})
	p.notePort(30002, true) // which was under way
	if a := p.Answers(); len(a.Ports) > 0 || len(p.Changed()) > 0 {
		t.Errorf("of what is not asked there is news: %+v", a)
	}
	p.notePort(30001, true)
	if a := p.Answers(); !a.Ports[30001] || len(p.Changed()) == 0 {
		t.Errorf("of what is asked there is no news: %+v", a)
	}
}
