// Package rollup tests `fairway controller` against a real API server, with the rights that
// deploy/ gives it: that of two one leads, that status comes to say what BGPNodeStates say,
// and that the other takes over. The BGPNodeStates are made by hand; no agent runs.
package rollup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/kube"
	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	deploy    = "../../deploy"
	namespace = "fairway-system"
	patience  = time.Minute
)

// TestMain fails when goroutines of a controller outlive its Run. Connections that are kept
// open for reuse are no leak.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*http2ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
}

// rig is a cluster without agents.
type rig struct {
	t    *testing.T
	cp   *controlplane.ControlPlane
	ours *client.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, cp: controlplane.Start(t, controlplane.Options{})}
	if err := r.cp.ApplyCRDs(t.Context(), filepath.Join(deploy, "crds")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"namespace.yaml", "controller.yaml"} {
		text, err := os.ReadFile(filepath.Join(deploy, "kustomize", "base", file))
		if err != nil {
			t.Fatal(err)
		}
		r.apply(string(text))
	}
	var err error
	if r.ours, err = client.NewForConfig(r.cp.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) apply(manifests string) {
	r.t.Helper()
	if err := r.cp.Apply(r.t.Context(), []byte(manifests)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) addNodes(names ...string) {
	r.t.Helper()
	for _, name := range names {
		r.apply("apiVersion: v1\nkind: Node\nmetadata: {name: " + name + "}\n")
	}
}

// report does what the agent of a node would: its session with the router is in a state.
func (r *rig) report(node string, state v1alpha1.SessionState, problems ...v1alpha1.Problem) {
	r.t.Helper()
	states := r.ours.BGPNodeStates()
	o, err := states.Get(r.t.Context(), node, metav1.GetOptions{})
	if err != nil {
		o, err = states.Create(r.t.Context(), &v1alpha1.BGPNodeState{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	o.Status = v1alpha1.BGPNodeStateStatus{
		SessionsTotal:  1,
		Sessions:       []v1alpha1.SessionStatus{{Peer: "router", Address: "192.0.2.1", State: state}},
		Problems:       problems,
		Advertisements: []v1alpha1.AdvertisedState{{Name: "default", Source: v1alpha1.AdvertisedFromPodCIDRs, Advertised: 1}},
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, LastTransitionTime: metav1.Now(),
		}},
	}
	if _, err := states.UpdateStatus(r.t.Context(), o, metav1.UpdateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

// eventually polls until text returns what is wanted.
func (r *rig) eventually(want string, text func() string) {
	r.t.Helper()
	lab.Eventually(r.t, patience, func() error {
		if got := text(); got != want {
			return fmt.Errorf("it is\n%s\nwant\n%s", got, want)
		}
		return nil
	})
}

// status is that of the three objects, as text.
func (r *rig) status() string {
	ctx := r.t.Context()
	s, err1 := r.ours.BGPSpeakers().Get(ctx, "all", metav1.GetOptions{})
	p, err2 := r.ours.BGPPeers().Get(ctx, "router", metav1.GetOptions{})
	a, err3 := r.ours.BGPAdvertisements().Get(ctx, "default", metav1.GetOptions{})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("speaker %d/%d %s\nrouter %d/%d not %v %s\nadvertised %d %s",
		s.Status.NodesReady, s.Status.Nodes, conditions(s.Generation, s.Status.Conditions),
		p.Status.SessionsEstablished, p.Status.SessionsExpected, p.Status.NotEstablishedNodes, conditions(p.Generation, p.Status.Conditions),
		a.Status.PrefixesAdvertised, conditions(a.Generation, a.Status.Conditions))
}

func conditions(generation int64, all []metav1.Condition) string {
	var parts []string
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed} {
		c := meta.FindStatusCondition(all, kind)
		switch {
		case c == nil:
			parts = append(parts, "no "+kind)
		case c.ObservedGeneration != generation:
			parts = append(parts, kind+" of an older generation")
		case c.Status == metav1.ConditionTrue:
			parts = append(parts, kind)
		default:
			parts = append(parts, "not "+kind+": "+c.Reason)
		}
	}
	return strings.Join(parts, ", ")
}

// process is a controller that runs until it is stopped, or the test ends.
type process struct {
	*kube.Rollup
	t      *testing.T
	name   string
	log    *logBuffer
	uplink *uplink
	leases atomic.Int64 // requests about the Lease
	stop   func()
}

func (r *rig) start(name string) *process {
	r.t.Helper()
	return r.startAs(name, "fairway-controller")
}

func (r *rig) startAs(name, account string) *process {
	r.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", r.cp.KubeconfigForServiceAccount(r.t.Context(), namespace, account))
	if err != nil {
		r.t.Fatal(err)
	}
	p := &process{t: r.t, name: name, log: &logBuffer{}, uplink: &uplink{}}
	config.Dial = p.uplink.dial
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if strings.Contains(request.URL.Path, "/leases") {
				p.leases.Add(1)
			}
			return next.RoundTrip(request)
		})
	})
	p.Rollup = newRollup(r.t, config, name, p.log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				r.t.Errorf("%s: Run: %v", name, err)
			}
		case <-time.After(patience):
			r.t.Errorf("%s: Run does not end with its context", name)
		}
	})
	r.t.Cleanup(func() {
		p.stop()
		if r.t.Failed() {
			r.t.Logf("log of %s:\n%s", name, p.log)
		}
	})
	return p
}

func newRollup(t *testing.T, config *rest.Config, name string, log *logBuffer) *kube.Rollup {
	t.Helper()
	rollup, err := kube.NewRollup(kube.RollupOptions{
		Config: config, Namespace: namespace, Host: name, Version: "v1",
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return rollup
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// eventually polls until the controller's report is as wanted.
func (p *process) eventually(what string, holds func(*report.Controller) bool) {
	p.t.Helper()
	lab.Eventually(p.t, patience, func() error {
		if c := p.Report(); !holds(c) {
			return fmt.Errorf("%s: %s: it is %+v", p.name, what, *c)
		}
		return nil
	})
}

func leads(c *report.Controller) bool { return c.Leading && c.Source.Synced }

func (p *process) follows(leader string) func(*report.Controller) bool {
	return func(c *report.Controller) bool { return !c.Leading && strings.HasPrefix(c.Leader, leader+"_") }
}

// uplink is the way to the API server, which a test can cut.
type uplink struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

var errDown = errors.New("the way is cut")

func (u *uplink) dial(ctx context.Context, network, address string) (net.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errDown}
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		u.conns = append(u.conns, conn)
	}
	return conn, err
}

func (u *uplink) cut() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down = true
	for _, conn := range u.conns {
		_ = conn.Close()
	}
	u.conns = nil
}

func (u *uplink) mend() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down = false
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
