package gobgp

import (
	"context"
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"
)

// restarts reports whether the peer is to be told, when it is added, that we have restarted
// with our routes still in the kernel.
func (h *held) restarts(addr netip.Addr, conf *api.Peer) bool {
	_, late := h.late[addr]
	late = late && time.Since(h.started) <= h.gr.restartTime
	return (h.restarting || late) && conf.GetGracefulRestart().GetEnabled()
}

// rearm adds the peers again that were to be told of our restart and have not come up yet.
//
// As soon as the peers that are up have sent their End-of-RIB, GoBGP stops telling any peer of
// the restart. One that comes up a moment later would find that we have not preserved our
// forwarding state, and drop our routes at once (RFC 4724, section 4.2).
func (s *Speaker) rearm(ctx context.Context) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if s.held.config == nil || time.Since(s.held.started) > s.held.gr.restartTime {
		return // nobody keeps our routes any longer
	}
	live, err := s.livePeers(ctx)
	if err != nil {
		return
	}
	s.held.restarting = true
	defer func() { s.held.restarting = false }()
	for _, addr := range sortedAddrs(s.held.peers) {
		p := s.held.peers[addr]
		if !p.restarting || !s.neverUp(p, live[addr]) {
			continue
		}
		err := s.deletePeer(ctx, p)
		if err == nil {
			err = s.applyPeer(ctx, p.Peer)
		}
		if err != nil {
			s.opts.Log.Error("a peer could not be told of the restart", "error", err)
		}
	}
}

// neverUp reports whether the peer has had no session, is not about to, and is no longer told
// of the restart.
func (s *Speaker) neverUp(p heldPeer, live *api.Peer) bool {
	switch live.GetState().GetSessionState() {
	case api.PeerState_IDLE, api.PeerState_CONNECT, api.PeerState_ACTIVE:
		return s.sessions.get(p.Address).since.IsZero() && !live.GetGracefulRestart().GetLocalRestarting()
	}
	return false
}
