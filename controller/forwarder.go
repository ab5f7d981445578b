package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/routes"
)

const (
	// comparePeriod is how often the kernel is compared with what is wanted although
	// nothing told of a difference.
	comparePeriod = 5 * time.Minute
	// retryPeriod is how long routes that the kernel refused wait for the next attempt.
	retryPeriod = 5 * time.Second
	// passShare is how rarely whole passes are made because next hops lead elsewhere: no more
	// than this part of the time goes into them.
	passShare = 10
	// maxRefusedListed bounds the refused prefixes that a report lists one by one.
	maxRefusedListed = 256
)

// Forwarder carries learned paths into the kernel. It is the only one that changes the
// kernel's routes.
type Forwarder struct {
	rib    RIB
	table  *routes.Table
	kernel Kernel
	log    *slog.Logger

	wake    chan struct{}
	changed chan struct{}

	// The next are those of Run alone.
	ways *plan.Ways            // nil until the first pass
	told map[netip.Prefix]bool // what the queue has told of and no pass has looked at yet
	// behind: a whole pass is due, be it that one failed or that it has to wait.
	behind    bool
	notBefore time.Time // the next one that news in the RIB or in the kernel asks for
	later     *time.Timer
	// stuck are prefixes none of whose best paths leads anywhere. The speaker tells nothing of
	// changes of the others, so they are looked at again and again. With each is what was last decided.
	stuck      map[netip.Prefix]plan.Decision
	reviewedAt time.Time
	reviewTook time.Duration

	mu       sync.Mutex
	importer *plan.Importer // nil until the first plan: nothing is done before
	anew     bool           // importer has decided nothing yet of what was learned before it
	complete bool
	synced   bool
	lastErr  string
	refused  map[netip.Prefix][]plan.Refusal
}

// NewForwarder returns a Forwarder between the RIB and the table, which is that of the kernel.
func NewForwarder(rib RIB, table *routes.Table, kernel Kernel, log *slog.Logger) *Forwarder {
	return &Forwarder{
		rib:     rib,
		table:   table,
		kernel:  kernel,
		log:     log,
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		refused: map[netip.Prefix][]plan.Refusal{},
		stuck:   map[netip.Prefix]plan.Decision{},
		told:    map[netip.Prefix]bool{},
	}
}

// Set says how learned paths become routes from now on, and whether the picture is complete.
func (f *Forwarder) Set(importer *plan.Importer, complete bool) {
	f.mu.Lock()
	other := f.importer == nil || !f.importer.Equal(importer)
	same := !other && f.complete == complete
	f.importer, f.complete = importer, complete
	f.anew = f.anew || other
	f.mu.Unlock()
	if !same {
		signal(f.wake)
	}
}

// Changed is readable after the kernel's routes or the refusals changed.
func (f *Forwarder) Changed() <-chan struct{} { return f.changed }

// Run carries changes into the kernel until ctx ends. It leaves the routes where they are.
func (f *Forwarder) Run(ctx context.Context) error {
	compare := time.NewTicker(comparePeriod)
	defer compare.Stop()
	retry := time.NewTicker(retryPeriod)
	defer retry.Stop()
	review := time.NewTicker(reviewPeriod)
	defer review.Stop()
	f.later = time.NewTimer(comparePeriod)
	defer f.later.Stop()
	for {
		var err error
		news := true
		select {
		case <-ctx.Done():
			return nil
		case <-f.rib.Queue().Wake():
			err = f.follow(ctx)
		case <-f.wake:
			err = f.adopt(ctx)
		case <-compare.C:
			err = f.reconcile(ctx)
		case <-f.kernel.Drift():
			err = f.repair(ctx)
		case <-f.kernel.Moved():
			news, err = f.retrace(ctx)
		case <-review.C:
			if len(f.stuck) == 0 || time.Since(f.reviewedAt) < f.reviewTook*reviewShare {
				continue
			}
			news, err = f.review(ctx)
		case <-retry.C:
			if f.table.Failing() == 0 && !f.behind {
				continue
			}
			err = f.again(ctx)
		case <-f.later.C:
			if !f.behind {
				continue
			}
			err = f.reconcile(ctx)
		}
		if ctx.Err() == nil && (f.note(err) || news) {
			signal(f.changed)
		}
	}
}

