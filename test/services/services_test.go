package services

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// grace is how long a pod serves after it was deleted, as with a preStop hook that sleeps. A
// pod that does not is gone before any node can know of it.
const grace = 4 * time.Second

// newApp starts one pod on each of the nodes.
func newApp(r *rig, nodes ...*node) *app {
	r.t.Helper()
	a := &app{rig: r, services: []*service{newService("anywhere", 1, false), newService("here", 2, true)}}
	a.create()
	for _, n := range nodes {
		a.add(n)
	}
	return a
}

func (a *app) addresses() (out []address) {
	for _, s := range a.services {
		out = append(out, s.addresses...)
	}
	return out
}

// alive reports whether a pod's process is there.
func (a *app) alive(name string) bool {
	p, known := a.everyPod.Load(name)
	return known && p.(*pod).lives()
}

// settled waits until the routers send each address to where it can be served, and each pod
// that is ready has answered on each address, and no other.
func (a *app) settled() {
	a.rig.t.Helper()
	ctx := a.rig.t.Context()
	nodes, pods := a.ready()
	for _, to := range a.addresses() {
		want := a.rig.nodes
		if to.service.local {
			want = nodes
		}
		a.rig.eventually(func() error { return a.rig.via(ctx, netip.PrefixFrom(to.addr, to.addr.BitLen()), want...) })
		a.rig.eventually(func() error { return a.answers(ctx, a.rig.client, to, pods) })
	}
}

// answers reports an error unless all these pods answer, and no others, and see the source
// address that they should.
func (a *app) answers(ctx context.Context, from *lab.Host, to address, pods map[string]*pod) error {
	return from.Inside(func() error {
		heard := map[string]bool{}
		for range 12 * len(pods) {
			conn, said, err := ask(ctx, to)
			if err != nil {
				return fmt.Errorf("%s: %w", to, err)
			}
			_ = conn.Close()
			p := pods[said.pod]
			if p == nil {
				return fmt.Errorf("%s: %s has answered, which is not ready", to, said.pod)
			}
			if from == a.rig.client {
				if err := checkSource(to, said, p, from); err != nil {
					return err
				}
			}
			heard[said.pod] = true
		}
		if len(heard) != len(pods) {
			return fmt.Errorf("%s: %d pods have answered, want %d", to, len(heard), len(pods))
		}
		return nil
	})
}

func checkSource(to address, said answered, p *pod, client *lab.Host) error {
	own := map[netip.Addr]bool{client.IPv4(): true, client.IPv6(): true}
	switch {
	case to.keepsSource() && !own[said.source]:
		return fmt.Errorf("%s: %s sees the client as %s", to, p.name, said.source)
	case !to.keepsSource() && own[said.source]:
		// kube-proxy masquerades: the answer has to come back through the same node.
		return fmt.Errorf("%s: %s sees the client's own address", to, p.name)
	}
	return nil
}

// drain ends a pod as Kubernetes does: it is deleted, serves on through its grace period, fails
// its probe, ends, and leaves its EndpointSlices.
func (a *app) drain(p *pod) {
	a.rig.t.Helper()
	a.enter(p, draining)
	a.pass(grace)
	a.finish(p)
}

func (a *app) finish(p *pod) {
	a.rig.t.Helper()
	a.enter(p, failing)
	a.pass(grace / 4)
	p.end()
	a.enter(p, gone)
	a.pods = slices.DeleteFunc(a.pods, func(other *pod) bool { return other == p })
}

// pass lets time go by that belongs to what is tested: nobody waits for an event.
func (a *app) pass(d time.Duration) {
	a.rig.t.Helper()
	select {
	case <-time.After(d):
	case <-a.rig.t.Context().Done():
	}
}

