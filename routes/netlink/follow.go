package netlink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
)

// following says which addresses' ways somebody wants to know, and is what Watch and Follow,
// in goroutines of their own, share.
type following struct {
	mu    sync.Mutex
	addrs []netip.Addr // sorted
	// prefixes are those of which it is asked whether there is a route.
	prefixes map[netip.Prefix]bool
	links    map[int]bool // over which the ways to them lead; nil: not known
	feed     *os.File     // nil while nobody watches
}

// Follow returns, for each address, the route of others in the main table that leads to it:
// the most specific one, of those the one with the least metric. Addresses that none leads to
// are left out. From then on Watch tells of changes of routes that cover one of them, and of
// the links over which those returned lead.
//
// It reads the whole main table where there is an address, and nothing where there is none.
func (f *FIB) Follow(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]routes.Route, error) {
	sorted := slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare)
	if err := f.follow(sorted); err != nil {
		return nil, err
	}
	found := map[netip.Addr]routes.Route{}
	if len(sorted) == 0 {
		return found, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if !slices.ContainsFunc(sorted, func(a netip.Addr) bool { return familyOf(a) == family }) {
			continue
		}
		// Only routes that lead to one of the addresses are kept, however many there are.
		list, err := f.dumpFamily(ctx, dump{family: family, table: unix.RT_TABLE_MAIN, keep: func(p parsed) bool {
			return p.protocol != f.protocol && p.route.Selector() == (routes.Selector{}) && len(routes.Inside(p.route.Prefix, sorted)) > 0
		}})
		if err != nil {
			return nil, fmt.Errorf("listing %s routes of others: %w", familyName(family), err)
		}
		for _, route := range list {
			for _, addr := range routes.Inside(route.Prefix, sorted) {
				if have, ok := found[addr]; !ok || preferred(route, have) {
					found[addr] = route
				}
			}
		}
	}
	f.following.over(found)
	return found, nil
}

// preferred reports whether the kernel takes a before b for an address that both cover.
func preferred(a, b routes.Route) bool {
	if a.Prefix.Bits() != b.Prefix.Bits() {
		return a.Prefix.Bits() > b.Prefix.Bits()
	}
	return a.Metric < b.Metric
}

// follow notes the addresses.
func (f *FIB) follow(sorted []netip.Addr) error {
	return f.listen(func(following *following) { following.addrs, following.links = sorted, nil })
}

// listen changes what somebody wants to know, and has the kernel tell of the routes of others,
// or no longer: where nobody does they would only wake us.
func (f *FIB) listen(change func(*following)) error {
	f.following.mu.Lock()
	defer f.following.mu.Unlock()
	was := f.following.wanted()
	change(&f.following)
	if f.following.feed == nil || f.following.wanted() == was {
		return nil
	}
	err := f.tune(f.following.feed)
	if err != nil {
		f.following.addrs, f.following.prefixes = nil, nil // the next time begins again
	}
	return err
}

// wanted reports whether routes of others matter.
func (f *following) wanted() bool { return len(f.addrs)+len(f.prefixes) > 0 }

// tune attaches the filter that what is followed asks for.
func (f *FIB) tune(feed *os.File) error {
	raw, err := feed.SyscallConn()
	if err != nil {
		return fmt.Errorf("listening to the kernel's changes: %w", err)
	}
	var attached error
	err = raw.Control(func(fd uintptr) {
		attached = attach(int(fd), filter(f.protocol, f.conn.port(), f.following.wanted()))
	})
	if err = errors.Join(err, attached); err != nil {
		return fmt.Errorf("listening to the kernel's changes: %w", err)
	}
	return nil
}

// tell hands the feed to Follow, or takes it back with nil.
func (f *FIB) tell(feed *os.File) error {
	f.following.mu.Lock()
	defer f.following.mu.Unlock()
	f.following.feed = feed
	if feed == nil {
		return nil
	}
	return f.tune(feed)
}

// over notes where the ways to the followed addresses lead.
func (f *following) over(found map[netip.Addr]routes.Route) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links = map[int]bool{}
	for _, route := range found {
		for _, hop := range route.NextHops {
			f.links[hop.Link] = true
		}
	}
}

// moves reports whether a change of that route may lead one of the followed addresses elsewhere.
func (f *following) moves(route routes.Route) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return route.Table == routes.MainTable && len(routes.Inside(route.Prefix, f.addrs)) > 0
}

// leadOver reports whether the way to a followed address leads, or may lead, over the link,
// which then takes IPv4 routes along without a word when it goes down. Of the routes that
// come with a link the kernel tells.
func (f *following) leadOver(link int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.addrs) > 0 && (f.links == nil || f.links[link])
}
