package gobgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-bgp/fairway/bgp"
)

// held is what GoBGP holds.
type held struct {
	config     *bgp.Config // nil: it does not run
	gr         gracefulRestart
	started    time.Time
	restarting bool                    // the next peers are the first of this process, and our routes are in the kernel
	late       map[netip.Addr]bgp.Peer // peers that were held down when these were added, and may keep our routes
	policy     policy
	request    *api.SetPoliciesRequest // the policy as GoBGP has it
	peers      map[netip.Addr]heldPeer
	waiting    map[netip.Addr]bgp.Peer // peers as wanted, whose changes wait for the end of a session
	paths      map[netip.Prefix]int    // class of each prefix of ours
	stations   []bgp.Station
	listens    map[netip.Prefix]bgp.Secret // those with a password
}

// heldPeer is a peer as it was last applied.
type heldPeer struct {
	bgp.Peer
	conf       *api.Peer
	restarting bool  // it was added as one to be told of our restart
	unsettled  bool  // it is not as conf says: the next Apply has to try again
	over       *over // nil unless it has told too many prefixes
}

// Apply makes the speaker hold exactly want. It may be called again with the same. It goes on
// past failures and returns all of them joined: a [bgp.PeerError] or [bgp.PrefixError] each, or what
// kept the speaker from running at all. What failed is tried again by the next call. One
// goroutine calls it.
func (s *Speaker) Apply(ctx context.Context, want bgp.Desired) error {
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	s.applyMu.Lock()
	defer s.applyMu.Unlock()

	s.want = want
	s.want.Peers = slices.Clone(want.Peers) // a caller may change its own
	if done, err := s.applyQuick(ctx, want); done {
		return err
	}
	return s.applyWhole(ctx, want)
}

// applyWhole looks at everything that is wanted.
func (s *Speaker) applyWhole(ctx context.Context, want bgp.Desired) error {
	s.last = nil
	w, errs := check(want)
	s.lendNextHops(w)
	s.log.callers.listen(w)
	if want.Config == nil && s.held.config != nil { // once it is stopped, GoBGP takes no such order
		errs = append(errs, s.applyStations(ctx, nil)...)
	}
	if err := s.applyConfig(ctx, want.Config); err != nil || want.Config == nil {
		err = errors.Join(append(errs, err)...)
		s.publish(want, w, nil, err)
		return err
	}
	now := audiences(w)
	w.relays = relaysOf(w, want.Config.ASN)
	// The names have to be known before the first path of a new peer arrives.
	s.publish(want, w, now, errors.Join(errs...))

	next, byPrefix := s.nextPolicy(w, now, want.Config.ASN)
	remarked := s.held.policy.remarked(next)
	if err := s.setPolicy(ctx, s.held.policy.with(next)); err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, s.refreshPeers(ctx, w, remarked)...)
	errs = append(errs, s.deletePeers(ctx, w)...)
	errs = append(errs, s.applyListen(ctx, w.listens)...)
	errs = append(errs, s.applyPaths(ctx, byPrefix)...)
	errs = append(errs, s.applyPeers(ctx, w)...)
	errs = append(errs, s.setPolicy(ctx, s.keepUsed(next)))
	errs = append(errs, s.applyStations(ctx, want.Stations)...)
	err := errors.Join(errs...)
	s.publish(want, w, now, err)
	if err = errors.Join(err, ctx.Err()); err == nil {
		s.last = &lastApplied{
			config:         *want.Config,
			peers:          slices.Clone(want.Peers),
			stations:       want.Stations,
			listens:        want.Listens,
			advertisements: want.Advertisements,
			relays:         want.Relays,
			numbers:        numbersOf(want, byPrefix),
		}
	}
	return err
}

// nextPolicy returns the policy for what is wanted, and the class of each prefix of ours.
func (s *Speaker) nextPolicy(w wanted, now []audience, asn uint32) (policy, map[netip.Prefix]int) {
	fresh, gone := s.fresh(w), s.gone(w)
	classes, byPrefix := number(s.held.policy.classes, now, fresh, gone)
	passed, marks := numberReflected(s.held.policy.reflected, w, fresh, gone)
	relays, numbers := numberRelays(s.held.policy.relays, w.relays, fresh, gone)
	next := policy{asn: asn, imports: make(map[netip.Addr]imported, len(w.peers)), classes: classes, reflected: passed, relays: relays}
	for addr, p := range w.peers {
		next.imports[addr] = imported{
			rules: p.Import, external: p.AnyExternal, own: ownAS{p.LocalASN, p.AllowOwnAS}, pref: p.ImportLocalPref, from: p.Reflection, mark: marks[p.Reflection], relays: numbers[addr],
		}
	}
	return next, byPrefix
}

