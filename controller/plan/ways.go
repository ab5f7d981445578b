package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/routes"
)

// Ways says where the next hops lead that are on no connected network. It holds for one
// state of the RIB and of the kernel's own routes; Decides tells whether it still does.
type Ways struct {
	ways map[netip.Addr]way
	// caught are learned prefixes whose next hops lead round to the prefix itself, with one of
	// the others that are caught with it.
	caught map[netip.Prefix]netip.Prefix
	// rests are the addresses that were looked up, sorted: a route that covers one of them,
	// learned or not, may change everything here.
	rests []netip.Addr
	// own are the kernel's routes, not ours, to these addresses.
	own map[netip.Addr]routes.Route
}

// way is where one next hop leads: out of the node, or nowhere for a reason.
type way struct {
	hops            []routes.NextHop
	reason, message string
}

// SameOthers reports whether the kernel's own routes are those that the ways were found by.
func (w *Ways) SameOthers(own map[netip.Addr]routes.Route) bool {
	return maps.EqualFunc(w.own, own, routes.Route.Equal)
}

// Keep puts the kernel's own routes that the ways were found by in place of what is known of the
// same addresses now. There may be no ways.
func (w *Ways) Keep(now map[netip.Addr]routes.Route) {
	if w == nil {
		return
	}
	for _, addr := range w.rests {
		if route, ok := w.own[addr]; ok {
			now[addr] = route
		} else {
			delete(now, addr)
		}
	}
}

// Knows reports whether the ways to all these addresses have been looked for.
func (w *Ways) Knows(remote []netip.Addr) bool {
	return !slices.ContainsFunc(remote, func(addr netip.Addr) bool {
		_, known := slices.BinarySearchFunc(w.rests, addr, netip.Addr.Compare)
		return !known
	})
}

// Rests returns the addresses that it rests on, sorted.
func (w *Ways) Rests() []netip.Addr { return w.rests }

// Concerned reports whether a route to the prefix may change where a next hop leads.
func (w *Ways) Concerned(prefix netip.Prefix) bool { return len(routes.Inside(prefix, w.rests)) > 0 }

// Remote returns the addresses on no connected network that the decision about these paths
// rests on: next hops, and peers whose session needs a route.
func (im *Importer) Remote(paths []bgp.Path) []netip.Addr {
	var out []netip.Addr
	for _, p := range paths {
		p = im.meant(p)
		for _, addr := range [...]netip.Addr{p.NextHop, p.PeerAddr} {
			if addr = addr.WithZone(""); im.isRemote(addr) && !slices.Contains(out, addr) {
				out = append(out, addr)
			}
		}
	}
	return out
}

func (im *Importer) isRemote(addr netip.Addr) bool {
	if !addr.IsValid() || addr.IsLinkLocalUnicast() || im.addresses[addr] {
		return false
	}
	_, connected := networkOf(im.networks, addr)
	return !connected
}

// Decides reports whether the ways are enough to decide about a changed prefix: that they
// know all it rests on, and do not rest on the prefix themselves.
func (w *Ways) Decides(im *Importer, c bgp.RIBChange) bool {
	return !w.Concerned(c.Prefix) && w.Knows(im.Remote(c.Paths))
}

// Ways finds out where the addresses lead, which Remote has named, by the kernel's own routes
// to them (of others, not ours) and by what is learned. It is a pure function: the order of
// the RIB means nothing.
func (im *Importer) Ways(rib []bgp.RIBChange, remote []netip.Addr, own map[netip.Addr]routes.Route) *Ways {
	w := &Ways{
		ways:   make(map[netip.Addr]way, len(remote)),
		caught: map[netip.Prefix]netip.Prefix{},
		rests:  slices.Clone(remote),
		own:    own,
	}
	slices.SortFunc(w.rests, netip.Addr.Compare)
	w.rests = slices.Compact(w.rests)
	t := &tracer{im: im, out: w, learned: map[netip.Prefix]bgp.RIBChange{}}
	for _, c := range rib {
		if reason, _ := im.guard(c.Prefix); reason == "" && w.Concerned(c.Prefix) {
			t.learned[c.Prefix] = c
			t.bits = append(t.bits, c.Prefix.Bits())
		}
	}
	slices.SortFunc(t.bits, func(a, b int) int { return cmp.Compare(b, a) })
	t.bits = slices.Compact(t.bits)
	t.breakCircles()
	for _, addr := range w.rests {
		w.ways[addr] = t.trace(addr)
	}
	return w
}

// tracer follows next hops through learned prefixes.
type tracer struct {
	im      *Importer
	out     *Ways
	learned map[netip.Prefix]bgp.RIBChange // those that cover a remote address
	bits    []int                          // their lengths, the longest first

	at    []netip.Prefix     // learned prefixes that are being followed
	known map[netip.Addr]way // certain once no circle is left
}

