package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	speakerManifest = `
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.0.2.11}]}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec: {localASN: 64512, topology: {type: None}}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata: {name: default}
spec: {podCIDRs: {}, services: {addressTypes: [ClusterIP]}}
`
	peerManifest = `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: router}
spec: {address: 192.0.2.1, asn: 65001, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}, families: [IPv4Unicast]}
`
)

// TestAgentThatCannotGoOnSaysSoInOneLine starts agents that cannot work. Each has to end by
// itself with status 1 and one line that names the matter and the remedy, and must not have
// touched the kernel: a route of ours from before is still there.
func TestAgentThatCannotGoOnSaysSoInOneLine(t *testing.T) {
	l := lab.New(t)
	n := l.Node("node-1")
	l.Switch("lan").Attach(n, "192.0.2.11/24")
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	const old = "10.244.77.0/24 via 192.0.2.1 dev lan proto 219 metric 2048"
	if _, err := n.Run(t.Context(), "sh", "-c", "ip route add "+old); err != nil {
		t.Fatal(err)
	}
	good, empty := t.TempDir(), t.TempDir()
	write(t, good, "speaker.yaml", speakerManifest)
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("{nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir, name := "--source=dir:"+good, "--node-name=node-1"
	tests := []struct {
		what   string
		before []string // a command that goes before the agent's
		flags  []string
		port   string // taken by somebody else
		want   []string
	}{
		{what: "unknown flag", flags: []string{"--sauce=kube"}, want: []string{"unknown flag: --sauce", "--help"}},
		{what: "no source", flags: []string{name}, want: []string{"--source is required", "dir:PATH"}},
		{what: "unknown source", flags: []string{"--source=etcd", name}, want: []string{`--source "etcd"`, "use 'kube'"}},
		{what: "no node name", flags: []string{dir}, want: []string{"--node-name is required"}},
		{what: "foreign route protocol", flags: []string{dir, name, "--route-protocol=186"}, want: []string{"--route-protocol", "186", "219"}},
		{what: "unreadable kubeconfig", flags: []string{"--source=kube", name, "--kubeconfig=" + broken}, want: []string{broken}},
		{what: "missing kubeconfig", flags: []string{"--source=kube", name, "--kubeconfig=/nowhere/config"}, want: []string{"/nowhere/config"}},
		{what: "not in a cluster", flags: []string{"--source=kube", name}, want: []string{"--kubeconfig"}},
		{what: "missing CAP_NET_ADMIN", before: []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"}, flags: []string{dir, name}, want: []string{"NET_ADMIN"}},
		{what: "a Node that does not exist", flags: []string{dir, "--node-name=node-9"}, want: []string{`"node-9" does not exist`, "node-1", "--node-name"}},
		{what: "empty folder", flags: []string{"--source=dir:" + empty, name}, want: []string{empty}},
		{what: "a state folder that cannot be made", flags: []string{dir, name, "--state-dir=/dev/null/state"}, want: []string{"--state-dir", "/dev/null", "can be written"}},
		{what: "missing folder", flags: []string{"--source=dir:/nowhere/else", name}, want: []string{"/nowhere/else"}},
		{what: "BGP port in use", flags: []string{dir, name}, port: "0.0.0.0:179", want: []string{"179", "in use", "listenPort"}},
		{what: "HTTP port in use", flags: []string{dir, name}, port: "127.0.0.1:9479", want: []string{"127.0.0.1:9479", "--http-address"}},
		{what: "gRPC port in use", flags: []string{dir, name}, port: "127.0.0.1:50051", want: []string{"127.0.0.1:50051", "--grpc-address"}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			if tt.port != "" {
				occupy(t, n.Host, tt.port)
			}
			argv := slices.Concat(tt.before, []string{lab.Binary(t), "agent", "--state-dir=" + t.TempDir()}, tt.flags)
			endsWithOneLine(t, n.Host, argv, tt.want...)
			if out, err := n.Run(t.Context(), "ip", "route", "show", "proto", "219"); err != nil || !strings.HasPrefix(out, "10.244.77.0/24 ") {
				t.Errorf("the kernel was touched: %q, %v", out, err)
			}
		})
	}
}

// endsWithOneLine runs an agent that has to end by itself with status 1 and one line, which
// says all that is wanted.
func endsWithOneLine(t *testing.T, h *lab.Host, argv []string, wanted ...string) {
	t.Helper()
	code, said := runToEnd(t, h, argv)
	if code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	lines := complaints(said)
	if len(lines) != 1 {
		t.Errorf("%d lines that complain, want one:\n%s", len(lines), said)
	}
	for _, want := range wanted {
		if !strings.Contains(strings.Join(lines, "\n"), want) {
			t.Errorf("the line does not say %q:\n%s", want, said)
		}
	}
}

// complaints are the lines that are more than information: warnings and errors of the log,
// and whatever does not come from the log.
func complaints(said string) []string {
	var out []string
	for line := range strings.Lines(said) {
		informs := strings.HasPrefix(line, "time=") && strings.Contains(line, " level=INFO ")
		if !informs && strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out
}

// runToEnd runs a command that is expected to end by itself, and returns its status and
// what it wrote to standard error.
func runToEnd(t *testing.T, h *lab.Host, argv []string) (code int, said string) {
	t.Helper()
	p, err := h.Start(t.Context(), strings.ReplaceAll(filepath.Base(t.Name()), " ", "-"), argv...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = p.Wait(ctx)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Errorf("the agent did not end: %v", errors.Join(err, p.Kill()))
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	if said, err = p.Log(); err != nil {
		t.Fatal(err)
	}
	return code, said
}

// occupy takes a TCP port on a host until the test ends.
func occupy(t *testing.T, h *lab.Host, address string) {
	t.Helper()
	listener, err := h.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	// As an editor saves: written aside, then put in place.
	part := filepath.Join(dir, "."+name)
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// TestAPIServerThatIsAway has the API server away at the agent's start, and away again later.
func TestAPIServerThatIsAway(t *testing.T) {
	r := newRig(t, 1)
	r.apply(configuration)
	n := r.nodes[0]
	n.createNode()
	if _, err := n.run("sh", "-c", "ip route add 10.244.77.0/24 via 192.0.2.1 dev lan proto 219 metric 2048"); err != nil {
		t.Fatal(err)
	}
	kubeconfig := r.cp.KubeconfigForServiceAccount(t.Context(), "fairway-system", "fairway-agent")
	flags := []string{"--source=kube", "--kubeconfig=" + kubeconfig}

	t.Log("a Node that does not exist")
	endsWithOneLine(t, n.Host, slices.Concat([]string{lab.Binary(t), "agent", "--node-name=node-9", "--state-dir=" + filepath.Join(n.Dir(), "state")}, flags),
		`"node-9" does not exist`, "node-1", "--node-name")

	t.Log("away at the start")
	// A state folder that cannot be made keeps nothing else from working.
	flags = append(flags, "--node-name=node-1", "--state-dir=/dev/null/state")
	r.cp.StopAPIServer()
	n.start(flags...)
	r.eventually(func() error { return n.metric("fairway_source_available 0") })
	r.eventually(func() error { return n.metric("fairway_source_synced 0") })
	if err := errors.Join(n.answers("/livez", "200"), n.answers("/readyz", "503")); err != nil {
		t.Error(err)
	}
	if err := hasRoute(t.Context(), n.Host, "10.244.77.0/24", r.router.IPv4()); err != nil {
		t.Errorf("an agent that knows nothing touched the kernel: %v", err)
	}
	r.cp.StartAPIServer()
	r.eventually(func() error { return n.established(1) })
	r.eventually(func() error { return n.answers("/readyz", "200") })
	r.eventually(func() error { return r.routerHas(n.pods(4), n.IPv4()) })
	r.eventually(func() error { return n.metric("fairway_source_available 1") })

	t.Log("away later")
	r.cp.StopAPIServer()
	r.eventually(func() error { return n.metric("fairway_source_available 0") })
	if err := errors.Join(n.answers("/livez", "200"), n.answers("/readyz", "200"), n.established(1), r.routerHas(n.pods(4), n.IPv4())); err != nil {
		t.Errorf("what ran did not go on: %v", err)
	}
	r.cp.StartAPIServer()
	r.createService(service("web", "10.96.0.80", "fd00:10:96::80"))
	r.eventually(func() error { return r.routerHas("10.96.0.80/32", n.IPv4()) })
	r.eventually(func() error { return n.metric("fairway_source_available 1") })
	for _, line := range []string{"the API server cannot be read;.*cannot be reached", "the API server can be read again"} {
		if told := len(regexp.MustCompile(line).FindAllString(n.log(), -1)); told != 2 {
			t.Errorf("two outages made %d lines %q, want one each:\n%s", told, line, n.log())
		}
	}
	if body, err := n.get("/metrics"); err != nil || !regexp.MustCompile(`\nfairway_source_failures_total [1-9]`).MatchString(body) {
		t.Errorf("no failed request was counted (%v):\n%s", err, body)
	}
}

// dirRig is one node whose agent reads a folder, and an FRR router.
func dirRig(t *testing.T) (r *rig, n *node, dir string, start func()) {
	t.Helper()
	r = &rig{Lab: lab.New(t), t: t}
	n = &node{Node: r.Node("node-1"), rig: r, index: 1}
	r.router = r.FRR("router", routerConfig(1))
	lan := r.Switch("lan")
	lan.Attach(n, "192.0.2.11/24")
	lan.Attach(r.router, "192.0.2.1/24")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	write(t, dir, "speaker.yaml", speakerManifest)
	return r, n, dir, func() {
		n.start("--source=dir:"+dir, "--node-name=node-1", "--state-dir="+filepath.Join(n.Dir(), "state"))
	}
}

// TestPasswordThatDiffersKeepsTheSessionDown has sessions come up only while both sides have the
// same password, whoever is the one that lacks it or has another.
func TestPasswordThatDiffersKeepsTheSessionDown(t *testing.T) {
	l := newListenRig(t)
	other, noneTheirs, noneOurs := l.routers[rackOne], l.routers[rackTwo], l.routers[upper]
	ours := func(r *lab.FRR, password string) {
		t.Helper()
		spec := "address: " + r.IPv4().String() + ", asnType: External, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}"
		if password != "" {
			spec += ", passwordSecretRef: {name: " + r.Name() + "}"
			write(t, l.dir, r.Name()+"-secret.yaml", strings.Replace(liveSecret("password: "+password), "third", r.Name(), 1))
		}
		write(t, l.dir, r.Name()+".yaml", fairwayObject("BGPPeer", r.Name(), "", spec))
	}
	write(t, l.dir, "speaker.yaml", speakerManifest)
	for session, router := range l.routers {
		ours(router, "one")
		l.password(session, "one")()
	}
	l.startAgent()
	t.Log("the same on both sides: up, so that what follows can fail")
	l.eventually(func() error { return l.n.established(3) })

	t.Log("another on ours, none on theirs, none on ours")
	ours(other, "two")
	l.password(rackTwo, "")()
	ours(noneOurs, "")
	down := func() error { return l.n.established(0) }
	l.eventually(down)
	if err := lab.Stays(t.Context(), 12*time.Second, down); err != nil { // longer than any try of either side takes
		t.Errorf("a session came up: %v", err)
	}

	t.Log("the same again, none on either side, the same again: up")
	ours(other, "one")
	ours(noneTheirs, "")
	ours(noneOurs, "one")
	l.eventually(func() error { return l.n.established(3) })
	for _, secret := range []string{"\"one\"", "\"two\"", "=one", "=two", ": one", ": two"} {
		if strings.Contains(l.n.log(), secret) {
			t.Errorf("the log holds a password, %s", secret)
		}
	}
}

// TestMistakesAffectThemselvesAlone makes mistakes in the folder of an agent whose session
// is up: the session and what it carries stay, and each mistake is named.
func TestMistakesAffectThemselvesAlone(t *testing.T) {
	r, n, dir, start := dirRig(t)
	write(t, dir, "router.yaml", peerManifest)
	start()
	r.eventually(func() error { return n.established(1) })
	r.eventually(func() error { return r.routerHas("10.244.1.0/24", n.IPv4()) })

	fine := func() error { return errors.Join(n.established(1), r.routerHas("10.244.1.0/24", n.IPv4())) }
	stays := func(t *testing.T) {
		t.Helper()
		if err := fine(); err != nil {
			t.Errorf("the mistake affected others: %v", err)
		}
	}

	t.Log("a peer that cannot work")
	write(t, dir, "other.yaml", strings.NewReplacer("name: router", "name: other", "192.0.2.1,", "192.0.2.300,").Replace(peerManifest))
	r.eventually(func() error { return n.says("BGPPeer_other", "reason: Invalid") })
	stays(t)

	t.Log("a peer whose password is missing")
	write(t, dir, "other.yaml", strings.NewReplacer("name: router", "name: other", "192.0.2.1,", "192.0.2.2, passwordSecretRef: {name: nowhere},").Replace(peerManifest))
	r.eventually(func() error { return n.says("BGPPeer_other", "reason: PasswordUnavailable") })
	stays(t)

	t.Log("an edit that makes the live peer invalid: its last form stays")
	write(t, dir, "router.yaml", strings.Replace(peerManifest, "holdTimeSeconds: 9", "holdTimeSeconds: 1", 1))
	r.eventually(func() error { return n.says("BGPPeer_router", "the last valid form stays at work") })
	stays(t)

	t.Log("a restart with the invalid form: the last valid one is on disk")
	if err := n.agent.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	start()
	r.eventually(fine)
	r.eventually(func() error { return n.says("BGPPeer_router", "the last valid form stays at work") })

	t.Log("a manifest that does not parse: named with file and line, its last good copy stays")
	write(t, dir, "router.yaml", peerManifest+"  timers: [broken\n")
	r.eventually(func() error {
		if !strings.Contains(n.log(), "router.yaml:") {
			return errors.New("the log does not name router.yaml and a line:\n" + n.log())
		}
		return nil
	})
	stays(t)

	t.Log("a restart with the broken file: the last good copy is on disk")
	if err := n.agent.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	start()
	r.eventually(fine)
	write(t, dir, "router.yaml", peerManifest)
	r.eventually(func() error { return n.metric("fairway_source_available 1") })
	stays(t)

	t.Log("a folder that vanishes: all stays, and is said")
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error { return n.metric("fairway_source_available 0") })
	stays(t)
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, 2*patience, func() error { return n.metric("fairway_source_available 1") })
	stays(t)
	if up := strings.Count(n.log(), "peer up"); up != 1 {
		t.Errorf("the session came up %d times since the restart, want once", up)
	}
}
