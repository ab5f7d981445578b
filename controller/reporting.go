package controller

import (
	"context"
	"errors"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
)

// report looks at the sessions, decides whether the picture is complete, and tells everyone.
func (l *Loop) report(ctx context.Context) {
	_, l.source = l.Source.Snapshot()
	l.reported = l.Now()
	r := &report.Report{Node: l.Node, Version: l.Version, Time: l.reported, Source: l.source, Plans: l.plans}
	if l.plan != nil {
		if err := l.fill(ctx, r); err != nil {
			l.noteSessions(err)
			return // the last report stands: an error is not an empty answer
		}
		l.noteSessions(nil)
	}
	if ctx.Err() != nil {
		return
	}
	for _, reporter := range l.Reporters {
		reporter.Report(r)
	}
}

// noteSessions logs that the sessions cannot be read, or can again, once per change.
func (l *Loop) noteSessions(err error) {
	switch {
	case errors.Is(err, context.Canceled):
		return
	case err != nil && !l.blind:
		l.Log.Error("sessions cannot be read; the last report stands", "error", err)
	case err == nil && l.blind:
		l.Log.Info("sessions can be read again")
	}
	l.blind = err != nil
}

func (l *Loop) fill(ctx context.Context, r *report.Report) error {
	sessions, err := l.Speaker.Sessions(ctx)
	if err != nil {
		return err
	}
	l.callers.alive(r.Time, sessions, l.isNamed)
	sweep := time.Duration(l.plan.StaleSweepSeconds) * time.Second
	l.complete = l.completeness.observe(r.Time, l.plan.Desired, withheldNames(l.plan.Withheld), sessions, sweep)
	l.remember()
	l.rememberAnnounced(r.Time, false)
	l.Forwarder.Set(l.plan.Importer, l.complete)
	l.Forwarder.fill(r)
	r.Complete = l.complete
	for _, s := range l.plan.Sysctls {
		r.Sysctls = append(r.Sysctls, report.Sysctl{Required: s.Required, Text: s.String()})
	}
	r.Speaker = l.speakerReport()
	r.Sessions = l.sessionReports(sessions)
	r.Problems = append(l.prefixProblems(), l.Refuser.problems(l.Node)...)
	l.fillGate(r)
	r.Advertisements = l.advertised(sessions)
	for _, refusal := range l.plan.Refusals {
		r.Problems = append(r.Problems, report.Problem{
			Kind: refusal.Object.Kind, Name: refusal.Object.Name, Subject: refusal.Subject, Reason: refusal.Reason, Message: refusal.Message,
		})
	}
	r.Problems = append(r.Problems, l.sessionProblems(sessions)...)
	r.Problems = append(r.Problems, l.loopProblems(ctx, r.Time, sessions)...)
	r.Problems = append(r.Problems, l.quarantine.problems(l.plan.Speaker, l.plan.Desired.Peers)...)
	for _, v := range l.plan.Verdicts {
		r.Verdicts = append(r.Verdicts, report.Verdict{
			Kind: v.Object.Kind, Name: v.Object.Name, Generation: v.Generation, Accepted: v.Accepted, Reason: v.Reason, Message: v.Message,
		})
	}
	return nil
}

func (l *Loop) speakerReport() report.Speaker {
	s := report.Speaker{Name: l.plan.Speaker}
	var whole []error // what concerns the speaker, not one peer or prefix alone
	for _, err := range append(bgp.Errors(l.applied), l.hostErr) {
		var peer *bgp.PeerError
		var prefix *bgp.PrefixError
		if !errors.As(err, &peer) && !errors.As(err, &prefix) {
			whole = append(whole, err)
		}
	}
	if err := errors.Join(whole...); err != nil {
		s.Error = err.Error()
	}
	if c := l.plan.Desired.Config; c != nil && !errors.Is(l.applied, bgp.ErrNotStarted) {
		s.Running, s.Config = true, *c
	}
	return s
}

func (l *Loop) sessionReports(sessions []bgp.Session) []report.Session {
	object := map[string]string{}
	for _, p := range l.plan.Desired.Peers {
		object[p.Name] = plan.ObjectOf(p.Name)
	}
	out := make([]report.Session, 0, len(sessions))
	for _, s := range sessions {
		out = append(out, report.Session{Session: s, Object: object[s.Peer]})
	}
	for _, w := range l.plan.Withheld {
		if w.Address.IsValid() {
			s := bgp.Session{Peer: w.Object + "/" + w.Address.String(), Address: w.Address, State: bgp.Idle, LastError: w.Message}
			out = append(out, report.Session{Session: s, Object: w.Object})
		}
	}
	return out
}

// prefixProblems names the prefixes that the speaker could not advertise.
func (l *Loop) prefixProblems() []report.Problem {
	var out []report.Problem
	for _, err := range bgp.Errors(l.applied) {
		var prefix *bgp.PrefixError
		if errors.As(err, &prefix) {
			out = append(out, report.Problem{Kind: "Prefix", Name: prefix.Prefix.String(), Reason: plan.ReasonNotAdvertised, Message: prefix.Error()})
		}
	}
	return out
}

// advertised tells what became of each advertisement, as far as sessions are up.
func (l *Loop) advertised(sessions []bgp.Session) []report.Advertised {
	up, relayed := map[string]bool{}, map[string]int{}
	for _, s := range sessions {
		up[s.Peer] = s.State == bgp.Established
		for _, f := range s.Families {
			relayed[s.Peer] += f.Relayed
		}
	}
	var out []report.Advertised
	for _, said := range l.plan.Said(func(peer string) bool { return up[peer] }, l.held) {
		row := report.Advertised{Name: said.Advertisement, Source: said.Source, Advertised: said.Advertised, Down: said.Down, Rejected: said.Rejected}
		for _, peer := range said.To {
			row.Advertised = max(row.Advertised, relayed[peer])
		}
		switch { // what else waits is a matter of time
		case said.Waiting > 0 && l.gate.verdict.passage == shut:
			reject(&row, waitProbeBad, said.Waiting)
		case said.Overdue > 0:
			reject(&row, waitPort, said.Overdue)
		}
		out = append(out, row)
	}
	return out
}

func reject(row *report.Advertised, reason string, prefixes int) {
	if row.Rejected == nil {
		row.Rejected = map[string]int{}
	}
	row.Rejected[reason] += prefixes
}
