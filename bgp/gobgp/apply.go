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
	restarting bool                // the next peers are the first of this process, and our routes are in the kernel
	late       map[netip.Addr]bool // peers that were held down when these were added, and may keep our routes
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
	s.log.callers.listen(w, listenPort(want.Config))
	if want.Config == nil && s.held.config != nil { // once it is stopped, GoBGP takes no such order
		errs = append(errs, s.applyStations(ctx, nil)...)
	}
	if err := s.applyConfig(ctx, want.Config); err != nil || want.Config == nil {
		err = errors.Join(append(errs, err)...)
		s.publish(want, w, nil, err)
		return err
	}
	now := audiences(w)
	w.relays = relaysOf(want.Relays, w, want.Config.ASN)
	// The names have to be known before the first path of a new peer arrives.
	s.publish(want, w, now, errors.Join(errs...))

	next, byPrefix := s.nextPolicy(w, now, want.Config.ASN)
	remarked, muted := s.held.policy.remarked(next), s.muted(w, next)
	if err := s.setPolicy(ctx, s.held.policy.with(next)); err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, s.refreshPeers(ctx, w, remarked)...)
	errs = append(errs, s.resetPeers(ctx, muted)...)
	errs = append(errs, s.deletePeers(ctx, w)...)
	errs = append(errs, s.applyListen(ctx, w.listens)...)
	errs = append(errs, s.applyPaths(ctx, byPrefix)...)
	errs = append(errs, s.applyPeers(ctx, w)...)
	s.admit(ctx)
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

// refreshPeers makes changed import rules, marks and next hops count for what is already there.
// A soft reset in also withdraws; a soft reset out does not, but no membership of a class that
// is in use changes here: a path whose audience changes gets another class.
func (s *Speaker) refreshPeers(ctx context.Context, w wanted, remarked map[netip.Addr]bool) []error {
	var errs []error
	for _, addr := range sortedAddrs(w.peers) {
		old, ok := s.held.peers[addr]
		if !ok {
			continue
		}
		p := w.peers[addr]
		if remarked[addr] || !old.SameImport(p) {
			errs = append(errs, s.softReset(ctx, p, api.ResetPeerRequest_IN))
			s.accepted.changed()
		}
		if old.NextHops != p.NextHops {
			errs = append(errs, s.softReset(ctx, p, api.ResetPeerRequest_OUT))
		}
		old.Import, old.AllowOwnAS, old.ImportLocalPref = p.Import, p.AllowOwnAS, p.ImportLocalPref
		old.NextHops, old.Name, old.Reflection = p.NextHops, p.Name, p.Reflection
		old.Limit, old.ExtendedNextHop = p.Limit, p.ExtendedNextHop
		s.held.peers[addr] = old
		s.sayOver(old)
	}
	return errs
}

func (s *Speaker) softReset(ctx context.Context, p bgp.Peer, direction api.ResetPeerRequest_SoftResetDirection) error {
	err := s.server.ResetPeer(ctx, &api.ResetPeerRequest{Address: p.Address.String(), Soft: true, Direction: direction})
	return peerError(p, "refreshing its paths", err)
}

// deletePeers removes the peers that are not wanted.
func (s *Speaker) deletePeers(ctx context.Context, w wanted) []error {
	var errs []error
	for _, addr := range slices.SortedFunc(maps.Keys(s.gone(w)), netip.Addr.Compare) {
		if wanted, down := w.down[addr]; down && wanted.Shutdown {
			errs = append(errs, s.tellShutdown(ctx, wanted))
		}
		errs = append(errs, s.deletePeer(ctx, s.held.peers[addr]))
	}
	return errs
}

// tellShutdown ends a session with words for the peer's operator. To delete the peer at once
// would overtake them.
func (s *Speaker) tellShutdown(ctx context.Context, p bgp.Peer) error {
	live, err := s.livePeer(ctx, p.Address)
	if err != nil || live.GetState().GetSessionState() != api.PeerState_ESTABLISHED {
		return err
	}
	request := &api.ShutdownPeerRequest{Address: p.Address.String(), Communication: p.ShutdownMessage}
	if err := s.server.ShutdownPeer(ctx, request); err != nil {
		return peerError(p, "shutting it down", err)
	}
	_, err = s.awaitEnd(ctx, p.Address)
	return err
}

// awaitEnd waits until a session that was told to end is no longer established, or for so long
// as that may take, and returns the peer then.
func (s *Speaker) awaitEnd(ctx context.Context, addr netip.Addr) (*api.Peer, error) {
	for deadline := time.Now().Add(shutdownPatience); ; {
		live, err := s.livePeer(ctx, addr)
		if err != nil || live.GetState().GetSessionState() != api.PeerState_ESTABLISHED || time.Now().After(deadline) {
			return live, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(shutdownPatience / 200):
		}
	}
}

// shutdownPatience is how long a session may take to end once it has been told to.
const shutdownPatience = 2 * time.Second

// deletePeer removes a peer, and with it its password from the listener: GoBGP's DeletePeer
// forgets that, and the address could never again be used without a password.
func (s *Speaker) deletePeer(ctx context.Context, p heldPeer) error {
	delete(s.held.waiting, p.Address)
	p.unsettled = true
	s.held.peers[p.Address] = p
	if p.Password != "" {
		bare := proto.CloneOf(p.conf)
		bare.Conf.AuthPassword = ""
		bare.Conf.AdminDown = true
		if _, err := s.server.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: bare}); err != nil {
			return peerError(p.Peer, "removing its password", err)
		}
	}
	if err := s.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: p.Address.String()}); err != nil {
		return peerError(p.Peer, "deleting it", err)
	}
	delete(s.held.peers, p.Address)
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

