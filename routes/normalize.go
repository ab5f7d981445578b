package routes

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Normalize returns the key in the one form in which keys are compared: prefix masked and
// never IPv4-mapped, table 0 written as the main table.
func (k Key) Normalize() Key {
	if k.Table == 0 {
		k.Table = MainTable
	}
	if addr := k.Prefix.Addr(); addr.Is4In6() && k.Prefix.Bits() >= 96 {
		k.Prefix = netip.PrefixFrom(addr.Unmap(), k.Prefix.Bits()-96)
	}
	k.Prefix = k.Prefix.Masked()
	return k
}

// Compare orders keys by prefix, then metric, then table, then selector.
func (k Key) Compare(other Key) int {
	if c := k.Prefix.Compare(other.Prefix); c != 0 {
		return c
	}
	if c := cmp.Or(cmp.Compare(k.Metric, other.Metric), cmp.Compare(k.Table, other.Table)); c != 0 || k.only == other.only {
		return c
	}
	a, b := k.Selector(), other.Selector()
	return cmp.Or(cmp.Compare(a.TOS, b.TOS), a.Source.Compare(b.Source))
}

// Normalize returns the route in the one form in which routes are compared: the key
// normalized; next hops sorted and without duplicates (the kernel keeps a set), gateways
// without zone and never IPv4-mapped, weights counted from 1, and 1 where there is nothing
// to weigh. Only unicast routes have next hops. The result shares memory with r only where r
// is so already.
func (r Route) Normalize() Route {
	r.Key = r.Key.Normalize()
	if r.Kind == Unicast && len(r.NextHops) == 1 && r.NextHops[0].isNormal() {
		return r
	}
	if r.Kind != Unicast || len(r.NextHops) == 0 {
		r.NextHops = nil // in IPv6 the kernel shows an unreachable route on lo
		return r
	}
	hops := make([]NextHop, len(r.NextHops))
	for i, hop := range r.NextHops {
		hop.Gateway = hop.Gateway.Unmap().WithZone("")
		hop.Weight = max(hop.Weight, 1)
		hops[i] = hop
	}
	if len(hops) > 1 {
		slices.SortFunc(hops, compareHops)
		hops = slices.CompactFunc(hops, sameHop)
	}
	if len(hops) == 1 {
		hops[0].Weight = 1
	}
	r.NextHops = hops
	return r
}

// isNormal reports whether a single next hop is in the form that Normalize gives it.
func (n NextHop) isNormal() bool {
	return n.Weight == 1 && !n.Gateway.Is4In6() && n.Gateway.Zone() == ""
}

// compareHops orders by gateway, then link, the heaviest of duplicates first.
func compareHops(a, b NextHop) int {
	return cmp.Or(
		a.Gateway.Compare(b.Gateway),
		cmp.Compare(a.Link, b.Link),
		cmp.Compare(b.Weight, a.Weight),
	)
}

func sameHop(a, b NextHop) bool {
	return a.Gateway == b.Gateway && a.Link == b.Link
}

// Equal reports whether both routes are the same to the kernel: their normalized forms
// have the same key, kind and next hops.
func (r Route) Equal(other Route) bool {
	return sameNormalized(r.Normalize(), other.Normalize())
}

func sameNormalized(a, b Route) bool {
	return a.Key == b.Key && a.Kind == b.Kind && slices.Equal(a.NextHops, b.NextHops)
}

// Check returns why the route can never be installed, or nil. It knows nothing of this
// host: whether a link exists or a gateway is reachable only the kernel can tell.
func (r Route) Check() error {
	switch {
	case !r.Prefix.IsValid():
		return errors.New("the prefix is not valid")
	case r.Metric == 0:
		return errors.New("metric 0 is not allowed: in IPv6 the kernel would make it 1024")
	case r.Selector() != Selector{}:
		return errors.New("a route for some of the packets alone cannot be installed")
	case r.Kind == Unreachable:
		return nil
	case r.Kind != Unicast:
		return errors.New("only unicast and unreachable routes can be installed")
	case len(r.NextHops) == 0:
		return errors.New("a unicast route needs a next hop")
	}
	for _, hop := range r.NextHops {
		if err := hop.check(r.Prefix); err != nil {
			return err
		}
	}
	return nil
}

func (n NextHop) check(prefix netip.Prefix) error {
	gateway := n.Gateway.Unmap()
	switch {
	case n.Link <= 0:
		return fmt.Errorf("next hop %s names no link", n.Gateway)
	case !gateway.IsValid():
		return nil
	case gateway.IsUnspecified() || gateway.IsMulticast() || gateway.IsLoopback():
		return fmt.Errorf("%s cannot be a gateway", gateway)
	case gateway.Is4() && prefix.Addr().Is6() && !prefix.Addr().Is4In6():
		return fmt.Errorf("IPv4 gateway %s cannot carry an IPv6 prefix", gateway)
	}
	return nil
}