// again does what failed: a whole pass, or single routes that the kernel refused.
func (f *Forwarder) again(ctx context.Context) error {
	if f.behind {
		return f.reconcile(ctx)
	}
	return f.table.Retry(ctx)
}

// soon makes a whole pass for news, or notes that one is due: what flaps costs no more than a
// part of the time.
func (f *Forwarder) soon(ctx context.Context) error {
	wait := time.Until(f.notBefore)
	if wait <= 0 {
		return f.reconcile(ctx)
	}
	f.behind = true
	f.later.Reset(wait)
	return nil
}

// InPlace reports whether what is known of the routes has been carried into the kernel once, and
// the kernel has taken those to pods. Where it holds another's route to them, that leads there.
func (f *Forwarder) InPlace(pods func(netip.Prefix) bool) bool {
	f.mu.Lock()
	synced := f.synced
	f.mu.Unlock()
	return synced && !slices.ContainsFunc(f.table.State().Failed, func(failure routes.Failure) bool {
		_, taken := errors.AsType[*routes.TakenError](failure.Err)
		return !taken && pods(failure.Route.Prefix)
	})
}

// follow is the fast path: it carries only what changed.
func (f *Forwarder) follow(ctx context.Context) error {
	importer, _ := f.current()
	if importer == nil {
		return nil // the first plan brings a complete pass, which reads the RIB itself
	}
	changed := f.rib.Queue().Take()
	if f.ways == nil || slices.ContainsFunc(changed, func(c bgp.RIBChange) bool { return !f.ways.Decides(importer, c) }) {
		for _, c := range changed {
			f.told[c.Prefix] = true
		}
		return f.soon(ctx) // next hops may lead elsewhere now, those of other prefixes too
	}
	var changes []routes.Change
	var stuck []netip.Prefix
	for _, c := range changed {
		d := importer.Decide(c, f.ways)
		delete(f.stuck, c.Prefix)
		if d.Stuck {
			stuck = append(stuck, c.Prefix)
			continue
		}
		f.setRefused(c.Prefix, d.Refusals)
		changes = append(changes, routes.Change{Key: importer.Key(c.Prefix), Route: d.Route})
	}
	among, err := f.decideAmong(ctx, importer, stuck, nil)
	for prefix, d := range among {
		f.setRefused(prefix, d.Refusals)
		changes = append(changes, routes.Change{Key: importer.Key(prefix), Route: d.Route})
	}
	return errors.Join(err, f.table.Update(ctx, changes))
}

// adopt does what Set has made necessary. A picture that is complete now and was right before
// needs no slow pass: what is in the queue makes it whole, for the speaker tells of End-of-RIB
// after the paths before it.
func (f *Forwarder) adopt(ctx context.Context) error {
	f.mu.Lock()
	right := f.synced && !f.behind && !f.anew && f.complete
	f.mu.Unlock()
	if !right {
		return f.reconcile(ctx)
	}
	return errors.Join(f.follow(ctx), f.table.Complete(ctx))
}

// reconcile is the slow path: it reads the whole RIB and compares it with the kernel.
func (f *Forwarder) reconcile(ctx context.Context) error {
	f.mu.Lock()
	importer, complete := f.importer, f.complete
	f.anew = false
	f.mu.Unlock()
	if importer == nil {
		return nil
	}
	f.behind = true
	began := time.Now()
	defer func() { f.notBefore = time.Now().Add(time.Since(began) * passShare) }()
	rib, err := f.rib.RIB(ctx)
	if err != nil {
		return fmt.Errorf("reading the RIB: %w", err)
	}
	if err := f.trace(ctx, importer, rib, nil, nil); err != nil {
		return err
	}
	decided, err := f.decideAll(ctx, importer, rib)
	if err != nil {
		return err // what is in the kernel stays: it may be just what the other paths say
	}
	f.behind = false // what the kernel refuses is the table's to know
	want := routes.Desired{Routes: importer.Own(), Complete: complete}
	refused := map[netip.Prefix][]plan.Refusal{}
	var unwanted []routes.Change // known to be, and not only missing
	for i, d := range decided {
		prefix := rib[i].Prefix
		if d.Route != nil {
			want.Routes = append(want.Routes, *d.Route)
		} else {
			unwanted = append(unwanted, routes.Change{Key: importer.Key(prefix)})
		}
		if len(d.Refusals) > 0 {
			refused[prefix] = d.Refusals
		}
	}
	for prefix := range f.gone(rib) {
		unwanted = append(unwanted, routes.Change{Key: importer.Key(prefix)})
	}
	err = errors.Join(f.table.Reconcile(ctx, want), f.table.Update(ctx, unwanted))
	f.mu.Lock()
	f.refused, f.synced = refused, true
	f.mu.Unlock()
	return err
}

