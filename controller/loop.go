package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

const (
	// settlePeriod is how often sessions are looked at until the picture is complete: quiet
	// time and sweep time pass without an event.
	settlePeriod = time.Second
	// newsPeriod is the least time between two reports for changes in the kernel, or answers of the
	// prober, alone. A full feed is hundreds of them, as are the healthCheckNodePorts of a node that
	// starts, and to look at the sessions holds up the speaker each time.
	newsPeriod = time.Second
	// countPeriod is how often the counters are read once it is.
	countPeriod = 5 * time.Second
	// The wait doubles between these before a plan that could not be applied is tried again.
	firstRetry, lastRetry = time.Second, 30 * time.Second
)

// Options are what a Loop works with.
type Options struct {
	Node      string
	Version   string
	Source    Source
	Host      Host
	Speaker   Speaker
	Forwarder *Forwarder
	Refuser   *Refuser
	Reporters []Reporter
	Log       *slog.Logger
	Now       func() time.Time
	// Prober asks this node whether it can forward to Services.
	Prober Prober
	// Sessions remembers the peers whose sessions were up; nil: nothing does.
	Sessions Memory[[]string]
	// Announced remembers what was announced; nil: nothing does.
	Announced Memory[[]netip.Prefix]
	// Trials remembers which peers may crash the speaker; nil: nothing does.
	Trials Memory[Trials]
	// Crashed is when the process before this one crashed; the zero Time: it did not.
	Crashed time.Time
}

// Loop makes plans and has the speaker hold them. It is the only one that changes the speaker.
type Loop struct {
	Options

	snap    *snapshot.Snapshot
	source  report.Source
	local   plan.Local
	needs   plan.Needs // what of it the plan rests on
	plan    *plan.Plan // nil until the first
	applied error      // what the last Apply said
	hostErr error
	blind   bool          // the sessions could not be read
	retry   time.Duration // 0: nothing to try again

	reported     time.Time // when the last report was begun
	plans        report.Plans
	completeness completeness
	complete     bool
	before       []string              // peers whose sessions an earlier process had up, until the first plan
	kept         []string              // sessions that the memory holds as up; nil: nothing
	forgetful    bool                  // the memory could not be written
	noted        map[string]slog.Level // what the log has said of the plan
	said         said                  // of which it has

	gate    *gate
	inPlace bool                        // the routes have been in place since the start
	held    map[*bgp.Audience]plan.Held // prefixes that the gate holds back, as last reported
	stored  stored

	quarantine *quarantine
	looped     looped
	callers    callers
}

// NewLoop returns a Loop that has done nothing yet.
func NewLoop(o Options) *Loop {
	l := &Loop{Options: o, noted: map[string]slog.Level{}, gate: newGate()}
	l.quarantine = newQuarantine(o.Trials, o.Crashed, o.Log)
	l.recall()
	l.recallAnnounced()
	return l
}

// Run plans, applies and reports until ctx ends. It leaves the speaker as it is: leaving is
// not cleaning. An error means that the agent cannot work on this node as it was started.
func (l *Loop) Run(ctx context.Context) error {
	tick := time.NewTimer(0)
	defer tick.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	news := time.NewTimer(time.Hour) // a report that is due for changes in the kernel or answers
	defer news.Stop()
	due := time.NewTimer(time.Hour) // an address has waited long enough
	defer due.Stop()
	turn := time.NewTimer(time.Hour) // that of the next peer, after a crash
	defer turn.Stop()
	l.readHost(ctx)
	for {
		replan, quiet, next := false, false, false
		select {
		case <-ctx.Done():
			l.rememberAnnounced(l.Now(), true)
			return nil
		case <-l.Source.Changed():
			replan = true
		case <-l.Host.Changed():
			replan = l.readHost(ctx)
		case <-retry.C:
			l.readHost(ctx)
			replan = true
		case <-l.Speaker.SessionEvents():
			replan = l.hearCallers()
		case <-l.Forwarder.Changed():
			quiet = l.tellLater(news)
		case <-news.C:
		case <-l.Prober.Changed(): // what it opens or shuts is applied, and told, at once
			quiet = l.tellLater(news)
		case <-due.C:
		case <-turn.C:
			next, quiet = true, true
		case <-tick.C:
			replan = l.readHost(ctx) // not every fact of it comes with news
			tick.Reset(l.period())
		}
		applied := replan || l.plan == nil
		if applied {
			if err := l.replan(ctx); err != nil {
				return err
			}
		} else {
			applied = l.reopen(ctx)
		}
		applied = next && l.tryNext(ctx) || applied
		if applied && l.retry > 0 {
			retry.Reset(l.retry)
		}
		if applied || !quiet {
			l.report(ctx)
		}
		due.Reset(l.nextDue())
		if l.plan != nil {
			turn.Reset(l.quarantine.wait(l.Now()))
		}
	}
}

// tellLater reports whether it is too early for another report, which news then tells of in time.
func (l *Loop) tellLater(news *time.Timer) bool {
	wait := newsPeriod - l.Now().Sub(l.reported)
	if wait <= 0 {
		return false
	}
	news.Reset(wait)
	return true
}

func (l *Loop) period() time.Duration {
	if l.complete {
		return countPeriod
	}
	return settlePeriod
}

