package gobgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-bgp/fairway/bgp"
)

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
	for _, addr := range sortedAddrs(s.gone(w)) {
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
		s.held.restarting, s.held.late = false, maps.Clone(w.down)
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