// breakCircles finds the prefixes whose next hops lead round to themselves. They are in
// nobody's way from then on, so it is done again until there is none.
func (t *tracer) breakCircles() {
	for again := true; again; {
		again = false
		t.known = map[netip.Addr]way{}
		for _, addr := range t.out.rests {
			before := len(t.out.caught)
			t.trace(addr)
			if len(t.out.caught) > before {
				again = true
				break
			}
		}
	}
}

// trace says where an address leads: by the most specific of the kernel's own route and the
// learned ones that lead somewhere.
func (t *tracer) trace(addr netip.Addr) way {
	if found, done := t.known[addr]; done {
		return found
	}
	own, hasOwn := t.out.own[addr]
	for _, bits := range t.bits {
		prefix, err := addr.Prefix(bits)
		if err != nil {
			continue // the length is one of the other family
		}
		if hasOwn && !t.im.beats(prefix, own) {
			break
		}
		if hops := t.follow(prefix); len(hops) > 0 {
			t.known[addr] = way{hops: hops}
			return t.known[addr]
		}
	}
	t.known[addr] = t.im.ownWay(addr, own, hasOwn)
	return t.known[addr]
}

// beats reports whether the kernel would take a route of ours before one of others to an address
// that both cover.
func (im *Importer) beats(ours netip.Prefix, theirs routes.Route) bool {
	if ours.Bits() != theirs.Prefix.Bits() {
		return ours.Bits() > theirs.Prefix.Bits()
	}
	return im.kernel.Metric < theirs.Metric // of the very same, theirs stands, and ours waits
}

// follow returns the ways out of a learned prefix; none if it is not learned or leads nowhere.
func (t *tracer) follow(prefix netip.Prefix) []routes.NextHop {
	change, ok := t.learned[prefix]
	if _, caught := t.out.caught[prefix]; !ok || caught {
		return nil
	}
	if i := slices.Index(t.at, prefix); i >= 0 {
		t.catch(t.at[i:])
		return nil
	}
	t.at = append(t.at, prefix)
	defer func() { t.at = t.at[:len(t.at)-1] }()
	var hops []routes.NextHop
	for _, p := range slices.SortedFunc(slices.Values(change.Paths), func(a, b bgp.Path) int { return a.NextHop.Compare(b.NextHop) }) {
		p = t.im.meant(p)
		addr := p.NextHop.WithZone("")
		switch {
		case t.im.refusePath(prefix, p) != nil, t.im.intoItself(prefix, p, t.out) != nil:
		case t.im.isRemote(addr):
			hops = append(hops, t.trace(addr).hops...)
		default:
			if hop, reason, _ := t.im.onLink(p); reason == "" {
				hops = append(hops, hop)
			}
		}
	}
	return hops
}

// catch notes a circle of prefixes, each with the next one in the fixed order of all.
func (t *tracer) catch(circle []netip.Prefix) {
	sorted := slices.SortedFunc(slices.Values(circle), netip.Prefix.Compare)
	for i, prefix := range sorted {
		t.out.caught[prefix] = sorted[(i+1)%len(sorted)]
	}
}

// ownWay says where the kernel's own route to a next hop leads.
func (im *Importer) ownWay(addr netip.Addr, route routes.Route, ok bool) way {
	switch {
	case !ok:
		return way{reason: ReasonNextHopUnreachable, message: fmt.Sprintf("there is no route to the next hop %s", addr)}
	case route.Kind != routes.Unicast:
		return way{reason: ReasonNextHopUnreachable, message: fmt.Sprintf("the kernel's route %s makes the next hop %s unreachable", route.Prefix, addr)}
	case route.Prefix.Bits() == 0 && !im.mayTakeDefault(addr):
		return way{reason: ReasonNextHopViaDefault, message: fmt.Sprintf(
			"only a default route leads to the next hop %s, which is no Node's address; to allow that set kernel.resolveViaDefault", addr)}
	}
	var hops []routes.NextHop
	for _, hop := range route.NextHops {
		if im.linksDown[hop.Link] {
			continue
		}
		if !hop.Gateway.IsValid() {
			hop.Gateway = addr // the route says that it is on the link
		}
		hops = append(hops, hop)
	}
	if len(hops) == 0 {
		return way{reason: ReasonLinkDown, message: fmt.Sprintf("the links by which the kernel's route %s leads to the next hop %s have no carrier", route.Prefix, addr)}
	}
	return way{hops: hops}
}

// mayTakeDefault reports whether a next hop may be reached by the kernel's default route.
func (im *Importer) mayTakeDefault(addr netip.Addr) bool {
	if im.viaDefault || im.nodes[addr] {
		return true
	}
	return holds(im.nodeRanges, addr)
}
