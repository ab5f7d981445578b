package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// fibRun is one start of one daemon.
type fibRun struct {
	site   *fibSite
	family family
	set    feed
	meter  *meter
	before []lab.Route // what the node's kernel held without a daemon
	empty  int         // what the meter said of that
	said   *narrator
}

// newRun looks at what the node's kernel holds now.
func (s *fibSite) newRun(ctx context.Context, f family, set feed) (_ *fibRun, err error) {
	run := &fibRun{site: s, family: f, set: set}
	if run.before, err = s.routes(ctx, f); err != nil {
		return nil, err
	}
	if run.meter, err = s.openMeter(f); err != nil {
		return nil, err
	}
	if run.empty, err = run.meter.count(); err != nil {
		run.close()
		return nil, err
	}
	return run, nil
}

func (run *fibRun) close() { _ = run.meter.file.Close() }

// connect waits for a session with the daemon that was started.
func (run *fibRun) connect(ctx context.Context) (*sender, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return connect(ctx, run.family, run.site.dial(run.family))
}

func (run *fibRun) full(n int) bool { return n >= run.empty+len(run.set.prefixes) }

// verify compares a dump of the kernel with the set.
func (run *fibRun) verify(ctx context.Context, protocol string) (difference string, err error) {
	dump, err := run.site.routes(ctx, run.family)
	if err != nil {
		return "", err
	}
	return compare(dump, run.before, run.set.want(), protocol), nil
}

func (run *fibRun) floor(ctx context.Context, r *fibResult) error {
	took, err := run.site.floor(ctx, run.set)
	if err != nil {
		return err
	}
	difference, err := run.verify(ctx, fmt.Sprint(floorProtocol))
	if err != nil {
		return err
	}
	run.said.say("%-8s %.3f s", floorName, took.Seconds())
	if difference == "" {
		r.add("floor_seconds"+run.family.name, took.Seconds())
	} else {
		r.doubts = append(r.doubts, floorName+": "+difference)
	}
	return run.site.clear(ctx, fmt.Sprint(floorProtocol))
}

// daemon measures one start of a daemon, and leaves the node as it was.
func (run *fibRun) daemon(ctx context.Context, o fibOptions, r *fibResult, d daemon) error {
	run.site.starts++
	announcements := run.set.announcements()
	if o.withhold {
		announcements = run.set.without()
	}
	began := time.Now()
	now, err := d.start(ctx, run.site, run.family)
	if err != nil {
		return err
	}
	err = run.measure(ctx, o, r, d, now, began, announcements)
	stopped := now.stop(ctx)
	return errors.Join(err, stopped, run.site.clear(ctx, d.protocol))
}

// restTime is how long after the kernel has all routes memory is measured: what a node pays
// from then on. What it was at the most is measured too.
const restTime = 5 * time.Second

func (run *fibRun) measure(ctx context.Context, o fibOptions, r *fibResult, d daemon, now running, began time.Time, announcements []byte) error {
	tell, err := run.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tell.close() }()
	if err := tell.write(announcements); err != nil {
		return err
	}
	full, incomplete := run.meter.reach(ctx, run.full)
	if incomplete != nil && !errors.Is(incomplete, errStalled) {
		return incomplete
	}
	cpu, err := cpuSeconds(now.pids())
	if err != nil {
		return err
	}
	difference, err := run.verify(ctx, d.protocol)
	if err := errors.Join(err, tell.alive(), pause(ctx, time.Until(full.Add(restTime)))); err != nil {
		return err
	}
	weight, err := weigh(now.pids())
	if err != nil {
		return err
	}
	if incomplete != nil && difference == "" {
		difference = incomplete.Error()
	}
	if difference != "" {
		run.said.say("%-8s invalid: %s", d.name, difference)
		r.doubts = append(r.doubts, fmt.Sprintf("%s%s: %s", d.name, run.family.name, difference))
		return nil
	}
	name := run.family.name
	r.add(d.name+"_seconds"+name, full.Sub(began).Seconds())
	r.add(d.name+"_from_session_seconds"+name, full.Sub(tell.up).Seconds())
	r.add(d.name+"_mb"+name, weight.now)
	r.add(d.name+"_peak_mb"+name, weight.peak)
	r.add(d.name+"_cpu_seconds"+name, cpu)
	run.said.say("%-8s %.3f s, of these %.3f s from session up; %.2f s of CPU; %.0f MB, at the most %.0f MB",
		d.name, full.Sub(began).Seconds(), full.Sub(tell.up).Seconds(), cpu, weight.now, weight.peak)
	return run.afterwards(ctx, o, r, d, tell)
}

// afterwards changes single prefixes of the full table, and then takes all of them back.
func (run *fibRun) afterwards(ctx context.Context, o fibOptions, r *fibResult, d daemon, tell *sender) error {
	of := "" // Fairway's are the figures that the result is about
	if d.name != daemons[0].name {
		of = d.name + "_"
	}
	took, err := run.site.changes(ctx, tell, run.set, o.changes)
	if err != nil {
		return fmt.Errorf("changing one prefix: %w", err)
	}
	r.add(of+"one_change_ms"+run.family.name, took...)
	began := time.Now()
	if err := tell.write(run.set.withdrawals()); err != nil {
		return err
	}
	gone, err := run.meter.reach(ctx, func(n int) bool { return n <= run.empty })
	if err != nil {
		return fmt.Errorf("withdrawing all: %w", err)
	}
	r.add(of+"withdraw_seconds"+run.family.name, gone.Sub(began).Seconds())
	run.said.say("%-8s one change: p50 %.2f ms, p99 %.2f ms; all withdrawn in %.3f s",
		d.name, percentile(took, 50), percentile(took, 99), gone.Sub(began).Seconds())
	return nil
}
