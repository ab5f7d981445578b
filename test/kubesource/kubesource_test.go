// Package kubesource tests the source and the status writer of controller/kube against a
// real API server: what they read and write, and what they keep when it goes away.
package kubesource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-bgp/fairway/controller/kube"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/test/controlplane"
)

const (
	crds      = "../../deploy/crds"
	namespace = "fairway-system"
)

// startControlPlane starts one with the namespace of the agents.
func startControlPlane(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	cp := controlplane.Start(t, controlplane.Options{})
	apply(t, cp, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")
	return cp
}

func applyCRDs(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	if err := cp.ApplyCRDs(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
}

func apply(t *testing.T, cp *controlplane.ControlPlane, manifests ...string) {
	t.Helper()
	if err := cp.Apply(t.Context(), []byte(strings.Join(manifests, "---\n"))); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, cp *controlplane.ControlPlane, manifests ...string) {
	t.Helper()
	if err := cp.Delete(t.Context(), []byte(strings.Join(manifests, "---\n"))); err != nil {
		t.Fatal(err)
	}
}

func node(name, podCIDR string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Node\nmetadata: {name: %s}\nspec: {podCIDR: %s, podCIDRs: [%s]}\n", name, podCIDR, podCIDR)
}

func service(name, clusterIP string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: default}\nspec: {clusterIP: %s, ports: [{port: 80}]}\n", name, clusterIP)
}

func namespaced(name, labels string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s}}\n", name, labels)
}

// slice is one of a Service; that of a headless Service is labelled as the API server's own controller does.
func slice(service, name, node string) string {
	headless := ""
	if service == "headless" {
		headless = `, service.kubernetes.io/headless: ""`
	}
	return fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s, namespace: default, labels: {kubernetes.io/service-name: %s%s}}\n"+
		"addressType: IPv4\nendpoints: [{addresses: [10.244.0.9], nodeName: %q}]\n", name, service, headless, node)
}

// ofAPIServers is the EndpointSlice of the API servers' own Service; one of them is not ready.
func ofAPIServers(ready, notReady string) string {
	return fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}\n"+
		"addressType: IPv4\nendpoints: [{addresses: [%s]}, {addresses: [%s], conditions: {ready: false}}]\n", ready, notReady)
}

func advertisement(services string) string {
	return "apiVersion: bgp.fairway.dev/v1alpha1\nkind: BGPAdvertisement\nmetadata: {name: all}\nspec: {services: " + services + "}\n"
}

func secret(name, password string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\nstringData: {password: %s}\n", name, namespace, password)
}

const speaker = "apiVersion: bgp.fairway.dev/v1alpha1\nkind: BGPSpeaker\nmetadata: {name: all}\nspec: {localASN: 65000}\n"

func peer(name, secret string) string {
	text := fmt.Sprintf("apiVersion: bgp.fairway.dev/v1alpha1\nkind: BGPPeer\nmetadata: {name: %s}\nspec:\n  address: 192.0.2.1\n  asn: 64512\n", name)
	if secret != "" {
		text += "  passwordSecretRef: {name: " + secret + "}\n"
	}
	return text
}

// reader is a source that runs until the test ends, and its log.
type reader struct {
	*kube.Source
	t   *testing.T
	log *logBuffer
}

func startReader(t *testing.T, config *rest.Config) *reader {
	t.Helper()
	r := &reader{t: t, log: &logBuffer{}}
	var err error
	r.Source, err = kube.New(kube.Options{
		Config: config, NodeName: "node-a", Namespace: namespace,
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not end with its context")
		}
		if t.Failed() {
			t.Logf("log of the source:\n%s", r.log)
		}
	})
	return r
}

// eventually waits on the source's channel until what holds.
func (r *reader) eventually(what string, holds func(*snapshot.Snapshot) bool) {
	r.t.Helper()
	deadline := time.After(time.Minute)
	for {
		if snap, _ := r.Snapshot(); snap != nil && holds(snap) {
			return
		}
		r.await(what, deadline)
	}
}

func (r *reader) eventuallyState(what string, holds func(err string, synced bool) bool) {
	r.t.Helper()
	deadline := time.After(time.Minute)
	for {
		if _, state := r.Snapshot(); holds(state.Error, state.Synced) {
			return
		}
		r.await(what, deadline)
	}
}

func (r *reader) await(what string, deadline <-chan time.Time) {
	r.t.Helper()
	select {
	case <-r.Changed():
	case <-deadline:
		snap, state := r.Snapshot()
		r.t.Fatalf("%s: never; state %+v, snapshot %s", what, state, text(snap))
	}
}

// text renders what the tests look at, on one line.
func text(snap *snapshot.Snapshot) string {
	if snap == nil {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(snap.Nodes)) {
		parts = append(parts, fmt.Sprint(name, snap.Nodes[name].PodCIDRs))
	}
	for _, name := range slices.Sorted(snap.Services.Keys()) {
		service, _ := snap.Services.Get(name)
		if name != "default/kubernetes" {
			parts = append(parts, fmt.Sprint(name, service.ClusterIPs))
		}
	}
	for _, name := range slices.Sorted(snap.Slices.Keys()) {
		if slice, _ := snap.Slices.Get(name); slice.Service != "default/kubernetes" {
			parts = append(parts, fmt.Sprint(name, ":", slice.Service, slice.Nodes))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Speakers)) {
		parts = append(parts, fmt.Sprintf("%s/%d", name, *snap.Speakers[name].Spec.ListenPort))
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Peers)) {
		parts = append(parts, fmt.Sprintf("%s/%d", name, *snap.Peers[name].Spec.Port))
	}
	for _, name := range slices.Sorted(maps.Keys(snap.Passwords)) {
		p := snap.Passwords[name]
		parts = append(parts, fmt.Sprintf("%s=%s%s", name, string(p.Value), p.Problem))
	}
	return strings.Join(parts, " ")
}

func (r *reader) eventuallyText(want string) {
	r.t.Helper()
	r.eventually("snapshot "+want, func(snap *snapshot.Snapshot) bool { return text(snap) == want })
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
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
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

func configOf(t *testing.T, kubeconfig string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
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

func (b *logBuffer) count(text string) int { return strings.Count(b.String(), text) }

// noLeaks fails the test when goroutines of the source outlive it. Connections that are kept
// open for reuse are no leak.
func noLeaks(t *testing.T) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, ignore,
			goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
			goleak.IgnoreAnyFunction("net/http.(*http2ClientConn).readLoop"),
			goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
	})
}
