package gobgp

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/bgp"
)

// audience is who hears some of our prefixes: peers that are there, speak the family and have
// a next hop for it.
type audience struct {
	key      string
	class    class
	prefixes []netip.Prefix
}

// audiences groups the advertisements by who hears them, in a fixed order.
func audiences(w wanted) []audience {
	byKey := map[string]*audience{}
	known := map[ofFamily]*audience{}
	for prefix, to := range w.ads {
		family := bgp.FamilyOf(prefix.Addr())
		short := ofFamily{to, family}
		a := known[short]
		if a == nil {
			c := class{family: family, members: w.members(to, family)}
			key := c.key(nil)
			if a = byKey[key]; a == nil {
				a = &audience{key: key, class: c}
				byKey[key] = a
			}
			known[short] = a
		}
		a.prefixes = append(a.prefixes, prefix)
	}
	list := make([]audience, 0, len(byKey))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		list = append(list, *byKey[key])
	}
	return list
}

// members resolves the peers of an audience.
func (w wanted) members(to *bgp.Audience, family bgp.Family) map[netip.Addr]member {
	members := map[netip.Addr]member{}
	for i := range to.Exports {
		export := &to.Exports[i]
		text := export.Attributes.String()
		for _, name := range export.To {
			addr, ok := w.byName[name]
			if !ok {
				continue
			}
			p := w.peers[addr]
			if nh := p.NextHops.For(family); nh.IsValid() && slices.Contains(p.Families, family) {
				members[addr] = member{nextHop: nh, localASN: p.LocalASN, attributes: text, export: &export.Attributes}
			}
		}
	}
	return members
}

// key identifies the class by its family and members, without those in except, and by the
// attributes that they hear: paths of ours are told again when those change. The next hop is
// no part of it; a changed one is told by a soft reset.
func (c class) key(except map[netip.Addr]bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", c.family)
	for _, addr := range sortedAddrs(c.members) {
		if !except[addr] {
			fmt.Fprintf(&b, " %s(%s)", addr, c.members[addr].attributes)
		}
	}
	return b.String()
}

// number gives every audience a class number. A number stays while, among the peers that stay,
// the same hear it: then nothing has to be announced again. fresh are the peers that are yet to
// be added, gone those that leave.
func number(old map[int]class, now []audience, fresh, gone map[netip.Addr]bool) (map[int]class, map[netip.Prefix]int) {
	plain := make([]class, len(now))
	for i, a := range now {
		plain[i] = a.class
	}
	classes, byPrefix := make(map[int]class, len(now)), map[netip.Prefix]int{}
	for i, number := range assign(old, plain, fresh, gone) {
		classes[number] = now[i].class
		for _, prefix := range now[i].prefixes {
			byPrefix[prefix] = number
		}
	}
	return classes, byPrefix
}

// assign returns numbers for what is there now: that of what was there with the same key, or with
// the same one among those peers that stay, or else one that nothing had.
func assign[T interface {
	key(map[netip.Addr]bool) string
}](old map[int]T, now []T, fresh, gone map[netip.Addr]bool) []int {
	taken := make(map[int]bool, len(now))
	numbers := make([]int, len(now))
	take := func(oldExcept, newExcept map[netip.Addr]bool) {
		free := map[string][]int{}
		for _, n := range slices.Sorted(maps.Keys(old)) {
			if !taken[n] {
				key := old[n].key(oldExcept)
				free[key] = append(free[key], n)
			}
		}
		for i, a := range now {
			key := a.key(newExcept)
			if numbers[i] == 0 && len(free[key]) > 0 {
				numbers[i], free[key] = free[key][0], free[key][1:]
				taken[numbers[i]] = true
			}
		}
	}
	take(nil, nil)
	take(gone, fresh)
	next := 1
	for i := range now {
		for numbers[i] == 0 {
			if _, inOld := old[next]; !inOld && !taken[next] {
				numbers[i], taken[next] = next, true
			}
			next++
		}
	}
	return numbers
}

// with returns the class with the members of another one as well.
func (c class) with(other class) class {
	members := maps.Clone(c.members)
	for addr, m := range other.members {
		if _, known := members[addr]; !known {
			members[addr] = m
		}
	}
	return class{family: c.family, members: members}
}
