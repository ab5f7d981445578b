package netlink

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
)

// DefaultRoutes returns the default routes of others in the main table, of both families. Watch
// tells of changes of them. It reads the whole main table: the kernel cannot be asked for less.
func (f *FIB) DefaultRoutes(ctx context.Context) ([]routes.Route, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []routes.Route
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		list, err := f.dumpFamily(ctx, dump{family: family, table: unix.RT_TABLE_MAIN, keep: func(p parsed) bool {
			return p.protocol != f.protocol && isDefault(p.route)
		}})
		if err != nil {
			return nil, fmt.Errorf("listing %s default routes: %w", familyName(family), err)
		}
		all = append(all, list...)
	}
	return all, nil
}

func isDefault(route routes.Route) bool {
	return route.Table == routes.MainTable && route.Prefix.Bits() == 0 && route.Selector() == (routes.Selector{})
}
