package controller

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
)

// reasonPodsUnknown: kube-proxy does not know the pods' networks.
const reasonPodsUnknown = "PodsUnknownToProxy"

// storePeriod is the least time between two times that the memory of what is announced is
// written for changes of single prefixes: it holds all of them.
const storePeriod = 10 * time.Second

// pass brings the gate up to date, and reports whether something else is to be announced.
func (l *Loop) pass() (changed bool) {
	if l.plan == nil {
		return false
	}
	was, now := l.gate.through, l.Now()
	l.gate.follow(l.plan, now)
	l.inPlace = l.inPlace || l.Forwarder.InPlace(l.plan.OfPods)
	answers := l.Prober.Answers()
	v := judge(l.inPlace, l.plan.Readiness.Probes, answers.Probes)
	l.noteGate(v)
	is := l.gate.admit(l.plan, now, v, answers.Ports)
	ask := l.gate.questions(l.plan.Readiness)
	ask.KubeProxy = l.plan.SaysClusterIPs()
	l.Prober.Ask(ask)
	return is != was
}

// apply has the speaker hold what the plan says, as far as the gate lets it through, and with those
// peers whose turn it is.
func (l *Loop) apply(ctx context.Context) {
	want := l.plan.Desired
	want.Advertisements, want.Peers = l.gate.through, l.quarantine.admit(want.Peers)
	l.applied = l.Speaker.Apply(ctx, want)
}

// reopen applies what the gate lets through, or takes back, without a new plan.
func (l *Loop) reopen(ctx context.Context) (applied bool) {
	if !l.pass() {
		return false
	}
	l.apply(ctx)
	l.backOff()
	return true
}

// nextDue returns when to look at the gate again without news.
func (l *Loop) nextDue() time.Duration {
	if l.plan == nil {
		return everLong
	}
	return l.gate.next(l.Now(), l.plan.Readiness.Delay)
}

// noteGate logs when addresses of Services may no longer be announced, and when they may again.
func (l *Loop) noteGate(v verdict) {
	was := l.gate.verdict
	switch {
	case v.passage == shut && (was.passage != shut || was.message != v.message):
		l.Log.Warn("no address of a Service is announced: a probe fails", "probe", v.probe, "answer", v.message)
	case v.passage == open && was.passage != open:
		l.Log.Info("addresses of Services may be announced")
	}
}

// fillGate tells in a report what waits and why.
func (l *Loop) fillGate(r *report.Report) {
	answers := l.Prober.Answers()
	ports := answers.Ports
	l.held, r.Waiting = l.gate.held(r.Time, l.plan.Readiness.Delay, ports)
	if v := l.gate.verdict; v.passage == shut {
		r.Problems = append(r.Problems, report.Problem{
			Kind: v1alpha1.KindBGPSpeaker, Name: l.plan.Speaker, Subject: v.probe, Reason: waitProbeBad,
			Message: fmt.Sprintf("the probe %s fails, so this node announces no address of a Service: %s", v.probe, v.message),
		})
	}
	if answers.PodsUnknown {
		r.Problems = append(r.Problems, report.Problem{
			Kind: "Node", Name: l.Node, Reason: reasonPodsUnknown,
			Message: "kube-proxy on this node does not know the pods' networks, so what comes to a ClusterIP from outside and goes on to a pod on another node " +
				"is not answered by way of this node: give kube-proxy clusterCIDR (--cluster-cidr) or another detectLocalMode",
		})
	}
	r.Problems = append(r.Problems, l.unserved(r.Time, ports)...)
}

// unserved names the Services whose addresses wait long for the service proxy.
func (l *Loop) unserved(now time.Time, ports map[uint16]bool) []report.Problem {
	var out []report.Problem
	delay := l.plan.Readiness.Delay
	for prefix, w := range l.gate.waiting {
		if !prefix.IsSingleIP() || !l.gate.overdue(w, now, delay, ports) {
			continue
		}
		for _, service := range l.plan.ServicesAt(prefix.Addr()) {
			out = append(out, report.Problem{
				Kind: "Service", Name: service, Subject: prefix.Addr().String(), Reason: waitPort, Message: whyUnserved(prefix.Addr(), w.serving),
			})
		}
	}
	slices.SortFunc(out, func(a, b report.Problem) int {
		return strings.Compare(a.Name+" "+a.Subject, b.Name+" "+b.Subject)
	})
	return out
}

func whyUnserved(addr netip.Addr, s plan.Serving) string {
	return fmt.Sprintf("%s is not announced where an endpoint is ready: the service proxy there does not answer on the healthCheckNodePort %s that it serves the Service",
		addr, strings.Trim(fmt.Sprint(s.Ports), "[]"))
}

// recallAnnounced learns what an earlier process announced.
func (l *Loop) recallAnnounced() {
	if l.Announced == nil {
		return
	}
	if prefixes, known := l.Announced.Load(); known {
		l.gate.before = map[netip.Prefix]bool{}
		for _, prefix := range prefixes {
			l.gate.before[prefix] = true
		}
	}
}

// rememberAnnounced keeps for the next process what is announced, at once when the gate has
// opened or shut, and when the agent ends. Until it is known how things are what is kept stands.
func (l *Loop) rememberAnnounced(now time.Time, ends bool) {
	passage, through := l.gate.verdict.passage, l.gate.through
	if l.Announced == nil || passage == unknown || l.stored.through == through && l.stored.passage == passage {
		return
	}
	if !ends && (l.stored.passage == passage || l.stored.failed) && now.Sub(l.stored.at) < storePeriod {
		return
	}
	switch err := l.Announced.Store(slices.Collect(through.Keys())); {
	case err == nil:
		l.stored = stored{passage: passage, through: through, at: now}
		return
	case !l.stored.failed: // it is tried again, and said once
		l.Log.Warn("after a restart addresses of Services will wait as new ones do", "error", err)
	}
	l.stored.at, l.stored.failed = now, true
}

// stored is what was last given to the memory.
type stored struct {
	passage passage
	through bgp.Advertisements
	at      time.Time
	failed  bool
}