// decideAll decides about each prefix of the RIB.
func (f *Forwarder) decideAll(ctx context.Context, importer *plan.Importer, rib []bgp.RIBChange) ([]plan.Decision, error) {
	decided := make([]plan.Decision, len(rib))
	var stuck []netip.Prefix
	for i, c := range rib {
		if decided[i] = importer.Decide(c, f.ways); decided[i].Stuck {
			stuck = append(stuck, c.Prefix)
		}
	}
	clear(f.stuck)
	among, err := f.decideAmong(ctx, importer, stuck, rib)
	for i, c := range rib {
		if d, ok := among[c.Prefix]; ok {
			decided[i] = d
		}
	}
	return decided, err
}

// gone returns, once, the prefixes that the queue has told of and that the RIB no longer has: in an
// incomplete picture only that is news of a withdrawal.
func (f *Forwarder) gone(rib []bgp.RIBChange) map[netip.Prefix]bool {
	if len(f.told) == 0 {
		return nil
	}
	for _, c := range rib {
		delete(f.told, c.Prefix)
	}
	gone := f.told
	f.told = map[netip.Prefix]bool{}
	return gone
}

// repair puts back what somebody else took out of the kernel.
func (f *Forwarder) repair(ctx context.Context) error {
	if importer, _ := f.current(); importer == nil {
		return nil
	}
	return f.table.Mend(ctx)
}

func (f *Forwarder) current() (*plan.Importer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.importer, f.complete
}

func (f *Forwarder) setRefused(prefix netip.Prefix, refusals []plan.Refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(refusals) == 0 {
		delete(f.refused, prefix)
		return
	}
	f.refused[prefix] = refusals
}

// note logs a pass that failed, once per change, and reports whether it is one. A pass that went
// through and looked at a part alone says nothing of the others.
func (f *Forwarder) note(err error) (changed bool) {
	if err == nil && (f.table.Failing() > 0 || f.behind) {
		return false
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	f.mu.Lock()
	changed = text != f.lastErr
	f.lastErr = text
	f.mu.Unlock()
	switch {
	case !changed:
	case err == nil:
		f.log.Info("kernel routes are as wanted again")
	default:
		f.log.Error("kernel routes are not as wanted", "error", firstLines(err, 5))
	}
	return changed
}

// firstLines keeps a log line readable when thousands of routes fail alike.
func firstLines(err error, n int) string {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) <= n {
		return err.Error()
	}
	all := joined.Unwrap()
	return fmt.Sprintf("%s\nand %d more", errors.Join(all[:n]...), len(all)-n)
}

// fill adds what the Forwarder knows to a report.
func (f *Forwarder) fill(r *report.Report) {
	r.Routes = f.table.State()
	f.mu.Lock()
	defer f.mu.Unlock()
	r.RoutesSynced = f.synced
	r.Refusals = map[report.Refusal]int{}
	for _, prefix := range slices.SortedFunc(maps.Keys(f.refused), netip.Prefix.Compare) {
		for _, refusal := range f.refused[prefix] {
			r.Refusals[report.Refusal{Peer: plan.ObjectOf(refusal.Object.Name), Reason: refusal.Reason}]++
			if len(r.Refused) < maxRefusedListed {
				r.Refused = append(r.Refused, report.RefusedPrefix{
					Prefix: refusal.Subject, Peer: refusal.Object.Name, Reason: refusal.Reason, Message: refusal.Message,
				})
			}
		}
	}
}

// signal makes a channel of capacity one readable.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
