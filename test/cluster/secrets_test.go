package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/test/lab"
)

// guarded is a peer with a password, beside one without, of which nothing may be felt.
const guarded = `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec: {localASN: 64512, topology: {type: None}}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: guarded}
spec:
  address: 192.0.2.1
  asn: 65001
  timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}
  passwordSecretRef: {name: guarded}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: open}
spec: {address: "2001:db8::1", asn: 65001, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}}
`

// TestPasswordsAreFollowedAndNeverShown has a password missing, come, change, be spoilt and go,
// with a router that has to have the same one; and then looks for it wherever the agent shows
// anything.
func TestPasswordsAreFollowedAndNeverShown(t *testing.T) {
	r := newRig(t, 1)
	n := r.nodes[0]
	first, second, misplaced, tooLong := mark(), mark(), mark(), mark()
	r.routerPassword(first)
	r.configureRouter("neighbor 2001:db8::11 remote-as 64512", "neighbor 2001:db8::11 timers 3 9")
	r.apply(guarded)
	n.createNode()
	n.startAgent("--log-level=debug")

	t.Log("missing at the start: the session stays down and says so")
	r.eventually(func() error { return r.problem(n, "guarded", "Secret guarded does not exist", "stays down") })
	r.eventually(func() error { return r.ups(1, "2001:db8::11") })
	if err := r.ups(0, "192.0.2.11"); err != nil {
		t.Error(err)
	}

	t.Log("it comes: the session comes up")
	r.setPassword(map[string]string{"password": first})
	r.eventually(func() error { return r.ups(1, "192.0.2.11") })
	r.eventually(func() error { return r.noProblem(n, "guarded") })

	t.Log("it changes: that session is reset, and comes up when the router has the same")
	r.setPassword(map[string]string{"password": second})
	r.eventually(func() error { return n.established(1) })
	r.routerPassword(second)
	r.eventually(func() error { return r.ups(2, "192.0.2.11") })
	r.eventually(func() error { return n.established(2) })

	t.Log("spoilt, one way and the other, and deleted: the session stays with the last one and says so")
	const stays = "stays with the last password"
	r.setPassword(map[string]string{"passwort": misplaced})
	r.eventually(func() error { return r.problem(n, "guarded", `has no key "password"`, stays) })
	r.setPassword(map[string]string{"password": tooLong + strings.Repeat("x", 80)})
	r.eventually(func() error { return r.problem(n, "guarded", "longer than the 80 bytes", stays) })
	if err := r.cp.Client().CoreV1().Secrets("fairway-system").Delete(t.Context(), "guarded", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error { return r.problem(n, "guarded", "does not exist", stays) })
	if err := errors.Join(n.established(2), r.ups(2, "192.0.2.11"), r.ups(1, "2001:db8::11")); err != nil {
		t.Errorf("a session was reset that should not be: %v", err)
	}

	t.Log("Events tell of it")
	for _, words := range []string{"create it with key \"password\"; the session stays down", "the session with 192.0.2.1 (AS 65001) is up", "the session with 192.0.2.1 (AS 65001) went down", stays} {
		r.eventually(func() error { return r.event("guarded", words) })
	}

	t.Log("none of them is shown")
	planted, process := r.plant(n)
	places := r.places(n, process)
	for place, text := range places {
		for what, secret := range map[string]string{"first": first, "second": second, "under another key": misplaced, "too long": tooLong} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the password that was %s:\n%s", place, what, linesWith(text, secret))
			}
		}
	}

	t.Log("what is shown on purpose is found, so that the search can fail")
	for place, sign := range map[string]string{
		"log": planted, "Events": planted, "BGPNodeState": planted, "metrics": planted,
		"gobgp neighbor -j": "192.0.2.1", "gobgp neighbor 192.0.2.1 -j": "192.0.2.1", "gobgp neighbor 192.0.2.1": "192.0.2.1",
		"command lines": planted, "environments": planted,
		"/livez": "200", "/readyz": "200",
	} {
		text, looked := places[place]
		if !looked || !strings.Contains(text, sign) {
			t.Errorf("%s does not show %q in its %d bytes", place, sign, len(text))
		}
		delete(places, place)
	}
	if len(places) > 0 {
		t.Errorf("nothing is planted in %v", slices.Sorted(maps.Keys(places)))
	}
}

// mark is a password that occurs nowhere else.
func mark() string { return "mark-" + strings.ToLower(rand.Text()) }

// plant has the agent say a mark in all the ways that it has: as the name of a Secret, which
// it misses, and of the peer that wants it; and of a peer that has a session. A process beside
// the agent has the mark in its command line and environment.
func (r *rig) plant(n *node) (sign string, process *lab.Process) {
	r.t.Helper()
	sign = mark()
	peer := func(name, address, more string) string {
		return fmt.Sprintf("apiVersion: bgp.fairway.dev/v1alpha1\nkind: BGPPeer\nmetadata: {name: %s}\nspec: {address: %s, asn: 65009%s}\n", name, address, more)
	}
	r.apply(peer(sign+"-missing", "192.0.2.98", ", passwordSecretRef: {name: "+sign+"}") + "---\n" + peer(sign, "192.0.2.99", ""))
	r.eventually(func() error { return n.metric(`fairway_session_up{address="192.0.2.99",peer="` + sign + `"} 0`) })
	r.eventually(func() error { return r.problem(n, sign+"-missing", sign) })
	r.eventually(func() error {
		if !strings.Contains(r.events(), sign) {
			return errors.New("no Event tells of " + sign)
		}
		return nil
	})
	process, err := n.Start(r.t.Context(), "planted", "env", "PLANTED="+sign, "sh", "-c", "while :; do sleep 1; done", sign)
	if err != nil {
		r.t.Fatal(err)
	}
	r.eventually(func() error { // it is a shell of the lab's first
		if !strings.Contains(r.ofProcesses("environ", process), sign) {
			return errors.New("the planted process has not started")
		}
		return nil
	})
	return sign, process
}

