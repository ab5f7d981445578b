package gobgp

import (
	"context"
	"net/netip"

	"github.com/fairway-bgp/fairway/bgp"
)

// hears reports whether a peer hears what another one tells.
func (p policy) hears(to, from netip.Addr) bool {
	mark := p.imports[from].mark
	return mark != 0 && to != from && !p.reflected[mark].deaf[to]
}

// muted returns the peers that are told several paths to a prefix and shall no longer hear
// what some other peer tells. GoBGP sends them nothing of a path that has come to be one that
// they do not hear, so that only the end of the session withdraws it.
func (s *Speaker) muted(w wanted, next policy) []bgp.Peer {
	var out []bgp.Peer
	for _, to := range sortedAddrs(w.peers) {
		if s.held.peers[to].AddPaths.SendMax == 0 {
			continue
		}
		for from := range next.imports {
			if s.held.policy.hears(to, from) && !next.hears(to, from) {
				out = append(out, w.peers[to])
				break
			}
		}
	}
	return out
}

// resetPeers takes peers away that are to be added again, which is sooner than a reset of GoBGP's,
// after which it is idle for 30 seconds.
func (s *Speaker) resetPeers(ctx context.Context, peers []bgp.Peer) []error {
	var errs []error
	for _, p := range peers {
		s.sessions.reset(p.Address, "it is told several paths to a prefix, and no longer hears what some other peer tells")
		errs = append(errs, s.deletePeer(ctx, s.held.peers[p.Address]))
	}
	return errs
}
