package gobgp

import (
	"context"
	"net/netip"

	"github.com/fairway-bgp/fairway/bgp"
)

// lendNextHops has IPv4 prefixes told with the IPv6 next hop to peers that are known to take it.
// GoBGP offers that to every peer (RFC 8950), but would tell them so whether or not they offer it too.
func (s *Speaker) lendNextHops(w wanted) {
	for addr, p := range w.peers {
		if !p.Lends(bgp.IPv4Unicast) {
			continue
		}
		signal(s.turned) // its session may have been up before it was asked for
		if s.lends[addr] {
			p.NextHops.IPv4 = p.NextHops.IPv6
			w.peers[addr] = p
		}
	}
}

// checkNextHops finds out which peers take IPv6 next hops for IPv4, once their session is up, and
// applies what that changes. From the end of a session on it is not known of the next one.
func (s *Speaker) checkNextHops(ctx context.Context) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	now := map[netip.Addr]bool{}
	changed := false
	for addr, p := range s.held.peers {
		if !p.ExtendedNextHop {
			continue
		}
		if s.sessions.get(addr).established {
			live, err := s.livePeer(ctx, addr)
			if err != nil {
				return // the process ends
			}
			now[addr] = capabilities(live.GetState().GetRemoteCap()).extendedNextHop
		}
		changed = changed || now[addr] != s.lends[addr]
	}
	s.lends = now
	if !changed {
		return
	}
	if err := s.applyWhole(ctx, s.want); err != nil && ctx.Err() == nil {
		s.opts.Log.Error("next hops for a peer could not be applied", "error", err)
	}
}
