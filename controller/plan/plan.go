// Package plan decides, and only decides: from what the source says and what the node is,
// what the speaker should hold and what may enter the kernel. It is pure: no clock, no log,
// no context. For each thing that it leaves out it says why.
package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// Local is what this node is, as far as the plan uses it.
type Local struct {
	NodeName string
	// Networks are the connected networks, one entry per address of ours. Of equal ones those
	// on links with carrier come first.
	Networks []Network
	// LinksDown are the links, by index, that have no carrier.
	LinksDown map[int]bool
	// Addresses are all addresses of this host, loopback and link-local ones too.
	Addresses []netip.Addr
	// Sources are the addresses, by name of the link, that a session from there has as its own.
	Sources map[string]Source
	// Links are those that sessions between link-local addresses go over, by name: those that
	// [Needs] names and that there are, and those that link-local Gateways are on.
	Links map[string]Link
	// Gateways are what the default routes of others with the best metric of each family point
	// to; none unless [Needs] asks for them.
	Gateways []Gateway
	// Routed are those of the prefixes that [Needs] names to which others have a route that leads
	// somewhere, or that refuses packets. Sorted.
	Routed []netip.Prefix
	// Sysctls are settings of the kernel that are not as they should be.
	Sysctls []Sysctl
	// Callers are the routers that have connected to this node of their own accord and may be there. Sorted.
	Callers []netip.Addr
}

// Source holds the first lasting address of each family that a link has; the zero Addr: none.
type Source struct {
	IPv4, IPv6 netip.Addr
}

// For returns the address of a family.
func (s Source) For(f bgp.Family) netip.Addr {
	if f == bgp.IPv4Unicast {
		return s.IPv4
	}
	return s.IPv6
}

// Network is a connected network and our own address in it.
type Network struct {
	Prefix netip.Prefix
	Addr   netip.Addr
	Link   int // interface index
}

// Ref names an object of the configuration.
type Ref struct {
	Kind string
	Name string // namespace/name for Services
}

// String returns "Kind/name".
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// Refusal is one thing that is not done, and why.
type Refusal struct {
	Object  Ref
	Subject string // the prefix, address or family concerned; "" for the object as a whole
	Reason  string // one of the reasons of this package, in CamelCase
	Message string // for a person, saying what to do
}

// Verdict tells whether an object of the configuration is usable on this node.
type Verdict struct {
	Object     Ref
	Generation int64
	Accepted   bool
	Reason     string
	Message    string
}

// Accepted is what was last accepted. A broken edit leaves it at work.
type Accepted struct {
	ASN            uint32                // 0: none yet
	RouterID       netip.Addr            // the zero Addr: none yet
	Passwords      map[string]bgp.Secret // by name of the Secret
	Speakers       map[string]*v1alpha1.BGPSpeaker
	Peers          map[string]*v1alpha1.BGPPeer
	Advertisements map[string]*v1alpha1.BGPAdvertisement
}

// Kernel says where learned routes go.
type Kernel struct {
	Table    uint32
	Metric   uint32
	MaxPaths int
}

// Withheld is a session that is configured and not tried.
type Withheld struct {
	Object  string     // name of the BGPPeer, or "mesh"
	Address netip.Addr // the zero Addr where it is not known
	Message string     // why
}

// Plan is the whole decision for one node.
type Plan struct {
	// Speaker is the name of the BGPSpeaker that counts; "" when there is none.
	Speaker string
	Desired bgp.Desired
	Kernel  Kernel
	// Withheld are sessions that are configured and cannot be tried, for instance because
	// their password is missing. What such a peer once told is not known to be gone.
	Withheld []Withheld
	// StaleSweepSeconds is how long kernel routes of an earlier process may wait for a refresh.
	StaleSweepSeconds int32
	Readiness         Readiness
	// Unowned are the parts of announced aggregates in which nothing is to be forwarded. Sorted.
	Unowned []netip.Prefix
	// Sysctls are those wrong settings that concern this node.
	Sysctls []Sysctl

	Importer *Importer
	Resets   []Reset   // what carrying out this plan after the last one resets
	Refusals []Refusal // sorted
	Verdicts []Verdict // sorted, one for each object that concerns this node
	Accepted Accepted

	made      inputs
	announcer *announcer // nil where nothing is advertised
}

// defaultStaleSweepSeconds counts where no speaker says otherwise: routes of an earlier
// process are not deleted at once because the configuration is (not yet) there.
const defaultStaleSweepSeconds = 120

