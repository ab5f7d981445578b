package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

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
	// maxRefusedListed bounds the refused prefixes that a report lists one by one.
	maxRefusedListed = 256
)

// Forwarder carries learned paths into the kernel. It is the only one that changes the
// kernel's routes.
type Forwarder struct {
	rib   RIB
	table *routes.Table
	drift <-chan struct{}
	log   *slog.Logger

	wake    chan struct{}
	changed chan struct{}

	mu       sync.Mutex
	importer *plan.Importer // nil until the first plan: nothing is done before
	complete bool
	synced   bool
	lastErr  string
	refused  map[netip.Prefix][]plan.Refusal
}

// NewForwarder returns a Forwarder between the RIB and the table. drift is readable when
// the kernel may have been changed by somebody else.
func NewForwarder(rib RIB, table *routes.Table, drift <-chan struct{}, log *slog.Logger) *Forwarder {
	return &Forwarder{
		rib:     rib,
		table:   table,
		drift:   drift,
		log:     log,
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		refused: map[netip.Prefix][]plan.Refusal{},
	}
}

// Set says how learned paths become routes from now on, and whether the picture is complete.
func (f *Forwarder) Set(importer *plan.Importer, complete bool) {
	f.mu.Lock()
	same := f.importer != nil && f.complete == complete && f.importer.Equal(importer)
	f.importer, f.complete = importer, complete
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
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-f.rib.Queue().Wake():
			err = f.follow(ctx)
		case <-f.wake:
			err = f.reconcile(ctx)
		case <-compare.C:
			err = f.reconcile(ctx)
		case <-f.drift:
			err = f.repair(ctx)
		case <-retry.C:
			if len(f.table.State().Failed) == 0 && f.settled() {
				continue
			}
			err = f.reconcile(ctx)
		}
		if ctx.Err() == nil {
			f.note(err)
			signal(f.changed)
		}
	}
}

// settled reports whether the last pass went through.
func (f *Forwarder) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastErr == ""
}

// follow is the fast path: it carries only what changed.
func (f *Forwarder) follow(ctx context.Context) error {
	importer, _ := f.current()
	if importer == nil {
		return nil // the first plan brings a complete pass, which reads the RIB itself
	}
	var changes []routes.Change
	for _, c := range f.rib.Queue().Take() {
		d := importer.Decide(c)
		f.setRefused(c.Prefix, d.Refusals)
		changes = append(changes, routes.Change{Key: importer.Key(c.Prefix), Route: d.Route})
	}
	return f.table.Update(ctx, changes)
}

// reconcile is the slow path: it reads the whole RIB and compares it with the kernel.
func (f *Forwarder) reconcile(ctx context.Context) error {
	importer, complete := f.current()
	if importer == nil {
		return nil
	}
	rib, err := f.rib.RIB(ctx)
	if err != nil {
		return fmt.Errorf("reading the RIB: %w", err)
	}
	want := routes.Desired{Routes: importer.Own(), Complete: complete}
	refused := map[netip.Prefix][]plan.Refusal{}
	for _, c := range rib {
		d := importer.Decide(c)
		if d.Route != nil {
			want.Routes = append(want.Routes, *d.Route)
		}
		if len(d.Refusals) > 0 {
			refused[c.Prefix] = d.Refusals
		}
	}
	err = f.table.Reconcile(ctx, want)
	f.mu.Lock()
	f.refused, f.synced = refused, true
	f.mu.Unlock()
	return err
}

// repair puts back what somebody else took out of the kernel.
func (f *Forwarder) repair(ctx context.Context) error {
	if importer, _ := f.current(); importer == nil {
		return nil
	}
	return f.table.Repair(ctx)
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

// note logs a pass that failed, once per change.
func (f *Forwarder) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	f.mu.Lock()
	changed := text != f.lastErr
	f.lastErr = text
	f.mu.Unlock()
	switch {
	case !changed:
	case err == nil:
		f.log.Info("kernel routes are as wanted again")
	default:
		f.log.Error("kernel routes are not as wanted", "error", firstLines(err, 5))
	}
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
	for _, prefix := range slices.SortedFunc(maps.Keys(f.refused), comparePrefixes) {
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

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// signal makes a channel of capacity one readable.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
