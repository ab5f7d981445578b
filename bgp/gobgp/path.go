package gobgp

import (
	"math"
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-bgp/fairway/bgp"
)

const (
	originIGP = 0 // RFC 4271, section 5.1.1
	// llgrStale marks what is kept long after its session went down (RFC 9494, section 4.3).
	// GoBGP leaves such paths in the multipath set.
	llgrStale = 0xffff0006
)

// localPath renders a prefix that we originate. Its next hop is left to the export policy.
//
// Each class has a path of its own, by its path identifier: a peer that is told several paths to
// a prefix (RFC 7911) would never hear of a path that has come to be in a class that the peer does
// not hear, where GoBGP sends it nothing at all. The path of the old class is withdrawn, which it hears.
func localPath(prefix netip.Prefix, class int) (*api.Path, error) {
	family := apiFamily(bgp.FamilyOf(prefix.Addr()))
	nlri, err := anypb.New(&api.IPAddressPrefix{Prefix: prefix.Addr().String(), PrefixLen: uint32(prefix.Bits())})
	if err != nil {
		return nil, err
	}
	var nextHop proto.Message = &api.NextHopAttribute{NextHop: netip.IPv4Unspecified().String()}
	if prefix.Addr().Is6() {
		nextHop = &api.MpReachNLRIAttribute{
			Family:   family,
			NextHops: []string{netip.IPv6Unspecified().String()},
			Nlris:    []*anypb.Any{nlri},
		}
	}
	path := &api.Path{Family: family, Nlri: nlri, Identifier: uint32(class)}
	for _, attr := range []proto.Message{
		&api.OriginAttribute{Origin: originIGP},
		nextHop,
		&api.LargeCommunitiesAttribute{Communities: []*api.LargeCommunity{
			{GlobalAdmin: internalASN, LocalData1: classKind, LocalData2: uint32(class)},
		}},
	} {
		packed, err := anypb.New(attr)
		if err != nil {
			return nil, err
		}
		path.Pattrs = append(path.Pattrs, packed)
	}
	return path, nil
}

// readAttribute takes over what an attribute says; false if the path is to be left out.
func readAttribute(path *bgp.Path, attr *anypb.Any) (bool, error) {
	switch attr.MessageName() {
	case "apipb.NextHopAttribute":
		var a api.NextHopAttribute
		if err := attr.UnmarshalTo(&a); err != nil {
			return false, err
		}
		path.NextHop = parseAddr(a.GetNextHop())
	case "apipb.AsPathAttribute":
		var a api.AsPathAttribute
		if err := attr.UnmarshalTo(&a); err != nil {
			return false, err
		}
		for _, segment := range a.GetSegments() {
			path.ASPath = append(path.ASPath, segment.GetNumbers()...)
			path.ASPathLength += segmentLength(segment)
		}
	case "apipb.OriginAttribute":
		var a api.OriginAttribute
		if err := attr.UnmarshalTo(&a); err != nil {
			return false, err
		}
		path.Origin = uint8(a.GetOrigin()) // 0 to 2
	case "apipb.LocalPrefAttribute":
		var a api.LocalPrefAttribute
		if err := attr.UnmarshalTo(&a); err != nil {
			return false, err
		}
		path.LocalPref = a.GetLocalPref()
	case "apipb.MultiExitDiscAttribute":
		var a api.MultiExitDiscAttribute
		if err := attr.UnmarshalTo(&a); err != nil {
			return false, err
		}
		path.MED = a.GetMed()
	case "apipb.ExtendedCommunitiesAttribute":
		var a api.ExtendedCommunitiesAttribute
		if err := attr.UnmarshalTo(&a); err != nil {
			return false, err
		}
		return true, readLinkBandwidth(path, a.GetCommunities())
	case "apipb.CommunitiesAttribute":
		var a api.CommunitiesAttribute
		if err := attr.UnmarshalTo(&a); err != nil {
			return false, err
		}
		for _, c := range a.GetCommunities() {
			if c == llgrStale {
				return false, nil
			}
		}
	}
	return true, nil
}

// readLinkBandwidth takes over the first link bandwidth that makes sense. GoBGP reads the
// transitive form and the other one alike.
func readLinkBandwidth(path *bgp.Path, communities []*anypb.Any) error {
	for _, c := range communities {
		if c.MessageName() != "apipb.LinkBandwidthExtended" {
			continue
		}
		var lb api.LinkBandwidthExtended
		if err := c.UnmarshalTo(&lb); err != nil {
			return err
		}
		if b := lb.GetBandwidth(); b > 0 && b <= math.MaxFloat32 { // neither is so of a NaN
			path.LinkBandwidth = b
			return nil
		}
	}
	return nil
}

// segmentLength counts a segment as the decision process does.
func segmentLength(s *api.AsSegment) int {
	switch s.GetType() {
	case api.AsSegment_AS_SEQUENCE:
		return len(s.GetNumbers())
	case api.AsSegment_AS_SET:
		return 1
	}
	return 0 // of a confederation (RFC 5065, section 5.3)
}

// chooseNextHop takes the global address before the link-local one (RFC 2545, section 3), but the
// link-local one of a session over a link: where that has no other address, the global one is of no network of ours.
func chooseNextHop(hops []string, overLink bool) netip.Addr {
	var chosen netip.Addr
	for _, hop := range hops {
		addr := parseAddr(hop)
		if !addr.IsValid() || addr.IsUnspecified() {
			continue
		}
		if !chosen.IsValid() || overLink && addr.Is6() && addr.IsLinkLocalUnicast() {
			chosen = addr
		}
	}
	return chosen
}
