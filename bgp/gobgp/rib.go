package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// RIB returns the best paths of every prefix that a peer told us; none while nothing runs.
// It is whole or an error.
//
// It asks for the first event of a new watch: GoBGP's listing of paths marks only such paths
// as best that equal each other in every attribute, and so hides most of a multipath set.
func (s *Speaker) RIB(ctx context.Context) ([]bgp.RIBChange, error) {
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	s.applyMu.Lock() // a speaker that is not running sends no first event
	defer s.applyMu.Unlock()
	if s.held.config == nil {
		return nil, nil
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	snapshot := make(chan []*api.Path, 1)
	request := &api.WatchEventRequest{Table: &api.WatchEventRequest_Table{
		Filters: []*api.WatchEventRequest_Table_Filter{{Type: api.WatchEventRequest_Table_Filter_BEST, Init: true}},
	}}
	var once sync.Once
	err := s.server.WatchEvent(watching, request, func(event *api.WatchEventResponse) {
		once.Do(func() { snapshot <- event.GetTable().GetPaths() })
	})
	if err != nil {
		return nil, fmt.Errorf("listing the RIB: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("listing the RIB: %w", ctx.Err())
	case paths := <-snapshot:
		changes, err := (&reader{view: s.view.Load()}).changes(paths)
		if err != nil {
			return nil, fmt.Errorf("listing the RIB: %w", err)
		}
		return slices.DeleteFunc(changes, func(c bgp.RIBChange) bool { return len(c.Paths) == 0 }), nil
	}
}

// peerFamily is a family of a peer, by its address without the zone.
type peerFamily struct {
	addr   netip.Addr
	family bgp.Family
}

// counted says how many paths of a peer are in the RIB, and for how many prefixes they are the
// best, which is what a reflector passes on.
type counted struct{ accepted, best int }

// ribCounts are what was counted in the RIB.
type ribCounts struct {
	peers  map[peerFamily]counted
	relays map[int]int // prefixes whose best path bears the number of a relay
}

// acceptedCount caches how many paths of each peer the import policy let in. GoBGP's own
// count knows nothing of the policy, and to count means to list the whole RIB, which holds up
// the speaker: so it is done again only once a change is over, and takes no more than about
// a fiftieth of the time, as long as nobody has to wait more than a minute for it.
type acceptedCount struct {
	mu       sync.Mutex
	counts   ribCounts
	received uint64
	dirty    time.Time // of the first change that is not counted yet; zero: none
	changing time.Time // of the last one
	notUntil time.Time
}

const (
	acceptedShare = 50
	// acceptedWait bounds what that puts a count off by: one that was made while very much came in has
	// taken as long as all that, with a million paths six seconds.
	acceptedWait = time.Minute
	// A burst of changes is over when there was none for acceptedQuiet; after acceptedLate it
	// is counted all the same.
	acceptedQuiet = time.Second
	acceptedLate  = 10 * time.Second
)

// changed notes that the counts may be wrong.
func (a *acceptedCount) changed() {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note(now)
}

func (a *acceptedCount) note(now time.Time) {
	a.changing = now
	if a.dirty.IsZero() {
		a.dirty = now
	}
}

// due reports whether to count now.
func (a *acceptedCount) due(now time.Time) bool {
	return !a.dirty.IsZero() && !now.Before(a.notUntil) &&
		(now.Sub(a.changing) >= acceptedQuiet || now.Sub(a.dirty) >= acceptedLate)
}

// acceptedCounts returns the accepted paths of each peer and family; a little old if need be.
func (s *Speaker) acceptedCounts(ctx context.Context, v *view, live map[netip.Addr]*api.Peer) ribCounts {
	a := &s.accepted
	begin := time.Now()
	counts, due := a.look(begin, v.running, receivedPaths(live))
	if !due {
		return counts
	}
	fresh, err := s.countPaths(ctx, len(v.relays) > 0) // without the lock, for which the speaker's news would wait
	if err != nil {
		a.changed()
		return counts
	}
	end := time.Now()
	a.set(end, fresh, end.Sub(begin))
	return fresh
}

// look returns the counts, and whether it is time to count again: what changes from now on
// is not counted then.
func (a *acceptedCount) look(now time.Time, running bool, received uint64) (counts ribCounts, due bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !running || received == 0 {
		a.counts, a.received = ribCounts{}, 0
		return ribCounts{}, false
	}
	if received != a.received {
		a.received = received
		a.note(now)
	}
	if due = a.due(now); due {
		a.dirty = time.Time{}
	}
	return a.counts, due
}

func (a *acceptedCount) set(now time.Time, counts ribCounts, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts, a.notUntil = counts, now.Add(min(took*acceptedShare, acceptedWait))
}

// receivedPaths sums up what the peers sent; a change of it hints at a change of the rest.
func receivedPaths(live map[netip.Addr]*api.Peer) uint64 {
	var sum uint64
	for _, p := range live {
		for _, af := range p.GetAfiSafis() {
			sum += af.GetState().GetReceived()
		}
	}
	return sum
}

// countPaths counts the paths in the RIB by peer. It converts attributes only where relays are
// to be counted, which paths belong to by a mark.
func (s *Speaker) countPaths(ctx context.Context, relays bool) (ribCounts, error) {
	counts := ribCounts{map[peerFamily]counted{}, map[int]int{}}
	for _, family := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		request := &api.ListPathRequest{TableType: api.TableType_GLOBAL, Family: apiFamily(family), EnableOnlyBinary: !relays}
		err := s.server.ListPath(ctx, request, func(d *api.Destination) {
			for i, p := range d.GetPaths() { // the best one first
				if addr := parseAddr(p.GetNeighborIp()); addr.IsValid() {
					c := counts.peers[peerFamily{addr, family}]
					c.accepted++
					if i == 0 {
						c.best++
						for _, number := range relaysOn(p) {
							counts.relays[number]++
						}
					}
					counts.peers[peerFamily{addr, family}] = c
				}
			}
		})
		if err == nil {
			err = ctx.Err() // the listing ends early without an error
		}
		if err != nil {
			return ribCounts{}, err
		}
	}
	return counts, nil
}
