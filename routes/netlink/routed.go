package netlink

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
)

// Routed returns the routes of others in the main table, of any kind, whose prefix is one of
// these. From then on Watch tells when such a route comes or goes, and not of any other prefix.
//
// It reads the whole main table where there is a prefix, and nothing where there is none.
func (f *FIB) Routed(ctx context.Context, prefixes []netip.Prefix) ([]routes.Route, error) {
	asked := map[netip.Prefix]bool{}
	for _, p := range prefixes {
		asked[p] = true
	}
	if err := f.listen(func(following *following) { following.prefixes = asked }); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []routes.Route
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return familyOf(p.Addr()) == family }) {
			continue
		}
		list, err := f.dumpFamily(ctx, dump{family: family, table: unix.RT_TABLE_MAIN, keep: func(p parsed) bool {
			return p.protocol != f.protocol && p.route.Selector() == (routes.Selector{}) && asked[p.route.Prefix]
		}})
		if err != nil {
			return nil, fmt.Errorf("listing %s routes of others: %w", familyName(family), err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// concerns reports whether a change of that route is one of those that Routed asked for.
func (f *following) concerns(route routes.Route) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return route.Table == routes.MainTable && f.prefixes[route.Prefix]
}
