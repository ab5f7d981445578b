package controller

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
)

// refusePeriod is how often the filter is looked at although nothing else is wanted of it: somebody may
// have flushed all rules of this host.
const refusePeriod = 2 * time.Second

// Refuser has what is forwarded to unowned addresses refused. It is the only one that changes the filter.
type Refuser struct {
	filter Filter
	log    *slog.Logger
	wake   chan struct{}

	mu      sync.Mutex
	unowned []netip.Prefix
	planned bool // there has been a plan: before, what an earlier process left stays
	err     error

	none bool // of Run alone: nothing is wanted, and so there is nothing to look at
}

// NewRefuser returns a Refuser that has done nothing yet.
func NewRefuser(filter Filter, log *slog.Logger) *Refuser {
	return &Refuser{filter: filter, log: log, wake: make(chan struct{}, 1)}
}

// Set says what is to be refused from now on. It does not wait for it.
func (r *Refuser) Set(unowned []netip.Prefix) {
	r.mu.Lock()
	same := r.planned && slices.Equal(r.unowned, unowned)
	r.unowned, r.planned = unowned, true
	r.mu.Unlock()
	if !same {
		signal(r.wake)
	}
}

// Run keeps the filter as it is wanted until ctx ends, and leaves it so. What cannot be done is tried
// again, and matters to nothing else.
func (r *Refuser) Run(ctx context.Context) error {
	tick := time.NewTicker(refusePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-tick.C:
		}
		r.apply(ctx)
	}
}

func (r *Refuser) apply(ctx context.Context) {
	r.mu.Lock()
	unowned, planned := r.unowned, r.planned
	r.mu.Unlock()
	if !planned || r.none && len(unowned) == 0 {
		return
	}
	err := r.filter.Set(ctx, unowned)
	r.none = err == nil && len(unowned) == 0
	if ctx.Err() == nil {
		r.note(err)
	}
}

// note logs what fails, and that it does no longer, once per change. A host that has nothing to
// refuse lacks nothing.
func (r *Refuser) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unowned) == 0 {
		err = nil
	}
	switch {
	case err != nil && (r.err == nil || r.err.Error() != err.Error()):
		r.log.Error("packets to addresses that nobody owns are not refused", "error", err)
	case err == nil && r.err != nil:
		r.log.Info("packets to addresses that nobody owns are refused again")
	}
	r.err = err
}

// problems says what keeps packets from being refused.
func (r *Refuser) problems(node string) []report.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return nil
	}
	return []report.Problem{{Kind: "Node", Name: node, Reason: plan.ReasonUnownedNotRefused, Message: "packets to addresses of announced aggregates that nobody owns may go round between this node and a router: " + r.err.Error()}}
}
