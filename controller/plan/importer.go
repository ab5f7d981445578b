package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/routes"
)

// Importer turns learned paths into routes, or refuses them. It is a value of its plan:
// another plan has another Importer, and its results for one prefix depend on nothing else
// but the Ways of next hops that are not on-link.
type Importer struct {
	kernel    Kernel
	networks  []Network
	links     map[string]Link
	linksDown map[int]bool
	addresses map[netip.Addr]bool
	ownPods   []netip.Prefix
	services  []netip.Prefix
	protected []netip.Prefix

	viaDefault bool
	nodes      map[netip.Addr]bool // addresses of the cluster's other nodes
	nodeRanges []netip.Prefix
	vital      []netip.Addr              // sorted: no route covers them unless an import rule names it
	vitalAs    map[netip.Addr]string     // what they are
	named      map[string][]netip.Prefix // by peer: the prefixes that its import rules name
}

// newImporter captures the guards. The peers' import rules are the speaker's to keep, but
// for those routes that must be named one by one.
func (b *builder) newImporter() *Importer {
	im := &Importer{
		networks:   b.local.Networks,
		links:      b.local.Links,
		linksDown:  b.local.LinksDown,
		addresses:  map[netip.Addr]bool{},
		services:   b.services,
		kernel:     b.plan.Kernel,
		nodeRanges: b.nodeRanges,
		nodes:      map[netip.Addr]bool{},
		vitalAs:    map[netip.Addr]string{},
		named:      map[string][]netip.Prefix{},
	}
	for _, a := range b.local.Addresses {
		im.addresses[a.WithZone("")] = true
	}
	if b.node != nil {
		im.ownPods = b.node.PodCIDRs
	}
	if b.speaker != nil {
		im.protected = parsePrefixes(b.speaker.Spec.Kernel.ProtectedPrefixes)
		im.viaDefault = b.speaker.Spec.Kernel.ResolveViaDefault != nil && *b.speaker.Spec.Kernel.ResolveViaDefault
	}
	b.noteVital(im)
	return im
}

// noteVital collects the hosts whose loss would take more with it than traffic to pods.
func (b *builder) noteVital(im *Importer) {
	note := func(addr netip.Addr, as string) {
		addr = addr.WithZone("")
		if _, known := im.vitalAs[addr]; !known && !im.addresses[addr] {
			im.vitalAs[addr] = as
			im.vital = append(im.vital, addr)
		}
	}
	for _, addr := range b.snap.APIServers {
		note(addr, "the API server")
	}
	for _, t := range b.targets {
		if !t.mesh {
			if !isLinkLocal(t.peer.Address) { // what its link leads to no route takes away
				note(t.peer.Address, t.ref.String())
			}
			im.named[t.peer.Name] = namedBy(t.peer.Import)
		}
	}
	for _, node := range b.snap.Nodes {
		if node == b.node {
			continue
		}
		for _, addr := range node.Addresses {
			im.nodes[addr] = true
			note(addr, Ref{"Node", node.Name}.String())
		}
	}
	slices.SortFunc(im.vital, netip.Addr.Compare)
}

// namedBy returns the prefixes that rules name: those that they accept as they stand.
func namedBy(rules []bgp.PrefixRule) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range rules {
		if r.Matches(r.Prefix) {
			out = append(out, r.Prefix)
		}
	}
	return out
}

// Equal reports whether the two decide alike on every prefix.
func (im *Importer) Equal(other *Importer) bool {
	return im == other || reflect.DeepEqual(im, other)
}

// Decision is what becomes of one learned prefix: a route, or refusals, or both where some
// of its paths can be used and others cannot.
type Decision struct {
	Route    *routes.Route
	Refusals []Refusal
	// Stuck: there are paths that may be used, but none of their next hops leads anywhere. One
	// that the speaker likes less may do.
	Stuck bool
}

// Equal reports whether the two come to the same.
func (d Decision) Equal(other Decision) bool {
	sameRoute := d.Route == other.Route || d.Route != nil && other.Route != nil && d.Route.Equal(*other.Route)
	return sameRoute && d.Stuck == other.Stuck && slices.Equal(d.Refusals, other.Refusals)
}

// Decide returns what becomes of a prefix. A prefix without paths has neither route nor
// refusals. ways may be nil where no next hop needs them.
func (im *Importer) Decide(c bgp.RIBChange, ways *Ways) Decision {
	if len(c.Paths) == 0 || im.kernel == (Kernel{}) { // without a speaker nothing is learned
		return Decision{}
	}
	if reason, message := im.guard(c.Prefix); reason != "" {
		return Decision{Refusals: []Refusal{refusalOf(c.Prefix, c.Paths[0], reason, message)}}
	}
	var d Decision
	var hops []routes.NextHop
	var shares []float64 // of the hops, as far as paths tell their bandwidth
	for _, p := range c.Paths {
		p = im.meant(p)
		if refusal := im.refusePath(c.Prefix, p); refusal != nil {
			d.Refusals = append(d.Refusals, *refusal)
			continue
		}
		found, refusal := im.resolve(c.Prefix, p, ways)
		if refusal != nil {
			d.Refusals, d.Stuck = append(d.Refusals, *refusal), true
			continue
		}
		hops = append(hops, found...)
		if p.LinkBandwidth > 0 {
			shares = append(shares, sharesOf(found, p.LinkBandwidth)...)
		}
	}
	if len(shares) > 0 && len(shares) == len(hops) { // otherwise some share cannot be known
		hops = weigh(hops, shares)
	}
	if len(hops) > 0 {
		d.Route, d.Stuck = im.route(c.Prefix, hops), false
	}
	slices.SortFunc(d.Refusals, func(a, b Refusal) int { return compareRefs(a.Object, b.Object) })
	return d
}

