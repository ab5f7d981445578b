package gobgp

import (
	"net/netip"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-bgp/fairway/bgp"
)

// maxOwnAS lets any number of our own AS through GoBGP's loop check. That check forgets to
// withdraw the path that a looping one replaces; the import policy, which does withdraw it,
// refuses the loop instead.
const maxOwnAS = 255

// gracefulRestart is what is told to every peer that takes part. The deferral is the one that
// the speaker was started with: it has no meaning later, and GoBGP resets the session if it changes.
type gracefulRestart struct {
	enabled     bool
	restartTime time.Duration
	deferral    time.Duration

	notification bool
	longLived    time.Duration
}

// apiPeer renders a peer. guarded says that it must not speak before its password has been
// seen to be set.
func apiPeer(p bgp.Peer, gr gracefulRestart, guarded bool) *api.Peer {
	restart := gr.enabled && p.GracefulRestart
	peer := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: p.Address.String(),
			PeerAsn:         p.ASN,
			LocalAsn:        p.LocalASN, // 0: the speaker's
			AuthPassword:    string(p.Password),
			AllowOwnAsn:     maxOwnAS,
			AdminDown:       guarded,
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime:          seconds(p.HoldTime),
			KeepaliveInterval: seconds(p.Keepalive),
			ConnectRetry:      seconds(p.ConnectRetry),
		}},
		Transport: &api.Transport{
			RemotePort:  uint32(p.Port),
			PassiveMode: p.Passive,
		},
		EbgpMultihop: &api.EbgpMultihop{
			Enabled:     p.EBGPMultihopTTL > 0,
			MultihopTtl: uint32(p.EBGPMultihopTTL),
		},
	}
	if p.TTLSecurityHops > 0 {
		peer.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: 256 - uint32(p.TTLSecurityHops)}
	}
	switch {
	case p.LocalAddress.IsValid():
		peer.Transport.LocalAddress = p.LocalAddress.String()
	case p.Address.Zone() != "":
		// GoBGP would search the link for an address and refuse the peer without one.
		peer.Transport.LocalAddress = netip.IPv6Unspecified().String()
	}
	if p.ClusterID.IsValid() {
		peer.RouteReflector = &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: p.ClusterID.String()}
	}
	if restart {
		peer.GracefulRestart = &api.GracefulRestart{
			Enabled:      true,
			RestartTime:  uint32(seconds(gr.restartTime)),
			DeferralTime: max(1, uint32(seconds(gr.deferral))), // 0 would mean 360

			NotificationEnabled: gr.notification,
			LonglivedEnabled:    gr.longLived > 0,
		}
	}
	for _, f := range p.Families {
		// GoBGP crashes at a family that is not spelled out.
		family := &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: apiFamily(f), Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: restart}},
			AddPaths:          &api.AddPaths{Config: &api.AddPathsConfig{Receive: p.AddPaths.Receive, SendMax: uint32(p.AddPaths.SendMax)}},
		}
		if restart && gr.longLived > 0 {
			family.LongLivedGracefulRestart = &api.LongLivedGracefulRestart{
				Config: &api.LongLivedGracefulRestartConfig{Enabled: true, RestartTime: uint32(seconds(gr.longLived))},
			}
		}
		peer.AfiSafis = append(peer.AfiSafis, family)
	}
	return peer
}

// sameFromTheStart reports whether two peers are alike in what GoBGP's UpdatePeer takes over
// without any effect: a cluster ID, and how long stale routes may live.
func sameFromTheStart(a, b *api.Peer) bool {
	return proto.Equal(a.RouteReflector, b.RouteReflector) && longLived(a) == longLived(b)
}

func longLived(p *api.Peer) uint32 {
	for _, af := range p.GetAfiSafis() {
		if time := af.GetLongLivedGracefulRestart().GetConfig().GetRestartTime(); time > 0 {
			return time
		}
	}
	return 0
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }

func apiFamily(f bgp.Family) *api.Family {
	if f == bgp.IPv4Unicast {
		return &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	}
	return &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
}

// familyOf returns the family, or 0 for one that is not spoken.
func familyOf(f *api.Family) bgp.Family {
	if f.GetSafi() != api.Family_SAFI_UNICAST {
		return 0
	}
	switch f.GetAfi() {
	case api.Family_AFI_IP:
		return bgp.IPv4Unicast
	case api.Family_AFI_IP6:
		return bgp.IPv6Unicast
	}
	return 0
}

// parseAddr reads an address of GoBGP; "<nil>" and the like give the zero Addr.
func parseAddr(s string) netip.Addr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