// applyPeers adds the missing peers and updates the changed ones.
func (s *Speaker) applyPeers(ctx context.Context, w wanted) []error {
	var errs []error
	for _, addr := range sortedAddrs(w.peers) {
		if ctx.Err() != nil {
			return errs
		}
		errs = append(errs, s.applyPeer(ctx, w.peers[addr]))
	}
	if ctx.Err() == nil && len(w.peers) > 0 && s.held.restarting {
		s.held.restarting, s.held.late = false, heldDown(s.want.Peers)
	}
	return errs
}

func (s *Speaker) applyPeer(ctx context.Context, p bgp.Peer) error {
	guarded := p.Password != ""
	conf := apiPeer(p, s.held.gr, guarded)
	if s.showsOurs(p) {
		conf.Conf.PeerAsn = nobodysASN
	}
	old, known := s.held.peers[p.Address]
	delete(s.held.waiting, p.Address)
	if old.over.keepsDown(p.Limit, time.Now()) {
		s.held.waiting[p.Address] = p
		return nil
	}
	if known && !old.unsettled && proto.Equal(old.conf, conf) {
		return nil
	}
	if known && !old.unsettled && canWait(old.conf, conf) && s.sessions.get(p.Address).established {
		s.held.waiting[p.Address] = p
		return nil
	}
	if known && !sameFromTheStart(old.conf, conf) {
		if err := s.deletePeer(ctx, old); err != nil {
			return err
		}
		known = false
	}
	s.log.clearMD5Failure(hostPrefix(p.Address))
	if known && old.conf.Conf.AuthPassword != conf.Conf.AuthPassword {
		s.sessions.reset(p.Address, "its password was changed")
	}
	if err := s.pushPeer(ctx, p.Address, conf, known); err != nil {
		s.sessions.reset(p.Address, "") // it was not
		return peerError(p, "setting it up", err)
	}
	s.held.peers[p.Address] = heldPeer{Peer: p, conf: conf, restarting: !known && s.held.restarts(p.Address, conf)}
	delete(s.held.late, p.Address)
	if !guarded {
		if old.over != nil {
			return s.enablePeer(ctx, p)
		}
		return nil
	}
	// The peer is down until here, so that a listener that could not take the password has
	// not let in anybody without it.
	if failure := s.log.md5Failure(hostPrefix(p.Address)); failure != nil {
		err := fmt.Errorf("its password could not be set on the listening socket, so it is not spoken to: %w", failure)
		return errors.Join(&bgp.PeerError{Peer: p.Name, Err: err}, s.deletePeer(ctx, s.held.peers[p.Address]))
	}
	return s.enablePeer(ctx, p)
}

// enablePeer lets a peer speak that GoBGP keeps idle.
func (s *Speaker) enablePeer(ctx context.Context, p bgp.Peer) error {
	if err := s.server.EnablePeer(ctx, &api.EnablePeerRequest{Address: p.Address.String()}); err != nil {
		held := s.held.peers[p.Address]
		held.unsettled = true
		s.held.peers[p.Address] = held
		return peerError(p, "enabling it", err)
	}
	return nil
}

// canWait reports whether nothing changed that matters to a session that is up, as that it is
// no longer meant to be reflected over.
//
// GoBGP's UpdatePeer would apply timers and the time to live without a reset, but forget on
// the way that the peer offered graceful restart: its routes would be dropped, not kept, when
// it restarts.
func canWait(a, b *api.Peer) bool {
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	a.Timers, b.Timers = nil, nil
	a.EbgpMultihop, b.EbgpMultihop = nil, nil
	a.TtlSecurity, b.TtlSecurity = nil, nil
	if b.RouteReflector == nil {
		a.RouteReflector = nil
	}
	return proto.Equal(a, b)
}

// applyWaiting applies what waited for the end of a session.
func (s *Speaker) applyWaiting(ctx context.Context) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	for _, addr := range sortedAddrs(s.held.waiting) {
		if err := s.applyPeer(ctx, s.held.waiting[addr]); err != nil {
			s.opts.Log.Error("what waited for the end of a session could not be applied", "error", err)
		}
	}
}

// pushPeer adds or updates a peer. UpdatePeer resets a session only when the OPEN message or
// the transport changes.
func (s *Speaker) pushPeer(ctx context.Context, addr netip.Addr, conf *api.Peer, known bool) error {
	if known {
		_, err := s.server.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: conf})
		return err
	}
	if s.held.restarts(addr, conf) {
		conf = proto.CloneOf(conf)
		conf.GracefulRestart.LocalRestarting = true
	}
	return s.server.AddPeer(ctx, &api.AddPeerRequest{Peer: conf})
}

// peerError names the peer and what was being done; nil stays nil.
func peerError(p bgp.Peer, act string, err error) error {
	if err == nil {
		return nil
	}
	return &bgp.PeerError{Peer: p.Name, Err: fmt.Errorf("%s: %w", act, err)}
}

func sortedAddrs[V any](m map[netip.Addr]V) []netip.Addr {
	return slices.SortedFunc(maps.Keys(m), netip.Addr.Compare)
}