// places are all that the agent shows, by name.
func (r *rig) places(n *node, planted *lab.Process) map[string]string {
	r.t.Helper()
	state, err := r.fair.BGPNodeStates().Get(r.t.Context(), n.Name(), metav1.GetOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]string{
		"log":           n.log(),
		"Events":        r.events(),
		"BGPNodeState":  r.yaml(state),
		"command lines": r.ofProcesses("cmdline", n.agent, planted),
		"environments":  r.ofProcesses("environ", n.agent, planted),
	}
	for path, name := range map[string]string{"/metrics": "metrics", "/livez": "/livez", "/readyz": "/readyz"} {
		if out[name], err = n.get(path); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, command := range []string{"gobgp neighbor -j", "gobgp neighbor 192.0.2.1 -j", "gobgp neighbor 192.0.2.1"} {
		if out[command], err = n.run(strings.Fields(command)...); err != nil {
			r.t.Fatal(err)
		}
	}
	return out
}

// ofProcesses reads a file of /proc of processes and of their children.
func (r *rig) ofProcesses(file string, processes ...*lab.Process) string {
	r.t.Helper()
	var out strings.Builder
	for _, p := range processes {
		for _, pid := range append(p.Children(), p.Pid) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
				r.t.Fatal(err)
			}
			out.Write(text)
		}
	}
	return strings.ReplaceAll(out.String(), "\x00", "\n")
}

// events are all Events of all namespaces.
func (r *rig) events() string {
	r.t.Helper()
	list, err := r.cp.Client().EventsV1().Events(metav1.NamespaceAll).List(r.t.Context(), metav1.ListOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.yaml(list)
}

// event reports whether an Event about a BGPPeer says this.
func (r *rig) event(peer, words string) error {
	list, err := r.cp.Client().EventsV1().Events(metav1.NamespaceDefault).List(r.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	var said []string
	for _, e := range list.Items {
		if e.Regarding.Kind != "BGPPeer" || e.Regarding.Name != peer {
			continue
		}
		if strings.Contains(e.Note, words) {
			return nil
		}
		said = append(said, e.Reason+": "+e.Note)
	}
	return fmt.Errorf("no Event about %s says %q:\n%s", peer, words, strings.Join(said, "\n"))
}

func (r *rig) yaml(object any) string {
	r.t.Helper()
	out, err := yaml.Marshal(object)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(out)
}

// problem reports whether the node's state names a problem of a BGPPeer in these words.
func (r *rig) problem(n *node, peer string, words ...string) error {
	state, err := r.fair.BGPNodeStates().Get(r.t.Context(), n.Name(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, p := range state.Status.Problems {
		says := func(word string) bool { return strings.Contains(p.Message, word) }
		if p.Kind == "BGPPeer" && p.Name == peer && p.Reason == "PasswordUnavailable" && !slices.ContainsFunc(words, func(w string) bool { return !says(w) }) {
			return nil
		}
	}
	return fmt.Errorf("no problem of %s that says %q: %+v", peer, words, state.Status.Problems)
}

func (r *rig) noProblem(n *node, peer string) error {
	if r.problem(n, peer) == nil {
		return fmt.Errorf("the problem of %s is still there", peer)
	}
	return nil
}

// setPassword makes the Secret of the peer hold exactly this.
func (r *rig) setPassword(data map[string]string) {
	r.t.Helper()
	secrets := r.cp.Client().CoreV1().Secrets("fairway-system")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "guarded"}, StringData: data}
	_, err := secrets.Update(r.t.Context(), secret, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(r.t.Context(), secret, metav1.CreateOptions{})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) routerPassword(password string) {
	r.t.Helper()
	r.configureRouter("neighbor 192.0.2.11 password " + password)
}

func (r *rig) configureRouter(lines ...string) {
	r.t.Helper()
	if err := r.router.Configure(r.t.Context(), "router bgp 65001\n "+strings.Join(lines, "\n ")+"\n"); err != nil {
		r.t.Fatal(err)
	}
}

// ups asks the router how often a session has come up since its start.
func (r *rig) ups(want int, neighbor string) error {
	got, err := r.router.Session(r.t.Context(), neighbor)
	if err == nil && (got.Ups != want || got.Up() != (want > 0)) {
		err = fmt.Errorf("the router counts %d sessions with %s, now %s; want %d", got.Ups, neighbor, got.State, want)
	}
	return err
}

// linesWith are the lines of a text that hold something, with the thing itself left out.
func linesWith(text, what string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			out.WriteString(strings.ReplaceAll(line, what, "***"))
		}
	}
	return out.String()
}