// Build makes the plan of the node local.NodeName. prev is the last plan, nil at start: what
// it accepted counts where an object has been spoilt since, and what has not changed since
// then is not decided again.
func Build(snap *snapshot.Snapshot, local Local, prev *Plan) *Plan {
	if next := again(snap, local, prev); next != nil {
		return next
	}
	if prev == nil {
		return build(snap, local, Accepted{})
	}
	next := build(snap, local, prev.Accepted)
	next.Resets = resets(prev.Desired, next.Desired)
	return next
}

// build makes a plan of the whole.
func build(snap *snapshot.Snapshot, local Local, prev Accepted) *Plan {
	fallback := snap.Fallback
	if fallback == nil {
		fallback = &snapshot.Snapshot{}
	}
	b := &builder{
		snap:     snap,
		fallback: fallback,
		local:    local,
		prev:     prev,
		node:     snap.Nodes[local.NodeName],
		plan: &Plan{
			made:              inputs{snap, local},
			StaleSweepSeconds: defaultStaleSweepSeconds,
			Accepted: Accepted{
				Passwords:      map[string]bgp.Secret{},
				Speakers:       map[string]*v1alpha1.BGPSpeaker{},
				Peers:          map[string]*v1alpha1.BGPPeer{},
				Advertisements: map[string]*v1alpha1.BGPAdvertisement{},
			},
		},
	}
	b.build()
	b.plan.Importer = b.newImporter()
	b.plan.sort()
	return b.plan
}

// builder holds what the steps of one Build share.
type builder struct {
	snap     *snapshot.Snapshot
	fallback *snapshot.Snapshot
	local    Local
	prev     Accepted
	node     *snapshot.Node
	plan     *Plan

	speakers []*v1alpha1.BGPSpeaker // usable ones, the oldest first
	speaker  *v1alpha1.BGPSpeaker   // the one that counts for this node
	asn      uint32
	pods     []bgp.PrefixRule // what belongs to the cluster's pods
	services []netip.Prefix   // the cluster's Service ranges
	// nodeRanges and nodeAddresses are those of the cluster's nodes, as far as they are known.
	nodeRanges    []netip.Prefix
	nodeAddresses map[netip.Addr]bool
	targets       []target            // sessions, and what selects them
	listening     []*v1alpha1.BGPPeer // those with a listenRange, the oldest first
}

func (b *builder) build() {
	b.judgeUnreadable()
	b.loadSpeakers()
	if b.node == nil {
		b.refuse(Ref{"Node", b.local.NodeName}, "", ReasonNodeNotFound,
			"this node's Node object does not exist: nothing is advertised and nothing is learned until it does")
		return
	}
	for _, problem := range b.node.Problems {
		b.refuse(Ref{"Node", b.node.Name}, "", v1alpha1.ReasonInvalid, problem)
	}
	b.chooseSpeaker()
	b.clusterRanges()
	if b.speaker == nil || !b.configure() {
		return
	}
	b.checkSysctls()
	b.loadAdvertisements()
	b.planPeers()
	b.planMesh()
	b.planListening()
	b.planAdvertisements()
	for _, t := range b.targets {
		b.plan.Desired.Peers = append(b.plan.Desired.Peers, t.peer)
	}
}

func (b *builder) refuse(object Ref, subject, reason, message string) {
	b.plan.Refusals = append(b.plan.Refusals, Refusal{object, subject, reason, message})
}

func (p *Plan) sort() {
	p.sortRefusals()
	slices.SortFunc(p.Verdicts, func(a, b Verdict) int { return compareRefs(a.Object, b.Object) })
	slices.SortFunc(p.Desired.Listens, func(a, b bgp.Listen) int { return a.Prefix.Compare(b.Prefix) })
	slices.SortFunc(p.Desired.Peers, func(a, b bgp.Peer) int { return cmp.Compare(a.Name, b.Name) })
}

func (p *Plan) sortRefusals() {
	slices.SortFunc(p.Refusals, func(a, b Refusal) int {
		return cmp.Or(compareRefs(a.Object, b.Object), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	p.Refusals = slices.Compact(p.Refusals) // one Service may have an address as two kinds
}

func compareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// verdict notes whether an object can be used as it stands.
func (b *builder) verdict(object Ref, generation int64, accepted bool, reason, message string) {
	b.plan.Verdicts = append(b.plan.Verdicts, Verdict{object, generation, accepted, reason, message})
}