// DecideAmong decides about a prefix all of whose paths are known, in sets of equal ones, the
// best first: the first set that leads somewhere makes the route. The refusals are those of
// the sets before it.
func (im *Importer) DecideAmong(r bgp.Ranking, ways *Ways) Decision {
	var all Decision
	for _, set := range r.Sets {
		d := im.Decide(bgp.RIBChange{Prefix: r.Prefix, Paths: set}, ways)
		all.Refusals = append(all.Refusals, d.Refusals...)
		all.Stuck = all.Stuck || d.Stuck
		if d.Route != nil {
			all.Route = d.Route
			return all
		}
	}
	return all
}

func refusalOf(prefix netip.Prefix, p bgp.Path, reason, message string) Refusal {
	return Refusal{Object: Ref{"Session", p.Peer}, Subject: prefix.String(), Reason: reason, Message: message}
}

// route builds the wanted route from the next hops; the same set of hops gives the same route.
func (im *Importer) route(prefix netip.Prefix, hops []routes.NextHop) *routes.Route {
	slices.SortFunc(hops, func(a, b routes.NextHop) int {
		return cmp.Or(a.Gateway.Compare(b.Gateway), cmp.Compare(a.Link, b.Link), cmp.Compare(b.Weight, a.Weight))
	})
	hops = slices.CompactFunc(hops, func(a, b routes.NextHop) bool { return a.Gateway == b.Gateway && a.Link == b.Link })
	if n := im.kernel.MaxPaths; len(hops) > n {
		hops = hops[:n]
	}
	return &routes.Route{Key: im.Key(prefix), NextHops: hops}
}

// resolve turns the next hop of one path into ways out of the node.
func (im *Importer) resolve(prefix netip.Prefix, p bgp.Path, ways *Ways) ([]routes.NextHop, *Refusal) {
	if refusal := im.intoItself(prefix, p, ways); refusal != nil {
		return nil, refusal
	}
	addr := p.NextHop.WithZone("")
	if !im.isRemote(addr) {
		hop, reason, message := im.onLink(p)
		if reason != "" {
			r := refusalOf(prefix, p, reason, message)
			return nil, &r
		}
		return []routes.NextHop{hop}, nil
	}
	found := way{reason: ReasonNextHopUnreachable, message: fmt.Sprintf("the way to the next hop %s is not known yet", addr)}
	if ways != nil {
		if known, ok := ways.ways[addr]; ok {
			found = known
		}
	}
	if len(found.hops) == 0 {
		r := refusalOf(prefix, p, found.reason, found.message)
		return nil, &r
	}
	return found.hops, nil
}

// onLink turns a next hop that is not remote into a way out.
func (im *Importer) onLink(p bgp.Path) (hop routes.NextHop, reason, message string) {
	plain := p.NextHop.WithZone("")
	if im.addresses[plain] {
		return hop, ReasonNextHopIsSelf, fmt.Sprintf("the next hop %s is an address of this node", p.NextHop)
	}
	if isLinkLocal(plain) {
		link, reason, message := im.linkOf(p)
		if reason != "" {
			return hop, reason, message
		}
		return im.over(p, link)
	}
	network, ok := networkOf(im.networks, p.NextHop)
	if !ok {
		return hop, ReasonNextHopUnreachable, fmt.Sprintf("the next hop %s is on none of this node's links", p.NextHop)
	}
	if !isHost(plain, network.Prefix) {
		return hop, ReasonNextHopUnreachable, fmt.Sprintf("the next hop %s is no host's address in %s", p.NextHop, network.Prefix)
	}
	return im.over(p, network.Link)
}

// over is the way to a next hop that is on the link.
func (im *Importer) over(p bgp.Path, link int) (hop routes.NextHop, reason, message string) {
	if im.linksDown[link] {
		return hop, ReasonLinkDown, fmt.Sprintf("the link to the next hop %s has no carrier", p.NextHop)
	}
	return routes.NextHop{Gateway: p.NextHop.WithZone(""), Link: link, Weight: 1}, "", ""
}

// isHost reports whether an address may be that of a host in its network: in IPv4 neither the
// first nor the last one, but for networks of two (RFC 3021).
func isHost(addr netip.Addr, network netip.Prefix) bool {
	if !addr.Is4() || network.Bits() >= addr.BitLen()-1 {
		return true
	}
	return addr != network.Addr() && network.Contains(addr.Next())
}

// Key returns the key under which a learned prefix stands in the kernel.
func (im *Importer) Key(prefix netip.Prefix) routes.Key {
	return routes.Key{Table: im.kernel.Table, Prefix: prefix, Metric: im.kernel.Metric}
}