// fresh returns the wanted peers that GoBGP does not have.
func (s *Speaker) fresh(w wanted) map[netip.Addr]bool {
	fresh := map[netip.Addr]bool{}
	for addr := range w.peers {
		if _, ok := s.held.peers[addr]; !ok {
			fresh[addr] = true
		}
	}
	return fresh
}

// gone returns the peers that GoBGP has and that are not wanted.
func (s *Speaker) gone(w wanted) map[netip.Addr]bool {
	gone := map[netip.Addr]bool{}
	for addr := range s.held.peers {
		if _, ok := w.peers[addr]; !ok {
			gone[addr] = true
		}
	}
	return gone
}

// keepUsed adds the old classes of paths whose change of class failed: GoBGP could not
// withdraw them otherwise.
func (s *Speaker) keepUsed(next policy) policy {
	for _, number := range s.held.paths {
		if _, ok := next.classes[number]; !ok {
			next.classes[number] = s.held.policy.classes[number]
		}
	}
	return next
}

// setPolicy replaces GoBGP's whole policy at once, unless it is the same.
func (s *Speaker) setPolicy(ctx context.Context, p policy) error {
	request := p.request()
	if !proto.Equal(request, s.held.request) {
		if err := s.server.SetPolicies(ctx, request); err != nil {
			return fmt.Errorf("setting the policy: %w", err)
		}
		s.held.request = request
	}
	s.held.policy = p
	return nil
}

// applyPaths makes our own prefixes exactly those of want, each in its class.
func (s *Speaker) applyPaths(ctx context.Context, want map[netip.Prefix]int) []error {
	set := map[netip.Prefix]int{}
	for prefix, class := range want {
		if s.held.paths[prefix] != class {
			set[prefix] = class
		}
	}
	var gone []netip.Prefix
	for prefix := range s.held.paths {
		if _, ok := want[prefix]; !ok {
			gone = append(gone, prefix)
		}
	}
	return s.changePaths(ctx, set, gone)
}

// changePaths puts some of our prefixes into their classes and withdraws others.
func (s *Speaker) changePaths(ctx context.Context, set map[netip.Prefix]int, gone []netip.Prefix) []error {
	var errs []error
	for prefix, class := range set {
		if ctx.Err() != nil {
			return errs
		}
		if err := s.movePath(ctx, prefix, class); err != nil {
			errs = append(errs, &bgp.PrefixError{Prefix: prefix, Err: err})
		}
	}
	for _, prefix := range gone {
		if ctx.Err() != nil {
			return errs
		}
		if err := s.deletePath(ctx, prefix, s.held.paths[prefix]); err != nil {
			errs = append(errs, &bgp.PrefixError{Prefix: prefix, Err: fmt.Errorf("withdrawing: %w", err)})
			continue
		}
		delete(s.held.paths, prefix)
	}
	return errs
}

// movePath adds the path of a prefix in its class, and then takes away that of the class it was in.
func (s *Speaker) movePath(ctx context.Context, prefix netip.Prefix, class int) error {
	if err := s.addPath(ctx, prefix, class); err != nil {
		return err
	}
	if old, known := s.held.paths[prefix]; known && old != class {
		if err := s.deletePath(ctx, prefix, old); err != nil {
			return fmt.Errorf("withdrawing what was told before: %w", err)
		}
	}
	s.held.paths[prefix] = class
	return nil
}

func (s *Speaker) addPath(ctx context.Context, prefix netip.Prefix, class int) error {
	path, err := localPath(prefix, class)
	if err != nil {
		return err
	}
	_, err = s.server.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: path})
	return err
}

// deletePath deletes by value: by UUID takes GoBGP longer the more paths there are.
func (s *Speaker) deletePath(ctx context.Context, prefix netip.Prefix, class int) error {
	path, err := localPath(prefix, class)
	if err != nil {
		return err
	}
	return s.server.DeletePath(ctx, &api.DeletePathRequest{TableType: api.TableType_GLOBAL, Path: path})
}

func sortedAddrs[V any](m map[netip.Addr]V) []netip.Addr {
	return slices.SortedFunc(maps.Keys(m), netip.Addr.Compare)
}
