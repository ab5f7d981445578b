package gobgp

import (
	"context"
	"fmt"
	"net/netip"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// rankingsAtOnce bounds the prefixes of one listing: it stalls the speaker meanwhile.
const rankingsAtOnce = 1000

// Rankings returns all paths of the prefixes, those too that the speaker does not count among
// the best; a prefix that nobody told, or that we originate ourselves, is left out. It is
// whole or an error. It costs GoBGP a look-up for each prefix.
func (s *Speaker) Rankings(ctx context.Context, prefixes []netip.Prefix) ([]bgp.Ranking, error) {
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if s.held.config == nil {
		return nil, nil
	}
	byFamily := map[bgp.Family][]*api.TableLookupPrefix{}
	for _, p := range prefixes {
		f := bgp.FamilyOf(p.Addr())
		byFamily[f] = append(byFamily[f], &api.TableLookupPrefix{Prefix: p.String(), Type: api.TableLookupPrefix_EXACT})
	}
	var out []bgp.Ranking
	for family, all := range byFamily {
		for len(all) > 0 {
			n := min(len(all), rankingsAtOnce)
			part, err := s.rankings(ctx, family, all[:n])
			if err != nil {
				return nil, fmt.Errorf("listing all paths of prefixes: %w", err)
			}
			out, all = append(out, part...), all[n:]
		}
	}
	return out, nil
}

func (s *Speaker) rankings(ctx context.Context, family bgp.Family, prefixes []*api.TableLookupPrefix) ([]bgp.Ranking, error) {
	in := &reader{view: s.view.Load()}
	var out []bgp.Ranking
	var failed error
	request := &api.ListPathRequest{TableType: api.TableType_GLOBAL, Family: apiFamily(family), Prefixes: prefixes}
	err := s.server.ListPath(ctx, request, func(d *api.Destination) {
		r, err := in.ranking(d)
		if err != nil && failed == nil {
			failed = fmt.Errorf("reading the paths to %s: %w", d.GetPrefix(), err)
		}
		if len(r.Sets) > 0 {
			out = append(out, r)
		}
	})
	if err == nil {
		err = ctx.Err() // the listing ends early without an error
	}
	if err == nil {
		err = failed
	}
	return out, err
}

// ranking groups the paths of a destination, which GoBGP keeps in the order of its decision.
func (in *reader) ranking(d *api.Destination) (bgp.Ranking, error) {
	var r bgp.Ranking
	var last worth
	for i, p := range d.GetPaths() {
		prefix, ok, err := prefixOf(p)
		if err != nil {
			return r, err
		}
		if i == 0 && !parseAddr(p.GetNeighborIp()).IsValid() || !ok {
			return bgp.Ranking{}, nil // our own, which beats all others
		}
		path, ok, err := in.learnedPath(p)
		if err != nil {
			return r, err
		}
		if !ok {
			continue
		}
		r.Prefix = prefix
		if w := worthOf(path); len(r.Sets) == 0 || w != last {
			r.Sets, last = append(r.Sets, nil), w
		}
		set := &r.Sets[len(r.Sets)-1]
		*set = append(*set, path)
	}
	return r, nil
}

// worth is what the decision process looks at before it breaks ties: paths that are alike in
// it are equal for multipath.
type worth struct {
	ibgp           bool
	localPref, med uint32
	length         int
	origin         uint8
}

func worthOf(p bgp.Path) worth {
	return worth{p.IBGP, p.LocalPref, p.MED, p.ASPathLength, p.Origin}
}
