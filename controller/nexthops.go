package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/routes"
)

const (
	// reviewPeriod is how often the less liked paths are looked at of prefixes none of whose
	// best paths leads anywhere; more rarely where that would take more than this part of the time.
	reviewPeriod = time.Second
	reviewShare  = 50
)

// trace finds out where the next hops of the RIB lead, and those of more paths. Of what decidedBy
// knows that counts on, or retrace would not see that decisions rest on something else; it may be nil.
func (f *Forwarder) trace(ctx context.Context, importer *plan.Importer, rib []bgp.RIBChange, more []bgp.Path, decidedBy *plan.Ways) error {
	seen := map[netip.Addr]bool{}
	note := func(paths []bgp.Path) {
		for _, addr := range importer.Remote(paths) {
			seen[addr] = true
		}
	}
	for _, c := range rib {
		note(c.Paths)
	}
	note(more)
	remote := slices.Collect(maps.Keys(seen))
	others, err := f.kernel.Follow(ctx, remote)
	if err != nil {
		return fmt.Errorf("finding out where next hops lead: %w", err)
	}
	decidedBy.Keep(others)
	f.ways = importer.Ways(rib, remote, others)
	return nil
}

// retrace does all again when the kernel leads a next hop elsewhere than it did, and reports whether
// that is so.
func (f *Forwarder) retrace(ctx context.Context) (moved bool, err error) {
	if f.ways == nil || len(f.ways.Rests()) == 0 {
		return false, nil
	}
	others, err := f.kernel.Follow(ctx, f.ways.Rests())
	if err != nil {
		return false, fmt.Errorf("finding out where next hops lead: %w", err)
	}
	if f.ways.SameOthers(others) {
		return false, nil
	}
	return true, f.soon(ctx)
}

// decideAmong decides about prefixes none of whose best paths leads anywhere, and notes them.
// rib may be nil: it is read where it is needed.
func (f *Forwarder) decideAmong(ctx context.Context, importer *plan.Importer, stuck []netip.Prefix, rib []bgp.RIBChange) (map[netip.Prefix]plan.Decision, error) {
	if len(stuck) == 0 {
		return nil, nil
	}
	for _, prefix := range stuck {
		if _, known := f.stuck[prefix]; !known {
			f.stuck[prefix] = plan.Decision{}
		}
	}
	began := time.Now()
	defer func() { f.reviewedAt, f.reviewTook = time.Now(), time.Since(began) }()
	rankings, err := f.rib.Rankings(ctx, stuck)
	if err != nil {
		return nil, fmt.Errorf("reading the other paths of prefixes: %w", err)
	}
	if err := f.traceMore(ctx, importer, rankings, rib); err != nil {
		return nil, err
	}
	decided := map[netip.Prefix]plan.Decision{}
	for _, prefix := range stuck {
		decided[prefix] = plan.Decision{} // one that is gone meanwhile has no ranking
	}
	for _, r := range rankings {
		decided[r.Prefix] = importer.DecideAmong(r, f.ways)
	}
	for prefix, d := range decided {
		if d.Stuck {
			f.stuck[prefix] = d
		} else {
			delete(f.stuck, prefix)
		}
	}
	return decided, nil
}

// traceMore finds out where the next hops lead of paths that are not in the RIB's best sets.
func (f *Forwarder) traceMore(ctx context.Context, importer *plan.Importer, rankings []bgp.Ranking, rib []bgp.RIBChange) error {
	var more []bgp.Path
	for _, r := range rankings {
		for _, set := range r.Sets {
			more = append(more, set...)
		}
	}
	if f.ways.Knows(importer.Remote(more)) {
		return nil
	}
	if rib == nil {
		var err error
		if rib, err = f.rib.RIB(ctx); err != nil {
			return fmt.Errorf("reading the RIB: %w", err)
		}
	}
	return f.trace(ctx, importer, rib, more, f.ways)
}

// review decides again about prefixes whose best paths lead nowhere, and reports whether that
// changes anything.
func (f *Forwarder) review(ctx context.Context) (changed bool, err error) {
	importer, _ := f.current()
	if importer == nil {
		return false, nil
	}
	before := maps.Clone(f.stuck)
	among, err := f.decideAmong(ctx, importer, slices.Collect(maps.Keys(before)), nil)
	if err != nil {
		return false, err
	}
	var changes []routes.Change
	for prefix, d := range among {
		if d.Equal(before[prefix]) {
			continue
		}
		f.setRefused(prefix, d.Refusals)
		changes = append(changes, routes.Change{Key: importer.Key(prefix), Route: d.Route})
	}
	if len(changes) == 0 {
		return false, nil
	}
	return true, f.table.Update(ctx, changes)
}