// Each kind of address is reached from behind the routers, and no new connection fails while an
// endpoint is ready. What a failure looks like shows in the end, when a pod is killed.
func TestServicesAreReachedWhilePodsScaleMoveAndDrain(t *testing.T) {
	lab.NeedRoot(t)
	r := newRig(t)
	a := newApp(r, r.nodes[0], r.nodes[1])
	a.settled()
	a.reachedFromNodes()
	l := a.startLoad(a.addresses()...)
	rounds := 1
	if os.Getenv("FAIRWAY_LONG") == "1" {
		rounds = 12
	}
	for round := range rounds {
		t.Logf("%s round %d: a pod on a node that had none", l.at(time.Now()), round+1)
		third := a.add(r.nodes[2])
		a.settled()
		t.Logf("%s a node's only pod is drained", l.at(time.Now()))
		a.drain(a.pods[0])
		a.settled()
		t.Logf("%s a pod moves to that node: the old one is deleted as soon as the new one is ready", l.at(time.Now()))
		moved := a.add(r.nodes[0])
		a.drain(a.pods[0])
		a.settled()
		t.Logf("%s all are drained but one", l.at(time.Now()))
		a.drain(moved)
		t.Logf("%s the last is drained before any other is ready", l.at(time.Now()))
		l.localOnly.Store(true)
		a.succeed(third, r.nodes[0], r.nodes[1])
		a.settled()
		l.localOnly.Store(false)
	}
	for _, failure := range l.end() {
		t.Error(failure)
	}
	t.Log(l)
	for _, silence := range l.silences() {
		t.Error(silence)
	}
	for _, late := range l.late {
		t.Logf("%sthe first packet to %s was lost", l.at(late.began), late.to)
	}
	// One that is late alone is a matter of kube-proxy and of its port at the pod.
	if len(l.late) > rounds {
		t.Errorf("%d connections were late, want %d at most", len(l.late), rounds)
	}
	if len(l.early) > rounds {
		t.Errorf("%d connections broke before the first answer because their path moved, want %d at most", len(l.early), rounds)
	}
	if least := 1000 * rounds; l.made < least {
		t.Errorf("only %d new connections were made, want %d at least", l.made, least)
	}
	a.silenceIsNoticed()
	a.breaksAreNoticed()
	a.killedIsNoticed()
}

// silenceIsNoticed shows what an address looks like that answers nobody for a little while.
func (a *app) silenceIsNoticed() {
	t := a.rig.t
	t.Helper()
	l := a.loadUnder("input", "tcp sport 80 tcp flags & syn == syn drop")
	if failures := l.end(); len(failures) > 0 {
		t.Error("the silence was longer than it was to be:", failures)
	}
	if len(l.silences()) == 0 {
		t.Errorf("half a second without an answer was not noticed; late were %d connections", len(l.late))
	}
}

// breaksAreNoticed shows what an address looks like that resets connections though no path moves.
func (a *app) breaksAreNoticed() {
	t := a.rig.t
	t.Helper()
	failures := strings.Join(a.loadUnder("output", "tcp dport 80 tcp flags & (syn|ack) == ack reject with tcp reset").end(), "\n")
	if !strings.Contains(failures, "not seen to move") {
		t.Errorf("connections that are reset were not noticed:\n%s", failures)
	}
}

// loadUnder makes connections to an address, and has a rule of nftables in the client hold for half a second.
func (a *app) loadUnder(hook, rule string) *load {
	t, r := a.rig.t, a.rig
	t.Helper()
	l := a.startLoad(a.addresses()[0])
	nft := func(words string) {
		t.Helper()
		if _, err := r.client.Run(t.Context(), append([]string{"nft"}, strings.Fields(words)...)...); err != nil {
			t.Fatal(err)
		}
	}
	a.pass(grace / 4)
	nft("add table inet trouble")
	nft("add chain inet trouble " + hook + " { type filter hook " + hook + " priority 0; }")
	nft("add rule inet trouble " + hook + " " + rule)
	a.pass(time.Second / 2)
	nft("delete table inet trouble")
	a.pass(2 * time.Second)
	return l
}

// reachedFromNodes shows that ClusterIPs are reached from the nodes themselves.
func (a *app) reachedFromNodes() {
	a.rig.t.Helper()
	_, pods := a.ready()
	for _, n := range a.rig.nodes {
		for _, to := range a.services[0].addresses {
			if to.kind == clusterIP {
				a.rig.eventually(func() error { return a.answers(a.rig.t.Context(), n.Host, to, pods) })
			}
		}
	}
}

// succeed drains the only pod. Others are ready within its grace period, and not at once: it serves
// on for as long as its node keeps the address, which is the delay and two seconds.
func (a *app) succeed(last *pod, nodes ...*node) {
	a.rig.t.Helper()
	a.enter(last, draining)
	a.pass(grace / 4)
	for _, n := range nodes {
		a.add(n)
	}
	a.pass(grace)
	a.finish(last)
}

// killedIsNoticed kills a pod, of which no EndpointSlice tells in time.
func (a *app) killedIsNoticed() {
	a.rig.t.Helper()
	l := a.startLoad(a.addresses()...)
	a.pods[0].end()
	a.rig.eventually(l.refused)
	l.end()
}

// refused reports an error unless a new connection was refused.
func (l *load) refused() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.failed {
		if errors.Is(b.err, syscall.ECONNREFUSED) {
			return nil
		}
	}
	return fmt.Errorf("no new connection was refused; %d failed otherwise", len(l.failed))
}