// replan makes a plan of the newest configuration and the last known facts of the host, and
// applies it.
func (l *Loop) replan(ctx context.Context) error {
	began := l.Now()
	l.snap, l.source = l.Source.Snapshot()
	if l.snap == nil {
		return nil
	}
	if needs := plan.NeedsOf(l.snap, l.plan); !needs.Equal(l.needs) {
		l.needs = needs
		l.readHost(ctx)
	}
	if l.plan == nil && l.snap.Nodes[l.Node] == nil {
		return l.noSuchNode()
	}
	if l.local.NodeName == "" { // facts that could not be read are not facts that are not so
		l.backOff()
		return nil
	}
	first := l.plan == nil
	if first {
		l.recallCallers()
	}
	l.plan = plan.Build(l.snap, l.local, l.plan)
	l.noteProblems(ctx)
	for _, r := range l.plan.Resets {
		l.Log.Info("a change of the configuration resets a session", "peer", r.Peer, "changed", r.Because)
	}
	l.Refuser.Set(l.plan.Unowned)
	l.pass()
	if len(l.quarantine.trying) == 0 { // who is being tried is looked at with its session, in a moment
		l.quarantine.step(began, l.plan.Desired.Peers, nil, l.specOf)
	}
	l.apply(ctx)
	if first && errors.Is(l.applied, bgp.ErrNotStarted) && ctx.Err() == nil {
		return l.applied
	}
	l.plans.Made++
	l.plans.Took += l.Now().Sub(began)
	if first && l.applied == nil {
		l.Log.Info("the first plan is at work", "took", l.plans.Took,
			"services", l.snap.Services.Len(), "prefixes", l.plan.Desired.Advertisements.Len(), "peers", len(l.plan.Desired.Peers))
	}
	l.backOff()
	return nil
}

// readHost refreshes the facts of the host, and reports whether they are others than before;
// what cannot be read keeps its last value. It waits for whoever is changing the kernel's
// network, which no plan of something else should.
func (l *Loop) readHost(ctx context.Context) (changed bool) {
	local, err := l.Host.Local(ctx, l.needs)
	if err != nil {
		changed = l.hostErr == nil
		if l.hostErr == nil {
			l.Log.Error("host facts cannot be read, the last known ones are kept", "error", err)
		}
		l.hostErr = err
		return changed
	}
	local.NodeName, local.Callers = l.Node, l.callers.known(l.Now())
	changed = l.hostErr != nil || !reflect.DeepEqual(local, l.local)
	l.local, l.hostErr = local, nil
	return changed
}

func (l *Loop) noSuchNode() error {
	names := slices.Sorted(maps.Keys(l.snap.Nodes))
	found := "" // a source that is asked for nothing else knows of no others
	if len(names) > 0 {
		found = " (there are " + strings.Join(names[:min(len(names), 5)], ", ")
		if len(names) > 5 {
			found += fmt.Sprintf(" and %d more", len(names)-5)
		}
		found += ")"
	}
	return fmt.Errorf("the Node %q does not exist%s: set --node-name to the name of this machine's Node", l.Node, found)
}

// backOff sets when to try again after an Apply that failed in part.
func (l *Loop) backOff() {
	switch {
	case l.applied == nil && l.hostErr == nil:
		l.retry = 0
	case l.retry == 0:
		l.retry = firstRetry
	default:
		l.retry = min(2*l.retry, lastRetry)
	}
}

// said is what the log says of a plan, without keeping the plan.
type said struct {
	verdicts []plan.Verdict
	refusals []plan.Refusal
	sysctls  []plan.Sysctl
}

func saidOf(p *plan.Plan) said { return said{p.Verdicts, p.Refusals, p.Sysctls} }

func (s said) same(other said) bool {
	return slices.Equal(s.verdicts, other.verdicts) && slices.Equal(s.refusals, other.refusals) && slices.Equal(s.sysctls, other.sysctls)
}

// noteProblems logs what the plan leaves out, once per change.
func (l *Loop) noteProblems(ctx context.Context) {
	said := saidOf(l.plan)
	if said.same(l.said) {
		return // to write thousands of them anew takes longer than a plan
	}
	l.said = said
	now := map[string]slog.Level{}
	for _, v := range l.plan.Verdicts {
		if !v.Accepted {
			now[fmt.Sprintf("%s: %s: %s", v.Object, v.Reason, v.Message)] = slog.LevelWarn
		}
	}
	for _, r := range l.plan.Refusals {
		now[fmt.Sprintf("%s: %s %s: %s", r.Object, r.Subject, r.Reason, r.Message)] = slog.LevelWarn
	}
	for _, s := range l.plan.Sysctls {
		if !s.Required { // of those that are, a refusal tells
			now["sysctl "+s.String()] = slog.LevelInfo
		}
	}
	for _, text := range slices.Sorted(maps.Keys(now)) {
		if _, said := l.noted[text]; !said {
			l.Log.Log(ctx, now[text], "not done", "what", text)
		}
	}
	for _, text := range slices.Sorted(maps.Keys(l.noted)) {
		if _, still := now[text]; !still {
			l.Log.Info("mended", "what", text)
		}
	}
	l.noted = now
}
