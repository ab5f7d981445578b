package gobgp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-bgp/fairway/bgp"
)

// reader converts the paths that GoBGP tells of. Those of one UPDATE come one after the
// other and have the same attributes, so it remembers the last ones: of a feed of 100,000
// paths, to decode each one's would take longer than all else that is done here. Its paths
// share memory, and are not to be changed.
type reader struct {
	view *view

	peer   string // as GoBGP names it
	source netip.Addr

	known  bool // the rest is of the last path
	attrs  []*anypb.Any
	said   bgp.Path // what they say
	usable bool     // and whether the path is to be used
}

// learnedPath converts a path that a peer told us; false for one of our own, for a withdrawn
// one and for one that is long stale.
func (r *reader) learnedPath(p *api.Path) (bgp.Path, bool, error) {
	if peer := p.GetNeighborIp(); peer != r.peer {
		r.peer, r.source = peer, parseAddr(peer)
	}
	if !r.source.IsValid() || p.GetIsWithdraw() {
		return bgp.Path{}, false, nil
	}
	from := r.view.peers[r.source]
	if err := r.readAttributes(p.GetPattrs(), from.Address.Zone() != ""); err != nil || !r.usable {
		return bgp.Path{}, false, err
	}
	path := r.said
	path.Peer, path.PeerAddr = from.Name, r.source
	path.IBGP, path.Stale = p.GetSourceAsn() == from.OwnASN(r.view.asn), p.GetStale()
	if from.Address.IsValid() {
		path.PeerAddr = from.Address // with its zone
	}
	if !path.NextHop.IsValid() && from.Address.Zone() != "" {
		// Who has nothing but link-local addresses says "::" and, behind it, the link-local one (as
		// BIRD does), and GoBGP v3 keeps the first half of a next hop alone.
		path.NextHop = from.Address
	}
	if path.NextHop.Is6() && path.NextHop.IsLinkLocalUnicast() {
		path.NextHop = path.NextHop.WithZone(path.PeerAddr.Zone())
	}
	return path, true, nil
}

const mpReach = "type.googleapis.com/apipb.MpReachNLRIAttribute"

// readAttributes has said and usable be of these attributes, which came over a session between
// link-local addresses or another one.
func (r *reader) readAttributes(attrs []*anypb.Any, overLink bool) error {
	if !r.known || !slices.EqualFunc(attrs, r.attrs, sameAttribute) {
		r.known, r.said, r.usable = false, bgp.Path{}, true
		for _, attr := range attrs {
			usable, err := readAttribute(&r.said, attr)
			if err != nil {
				return err
			}
			r.usable = r.usable && usable
		}
		r.known, r.attrs = true, attrs
	}
	for _, attr := range attrs {
		if attr.GetTypeUrl() == mpReach {
			hop, err := reachedBy(attr.GetValue(), overLink)
			if err != nil {
				return err
			}
			r.said.NextHop = hop
		}
	}
	return nil
}

// sameAttribute reports whether two attributes say the same, apart from MP_REACH_NLRI, which
// holds the prefix and so is another one for each.
func sameAttribute(a, b *anypb.Any) bool {
	return a.GetTypeUrl() == b.GetTypeUrl() && (a.GetTypeUrl() == mpReach || bytes.Equal(a.GetValue(), b.GetValue()))
}

var errEncoding = errors.New("GoBGP's encoding cannot be read")

// reachedBy reads the next hop of an encoded api.MpReachNLRIAttribute, without the rest.
func reachedBy(b []byte, overLink bool) (netip.Addr, error) {
	const nextHops = 2 // the field's number
	var hops []string
	err := eachField(b, func(number protowire.Number, text []byte, _ uint64) {
		if number == nextHops {
			hops = append(hops, string(text))
		}
	})
	return chooseNextHop(hops, overLink), err
}

// prefixOf returns the prefix of a path; false if it is of a family that is not spoken.
func prefixOf(p *api.Path) (netip.Prefix, bool, error) {
	if familyOf(p.GetFamily()) == 0 || p.GetNlri() == nil {
		return netip.Prefix{}, false, nil
	}
	const prefixLen, prefix = 1, 2 // the fields of an api.IPAddressPrefix
	var text []byte
	var bits uint64
	err := eachField(p.GetNlri().GetValue(), func(number protowire.Number, bytes []byte, value uint64) {
		switch number {
		case prefixLen:
			bits = value
		case prefix:
			text = bytes
		}
	})
	if err != nil {
		return netip.Prefix{}, false, err
	}
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		return netip.Prefix{}, false, err
	}
	out, err := addr.Prefix(int(min(bits, 1<<8)))
	return out, err == nil, err
}

// eachField hands over the fields of an encoded message: the bytes or the number of each.
func eachField(b []byte, take func(number protowire.Number, bytes []byte, value uint64)) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errEncoding
		}
		b = b[n:]
		var text []byte
		var value uint64
		switch kind {
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return errEncoding
		}
		take(number, text, value)
		b = b[n:]
	}
	return nil
}

// changes groups paths by prefix: all that an event or a listing says about each. Prefixes
// are kept though only paths of our own, or withdrawn ones, are left.
func (r *reader) changes(paths []*api.Path) ([]bgp.RIBChange, error) {
	var list []bgp.RIBChange
	var index map[netip.Prefix]int
	if len(paths) > 1 { // most events are of one path, with nothing to group
		index = make(map[netip.Prefix]int, len(paths))
	}
	for _, p := range paths {
		prefix, ok, err := prefixOf(p)
		if err != nil {
			return nil, fmt.Errorf("reading a prefix of %s: %w", p.GetNeighborIp(), err)
		}
		if !ok {
			continue
		}
		i, known := index[prefix]
		if !known {
			i = len(list)
			list = append(list, bgp.RIBChange{Prefix: prefix})
			if index != nil {
				index[prefix] = i
			}
		}
		path, ok, err := r.learnedPath(p)
		if err != nil {
			return nil, fmt.Errorf("reading a path to %s of %s: %w", prefix, p.GetNeighborIp(), err)
		}
		if ok {
			list[i].Paths = append(list[i].Paths, path)
		}
	}
	return list, nil
}
