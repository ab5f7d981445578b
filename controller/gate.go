package controller

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/cow"
)

// Why addresses of Services wait.
const (
	waitRoutes   = "RoutesPending"       // the kernel's routes are not in place since the start
	waitProbe    = "ProbePending"        // a probe has not been answered yet
	waitProbeBad = "ProbeFailed"         // a probe says no
	waitDelay    = "DataplaneDelay"      // dataplaneDelayMilliseconds are not over
	waitPort     = "HealthCheckNodePort" // the service proxy does not say that it serves the Service here
)

const (
	// portPatience is how long the service proxy may take without a word on the Service.
	portPatience = 30 * time.Second
	// refreshPeriod is how often it is found out anew how to ask about what waits.
	refreshPeriod = time.Second
	everLong      = time.Duration(1<<63 - 1) // no address waits so long
)

// passage is whether addresses of Services may be announced by this node at all.
type passage uint8

const (
	unknown passage = iota // how things were before counts
	shut
	open
)

// verdict is that, and where it is not open, why.
type verdict struct {
	passage passage
	reason  string
	probe   string // the one that is concerned
	message string
}

// judge decides it. A probe that says no counts, whatever is not known yet.
func judge(inPlace bool, probes []v1alpha1.ReadinessProbe, answers map[string]Answer) verdict {
	v := verdict{passage: open}
	if !inPlace {
		v = verdict{passage: unknown, reason: waitRoutes}
	}
	for _, p := range probes {
		answer, known := answers[p.Name]
		switch {
		case known && !answer.Good:
			return verdict{shut, waitProbeBad, p.Name, answer.Words}
		case !known && v.passage == open:
			v = verdict{passage: unknown, reason: waitProbe, probe: p.Name}
		}
	}
	return v
}

// gate holds addresses of Services back until this node can forward what comes for them. It
// decides, and does nothing; what it costs grows with what has changed and with what waits.
type gate struct {
	want    bgp.Advertisements // of the last plan
	through *cow.Draft[netip.Prefix, *bgp.Audience]
	waiting map[netip.Prefix]wait
	// before are the prefixes that an earlier process announced: they are let through as long
	// as it is not known how things are.
	before    map[netip.Prefix]bool
	verdict   verdict
	refreshed time.Time
}

// wait is a prefix that waits.
type wait struct {
	audience *bgp.Audience
	since    time.Time // when it became one to announce here; the zero Time: it has been announced
	serving  plan.Serving
}

func newGate() *gate {
	return &gate{through: cow.Make[netip.Prefix, *bgp.Audience](0), waiting: map[netip.Prefix]wait{}}
}

// follow takes what a plan has changed. Withdrawals never wait, and pod CIDRs do not.
func (g *gate) follow(p *plan.Plan, now time.Time) {
	want := p.Desired.Advertisements
	for prefix := range cow.Diff(g.want, want) {
		audience, wanted := want.Get(prefix)
		_, through := g.through.Get(prefix)
		switch {
		case !wanted:
			g.through.Delete(prefix)
			delete(g.waiting, prefix)
			continue
		case through:
			g.through.Set(prefix, audience)
			continue
		}
		serving, services := p.Serving(prefix)
		if !services {
			g.pass(prefix, audience)
			continue
		}
		w, waits := g.waiting[prefix]
		if !waits {
			w.since = now
		}
		w.audience, w.serving = audience, serving
		g.waiting[prefix] = w
	}
	g.want = want
	if now.Sub(g.refreshed) >= refreshPeriod {
		g.refresh(p)
		g.refreshed = now
	}
}

// refresh finds out anew how to ask about what waits: endpoints come and go without a change
// of what is to be announced.
func (g *gate) refresh(p *plan.Plan) {
	for prefix, w := range g.waiting {
		if len(w.serving.Ports) > 0 {
			w.serving, _ = p.Serving(prefix)
			g.waiting[prefix] = w
		}
	}
}

func (g *gate) pass(prefix netip.Prefix, audience *bgp.Audience) {
	g.through.Set(prefix, audience)
	delete(g.waiting, prefix)
}

// admit lets through what need not wait any longer, or takes everything back.
func (g *gate) admit(p *plan.Plan, now time.Time, v verdict, ports map[uint16]bool) {
	if v.passage == shut && g.verdict.passage != shut {
		g.takeBack(p)
	}
	g.verdict = v
	if v.passage != unknown {
		defer func() { g.before = nil }()
	}
	if v.passage == shut {
		return
	}
	for prefix, w := range g.waiting {
		if g.before[prefix] || g.waitsFor(w, now, p.Readiness.Delay, ports) == "" {
			g.pass(prefix, w.audience)
		}
	}
}

// takeBack has all addresses of Services wait. Those that were announced have had their delay.
func (g *gate) takeBack(p *plan.Plan) {
	for prefix, audience := range g.through.Map().All() {
		if serving, services := p.Serving(prefix); services {
			g.through.Delete(prefix)
			g.waiting[prefix] = wait{audience: audience, serving: serving}
		}
	}
}

// waitsFor returns the reason; "" where a prefix need not wait.
func (g *gate) waitsFor(w wait, now time.Time, delay time.Duration, ports map[uint16]bool) string {
	switch {
	case g.verdict.passage != open:
		return g.verdict.reason
	case now.Sub(w.since) < delay:
		return waitDelay
	case !served(w.serving, ports):
		return waitPort
	}
	return ""
}

func served(s plan.Serving, ports map[uint16]bool) bool {
	if len(s.Ports) == 0 {
		return true
	}
	yes := func(port uint16) bool { return ports[port] }
	if s.Any {
		return slices.ContainsFunc(s.Ports, yes)
	}
	return !slices.ContainsFunc(s.Ports, func(port uint16) bool { return !yes(port) })
}

// next returns how long it is until another prefix has waited long enough.
func (g *gate) next(now time.Time, delay time.Duration) time.Duration {
	next := everLong
	if g.verdict.passage != open {
		return next
	}
	for _, w := range g.waiting {
		if left := delay - now.Sub(w.since); left > 0 {
			next = min(next, left)
		}
	}
	return next
}

// questions are what the gate has to know.
func (g *gate) questions(r plan.Readiness) Questions {
	ports := map[uint16]bool{}
	for _, w := range g.waiting {
		for _, port := range w.serving.Ports {
			ports[port] = true
		}
	}
	return Questions{Probes: r.Probes, Ports: slices.Sorted(maps.Keys(ports)), Addresses: r.Addresses}
}

// held counts the prefixes that wait, by who is to hear them and by reason.
func (g *gate) held(now time.Time, delay time.Duration, ports map[uint16]bool) (byAudience map[*bgp.Audience]int, byReason map[string]int) {
	byAudience, byReason = map[*bgp.Audience]int{}, map[string]int{}
	for _, w := range g.waiting {
		byAudience[w.audience]++
		byReason[g.waitsFor(w, now, delay, ports)]++
	}
	return byAudience, byReason
}
