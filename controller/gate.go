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
// decides, and does nothing. What it costs grows with what has changed and with what waits.
type gate struct {
	seen    *plan.Plan         // the last one
	want    bgp.Advertisements // of it
	waiting map[netip.Prefix]wait
	leaving map[netip.Prefix]leaver // none of them wanted
	// others are the addresses of Local Services that are wanted, and since when endpoints on
	// other nodes are ready too; the zero Time: none is.
	others  map[netip.Prefix]time.Time
	through bgp.Advertisements // want without what waits, and what is leaving; of the last admit
	touched []netip.Prefix     // those that through may be wrong about
	// before are the prefixes that an earlier process announced: they are let through as long
	// as it is not known how things are.
	before    map[netip.Prefix]bool
	verdict   verdict
	refreshed time.Time
}

// wait is a prefix that waits.
type wait struct {
	since   time.Time // when it became one to announce here; the zero Time: it has been announced
	asked   time.Time // since when the service proxy alone is waited for; the zero Time: it is not
	serving plan.Serving
}

func newGate() *gate {
	return &gate{waiting: map[netip.Prefix]wait{}, leaving: map[netip.Prefix]leaver{}, others: map[netip.Prefix]time.Time{}}
}

// follow takes what a plan has changed. Pod CIDRs do not wait, nor does what is announced already
// and is now told otherwise, nor a withdrawal, but of what is handed over to other nodes.
func (g *gate) follow(p *plan.Plan, now time.Time) {
	want := p.Desired.Advertisements
	for prefix := range cow.Diff(g.want, want) {
		g.touched = append(g.touched, prefix)
		_, wanted := want.Get(prefix)
		_, was := g.want.Get(prefix)
		w, waits := g.waiting[prefix]
		if !wanted {
			delete(g.waiting, prefix)
			if !waits {
				g.leave(p, prefix, now)
			}
			delete(g.others, prefix)
			continue
		}
		if local, _ := p.Elsewhere(prefix); local && !was {
			g.others[prefix] = time.Time{}
		}
		if _, leaves := g.leaving[prefix]; leaves || was && !waits {
			delete(g.leaving, prefix)
			continue
		}
		serving, services := p.Serving(prefix)
		if !services {
			delete(g.waiting, prefix)
			continue
		}
		if !waits {
			w.since = now
		}
		w.serving = serving
		g.waiting[prefix] = w
	}
	g.want = want
	g.handOver(p, now)
	if p != g.seen { // nothing but a plan changes where endpoints are
		g.lookElsewhere(p, now)
		g.seen = p
	}
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

// admit lets through what need not wait any longer, or takes everything back, and returns what
// is to be announced: the very same as the last time where nothing has changed.
func (g *gate) admit(p *plan.Plan, now time.Time, v verdict, ports map[uint16]bool) bgp.Advertisements {
	if v.passage == shut && g.verdict.passage != shut {
		g.takeBack(p)
	}
	g.verdict = v
	if v.passage != shut {
		g.letThrough(p.Readiness.Delay, now, ports)
	}
	if v.passage != unknown {
		g.before = nil
	}
	g.through, g.touched = g.withoutWaiting(), nil
	return g.through
}

// letThrough ends the waiting of what has nothing to wait for, and notes since when the service
// proxy alone is waited for.
func (g *gate) letThrough(delay time.Duration, now time.Time, ports map[uint16]bool) {
	for prefix, w := range g.waiting {
		reason := g.waitsFor(w, now, delay, ports)
		if g.before[prefix] || reason == "" {
			delete(g.waiting, prefix)
			g.touched = append(g.touched, prefix)
			continue
		}
		if asked := !w.asked.IsZero(); asked != (reason == waitPort) {
			if w.asked = now; asked {
				w.asked = time.Time{}
			}
			g.waiting[prefix] = w
		}
	}
}

// takeBack has all addresses of Services wait. Those that were announced have had their delay.
func (g *gate) takeBack(p *plan.Plan) {
	g.dropLeaving()
	for prefix := range g.want.Keys() {
		if w, waits := g.waiting[prefix]; waits {
			w.asked = time.Time{}
			g.waiting[prefix] = w
			continue
		}
		if serving, services := p.Serving(prefix); services {
			g.waiting[prefix] = wait{serving: serving}
			g.touched = append(g.touched, prefix)
		}
	}
}

// withoutWaiting returns what is wanted and does not wait, and what is leaving. Mostly that is
// what is wanted, and shared with the plan.
func (g *gate) withoutWaiting() bgp.Advertisements {
	if len(g.waiting)+len(g.leaving) == 0 {
		return g.want
	}
	through := g.through.Edit()
	for _, prefix := range g.touched {
		audience, wanted := g.want.Get(prefix)
		l, leaves := g.leaving[prefix]
		_, waits := g.waiting[prefix]
		switch {
		case leaves:
			through.Set(prefix, l.audience)
		case wanted && !waits:
			through.Set(prefix, audience)
		default:
			through.Delete(prefix)
		}
	}
	return through.Map()
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

// next returns how long it is until another prefix has waited, or stayed, long enough.
func (g *gate) next(now time.Time, delay time.Duration) time.Duration {
	next := everLong
	for _, l := range g.leaving {
		next = min(next, max(0, l.until.Sub(now)))
	}
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

// overdue reports whether a prefix has waited for the service proxy longer than that may take.
func (g *gate) overdue(w wait, now time.Time, delay time.Duration, ports map[uint16]bool) bool {
	return !w.asked.IsZero() && now.Sub(w.asked) >= portPatience && g.waitsFor(w, now, delay, ports) == waitPort
}

// held counts the prefixes that wait, by who is to hear them and by reason.
func (g *gate) held(now time.Time, delay time.Duration, ports map[uint16]bool) (byAudience map[*bgp.Audience]plan.Held, byReason map[string]int) {
	byAudience, byReason = map[*bgp.Audience]plan.Held{}, map[string]int{}
	for prefix, w := range g.waiting {
		audience, _ := g.want.Get(prefix)
		h := byAudience[audience]
		h.Waiting++
		if g.overdue(w, now, delay, ports) {
			h.Overdue++
		}
		byAudience[audience] = h
		byReason[g.waitsFor(w, now, delay, ports)]++
	}
	return byAudience, byReason
}
