package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// Sessions returns what is so between us and every peer of the last Apply, sorted by name; a
// peer that was refused is Idle and says why. It is cheap.
func (s *Speaker) Sessions(ctx context.Context) ([]bgp.Session, error) {
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	v := s.view.Load()
	live, err := s.livePeers(ctx)
	if err != nil {
		return nil, err
	}
	counts := s.acceptedCounts(ctx, v, live)
	passed := v.reflectedCounts(counts.peers)
	sessions := make([]bgp.Session, 0, len(v.wanted))
	for _, p := range v.wanted {
		session := bgp.Session{Peer: p.Name, Address: p.Address, ASN: p.ASN, State: bgp.Idle}
		if why, refused := v.refused[p.Name]; refused {
			session.LastError = why
		} else if p.Down != "" {
			session.LastError = p.Down
		} else if addr := p.Address.Unmap(); v.running {
			s.describe(&session, p, live[addr])
			for i := range session.Families {
				f := &session.Families[i]
				if session.State == bgp.Established {
					count := counts.peers[peerFamily{addr.WithZone(""), f.Family}]
					f.Accepted = count.accepted
					f.Relayed = v.relayedTo(addr, f.Family, counts)
					f.Advertised = v.advertised[addr][f.Family] + passed.to(p, f.Family, count) + f.Relayed
				}
			}
		}
		sessions = append(sessions, session)
	}
	return sessions, nil
}

// livePeers lists the peers that GoBGP has.
func (s *Speaker) livePeers(ctx context.Context) (map[netip.Addr]*api.Peer, error) {
	return s.listPeers(ctx, &api.ListPeerRequest{})
}

// livePeer returns one of them; nil if GoBGP lacks it.
func (s *Speaker) livePeer(ctx context.Context, addr netip.Addr) (*api.Peer, error) {
	live, err := s.listPeers(ctx, &api.ListPeerRequest{Address: addr.String()})
	return live[addr], err
}

// listPeers does not ask for the advertised counts, which would stall the speaker.
func (s *Speaker) listPeers(ctx context.Context, request *api.ListPeerRequest) (map[netip.Addr]*api.Peer, error) {
	live := map[netip.Addr]*api.Peer{}
	err := s.server.ListPeer(ctx, request, func(p *api.Peer) {
		live[parseAddr(p.GetState().GetNeighborAddress())] = p
	})
	if err == nil {
		err = ctx.Err() // the listing ends early without an error
	}
	if err != nil {
		return nil, fmt.Errorf("listing the sessions: %w", err)
	}
	return live, nil
}

// describe fills in what GoBGP and the session log know; peer is nil if GoBGP lacks it.
func (s *Speaker) describe(session *bgp.Session, p bgp.Peer, peer *api.Peer) {
	record := s.sessions.get(p.Address.Unmap())
	session.Since = record.since
	session.LastError = record.lastDown
	session.State = sessionState(peer.GetState().GetSessionState())
	if p.AnyExternal {
		session.ASN = record.asn
	}
	if session.State != bgp.Established {
		session.LastError = whyNotUp(record.lastAttempt, record.lastDown, session.State, p)
		if s.showsOurs(p) {
			session.LastError = oursInWords(record.asn)
		}
		for _, f := range p.Families {
			session.Families = append(session.Families, bgp.FamilySession{Family: f})
		}
		return
	}
	local, remote := capabilities(peer.GetState().GetLocalCap()), capabilities(peer.GetState().GetRemoteCap())
	session.HoldTime = time.Duration(peer.GetTimers().GetState().GetNegotiatedHoldTime()) * time.Second
	session.ExtendedNextHop = remote.extendedNextHop
	session.GracefulRestart = remote.gracefulRestart && peer.GetGracefulRestart().GetEnabled()
	up := peer.GetTimers().GetState().GetUptime().AsTime()
	for _, af := range peer.GetAfiSafis() {
		family := familyOf(af.GetConfig().GetFamily())
		if !slices.Contains(remote.families, family) {
			continue
		}
		session.Families = append(session.Families, bgp.FamilySession{
			Family: family,
			// A marker of the session before came before this one was up: GoBGP leaves
			// at least five seconds between two.
			EndOfRIB: !record.endOfRIB[family].Before(up),
			Received: int(af.GetState().GetReceived()),

			ReceivesPaths: slices.Contains(local.receivesPaths, family) && slices.Contains(remote.sendsPaths, family),
			SendsPaths:    slices.Contains(local.sendsPaths, family) && slices.Contains(remote.receivesPaths, family),
		})
	}
	session.Capabilities = sharedNames(local, remote, session.Families)
}

func sessionState(s api.PeerState_SessionState) bgp.SessionState {
	switch s {
	case api.PeerState_CONNECT:
		return bgp.Connect
	case api.PeerState_ACTIVE:
		return bgp.Active
	case api.PeerState_OPENSENT:
		return bgp.OpenSent
	case api.PeerState_OPENCONFIRM:
		return bgp.OpenConfirm
	case api.PeerState_ESTABLISHED:
		return bgp.Established
	}
	return bgp.Idle
}
