package gobgp

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// Loops returns what is refused because our own AS number is in its path, of those peers that tell more than is
// let in, but for prefixes of ours. Families of which a peer tells more than bgp.MaxLooked are left out.
func (s *Speaker) Loops(ctx context.Context, sessions []bgp.Session, ours func(netip.Prefix) bool) ([]bgp.Loops, error) {
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	v := s.view.Load()
	var out []bgp.Loops
	for _, session := range sessions {
		p, known := v.peers[session.Address.Unmap().WithZone("")]
		if !known || session.State != bgp.Established || p.Internal(v.asn) {
			continue
		}
		var paths []loop
		for _, f := range session.Families {
			if f.Received <= f.Accepted || f.Received > bgp.MaxLooked {
				continue
			}
			found, err := s.loopsOf(ctx, v, p, f.Family, ours)
			if err != nil {
				return nil, fmt.Errorf("looking for our own AS number in what %s tells: %w", p.Name, err)
			}
			paths = append(paths, found...)
		}
		if len(paths) > 0 {
			out = append(out, bgp.Loops{Peer: p.Name, Prefixes: len(paths), First: paths[0].prefix, ASPath: paths[0].asPath})
		}
	}
	return out, nil
}

// loop is a path that is refused for its loop, to a prefix that there is no other path to.
type loop struct {
	prefix netip.Prefix
	asPath []uint32
}

func (s *Speaker) loopsOf(ctx context.Context, v *view, p bgp.Peer, family bgp.Family, ours func(netip.Prefix) bool) ([]loop, error) {
	in := &reader{view: v}
	var failed error
	looped := map[netip.Prefix][]uint32{}
	request := &api.ListPathRequest{TableType: api.TableType_ADJ_IN, Family: apiFamily(family), Name: p.Address.String()}
	err := s.server.ListPath(ctx, request, func(d *api.Destination) {
		changes, err := in.changes(d.GetPaths())
		if err != nil && failed == nil {
			failed = err
		}
		for _, c := range changes {
			for _, path := range c.Paths {
				if !ours(c.Prefix) && loops(path.ASPath, p, v.asn) && slices.ContainsFunc(p.Import, func(r bgp.PrefixRule) bool { return r.Matches(c.Prefix) }) {
					looped[c.Prefix] = path.ASPath
				}
			}
		}
	})
	if err == nil {
		err = ctx.Err() // the listing ends early without an error
	}
	if err != nil || failed != nil || len(looped) == 0 {
		return nil, cmp.Or(err, failed)
	}
	prefixes := sortedPrefixes(looped)
	rankings, err := s.Rankings(ctx, prefixes)
	if err != nil {
		return nil, err
	}
	for _, r := range rankings {
		delete(looped, r.Prefix)
	}
	var out []loop
	for _, prefix := range sortedPrefixes(looped) {
		out = append(out, loop{prefix, looped[prefix]})
	}
	return out, nil
}

// loops reports what loopStatements refuse.
func loops(asPath []uint32, p bgp.Peer, asn uint32) bool {
	for _, own := range []uint32{asn, p.LocalASN} {
		n := 0
		for _, number := range asPath {
			if own != 0 && number == own {
				n++
			}
		}
		if n > int(p.AllowOwnAS) {
			return true
		}
	}
	return false
}
