package gobgp

import (
	"context"
	"fmt"
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/log"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/fairway-bgp/fairway/bgp"
)

// nobodysASN is what is expected of a peer that is to be refused: GoBGP takes either one
// number or any. It is reserved (RFC 7300).
const nobodysASN = internalASN

// showsOurs reports whether a peer that may have any number but ours last had ours.
func (s *Speaker) showsOurs(p bgp.Peer) bool {
	return p.AnyExternal && s.sessions.get(p.Address).asn == p.OwnASN(s.view.Load().asn)
}

// oursInWords says why such a peer has no session.
func oursInWords(asn uint32) string {
	return fmt.Sprintf("we sent NOTIFICATION OPEN Message Error, bad peer AS: the peer's AS number is %d, our own, and asnType is External; "+
		"correct the number on either side, or write asnType: Internal", asn)
}

// checkASNs has a peer refused that shows our number though it is to be external, and no longer
// one that has come to show another.
//
// The first such session is ended with Cease, Peer De-configured, as GoBGP does when another
// number is expected of a peer; each later one at its OPEN with Bad Peer AS (RFC 4271, section 6.2).
func (s *Speaker) checkASNs(ctx context.Context) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	for _, addr := range sortedAddrs(s.held.peers) {
		p := s.held.peers[addr]
		if !p.AnyExternal || s.showsOurs(p.Peer) == (p.conf.Conf.PeerAsn == nobodysASN) {
			continue
		}
		wanted := p.Peer
		if waiting, changed := s.held.waiting[addr]; changed {
			wanted = waiting
		}
		if s.showsOurs(wanted) {
			s.sessions.ending(addr, oursInWords(s.sessions.get(addr).asn))
		}
		if err := s.applyPeer(ctx, wanted); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("the number of a peer could not be checked", "peer", p.Name, "error", err)
		}
	}
}

// refusedASN reads from GoBGP's log the number in an OPEN that it refused for its number; 0: it
// refused none.
func refusedASN(fields log.Fields) (asn uint32) {
	e, ok := fields["Data"].(*packet.MessageError)
	if !ok || e.TypeCode != packet.BGP_ERROR_OPEN_MESSAGE_ERROR || e.SubTypeCode != packet.BGP_ERROR_SUB_BAD_PEER_AS {
		return 0
	}
	var expected uint32
	if _, err := fmt.Sscanf(e.Message, "as number mismatch expected %d, received %d", &expected, &asn); err != nil {
		return 0
	}
	return asn
}

// externalStatements refuse what peers that are to be external tell from within our AS, until
// their session is ended for it.
func (b *policyBuilder) externalStatements(p policy) []*api.Statement {
	var peers []netip.Addr
	for _, addr := range sortedAddrs(p.imports) {
		if p.imports[addr].external {
			peers = append(peers, addr)
		}
	}
	if len(peers) == 0 {
		return nil
	}
	refuse := rejectRoute("import-external-only", api.Conditions_ROUTE_TYPE_INTERNAL)
	refuse.Conditions.NeighborSet = b.neighbors(refuse.Name, peers)
	return []*api.Statement{refuse}
}
