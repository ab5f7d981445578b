package bgp

import (
	"net/netip"
	"sync"
)

// RIBQueue holds the newest state of every prefix that changed since it was last taken.
// A burst of changes of one prefix takes the place of one, so it never grows beyond the RIB.
type RIBQueue struct {
	mu      sync.Mutex
	pending map[netip.Prefix][]Path
	wake    chan struct{}
}

// NewRIBQueue returns an empty queue.
func NewRIBQueue() *RIBQueue {
	return &RIBQueue{pending: map[netip.Prefix][]Path{}, wake: make(chan struct{}, 1)}
}

// Put notes the newest paths of the prefixes. It never blocks.
func (q *RIBQueue) Put(changes ...RIBChange) {
	if len(changes) == 0 {
		return
	}
	q.mu.Lock()
	for _, c := range changes {
		q.pending[c.Prefix] = c.Paths
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Wake is readable when there may be something to take.
func (q *RIBQueue) Wake() <-chan struct{} { return q.wake }

// Take returns all that is pending, in no particular order, and forgets it.
func (q *RIBQueue) Take() []RIBChange {
	q.mu.Lock()
	pending := q.pending
	q.pending = make(map[netip.Prefix][]Path)
	q.mu.Unlock()
	changes := make([]RIBChange, 0, len(pending))
	for prefix, paths := range pending {
		changes = append(changes, RIBChange{Prefix: prefix, Paths: paths})
	}
	return changes
}
