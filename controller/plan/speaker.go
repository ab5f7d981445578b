package plan

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// object is what the plan needs of every configuration object.
type object interface {
	metav1.Object
	Validate() field.ErrorList
}

// usable returns the form of an object to work with: the object itself when it is valid,
// else its last accepted form, of this process or of an earlier one, else nothing. The
// verdict says which.
func usable[T object](b *builder, kind string, obj T, prev, fallback map[string]T) (T, bool) {
	ref := Ref{kind, obj.GetName()}
	errs := obj.Validate()
	if len(errs) == 0 {
		return obj, true
	}
	message := errs.ToAggregate().Error()
	last, ok := prev[obj.GetName()]
	if !ok {
		last, ok = fallback[obj.GetName()]
		ok = ok && len(last.Validate()) == 0
	}
	if ok {
		message += lastStays
	}
	b.verdictIfValid(ref, obj.GetGeneration(), v1alpha1.ReasonInvalid, message)
	return last, ok
}

const lastStays = "; the last valid form stays at work"

// judgeUnreadable speaks of the objects that could not be read. What the snapshot has of them
// is their last readable form.
func (b *builder) judgeUnreadable() {
	for _, u := range b.snap.Unreadable {
		b.verdict(Ref{u.Kind, u.Name}, 0, false, v1alpha1.ReasonInvalid, u.Message)
	}
}

// oldestFirst sorts by age, then name: the order in which objects win conflicts.
func oldestFirst[T metav1.Object](objects []T) {
	slices.SortFunc(objects, func(a, b T) int {
		return cmp.Or(a.GetCreationTimestamp().Time.Compare(b.GetCreationTimestamp().Time), cmp.Compare(a.GetName(), b.GetName()))
	})
}

// selects reports whether the selector selects the labels; an absent one selects everything.
// Validation has made sure that it converts.
func selects(selector *metav1.LabelSelector, set labels.Labels) bool {
	return selectorOf(selector).Matches(set)
}

// selectorOf reads what validation has found good; nil selects all.
func selectorOf(selector *metav1.LabelSelector) labels.Selector {
	if selector == nil {
		return labels.Everything()
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing()
	}
	return s
}

func (b *builder) loadSpeakers() {
	for _, name := range slices.Sorted(maps.Keys(b.snap.Speakers)) {
		s, ok := usable(b, "BGPSpeaker", b.snap.Speakers[name], b.prev.Speakers, b.fallback.Speakers)
		if !ok {
			continue
		}
		b.plan.Accepted.Speakers[name] = s
		b.speakers = append(b.speakers, s)
	}
	oldestFirst(b.speakers)
}

// speakerOf returns the speaker that counts for a node; nil when none selects it.
func (b *builder) speakerOf(node *snapshot.Node) *v1alpha1.BGPSpeaker {
	for _, s := range b.speakers {
		if selects(s.Spec.NodeSelector, node.Labels) {
			return s
		}
	}
	return nil
}

func (b *builder) chooseSpeaker() {
	for _, s := range b.speakers {
		if !selects(s.Spec.NodeSelector, b.node.Labels) {
			continue
		}
		ref := Ref{"BGPSpeaker", s.Name}
		switch {
		case b.speaker == nil:
			b.speaker = s
			b.plan.Speaker = s.Name
		default:
			b.verdictIfValid(ref, s.Generation, v1alpha1.ReasonConflicted, fmt.Sprintf(
				"node %s is already served by the older BGPSpeaker %s; make the nodeSelectors disjoint", b.node.Name, b.speaker.Name))
		}
	}
	if b.speaker == nil {
		b.refuse(Ref{"Node", b.node.Name}, "", v1alpha1.ReasonNoSpeaker, "no usable BGPSpeaker selects this node; create one, or mend its nodeSelector")
	}
}

// verdictIfValid adds a verdict unless the object could not be read, or validation has spoken
// of it already.
func (b *builder) verdictIfValid(ref Ref, generation int64, reason, message string) {
	if !b.judged(ref) {
		b.verdict(ref, generation, reason == v1alpha1.ReasonAccepted, reason, message)
	}
}

func (b *builder) judged(ref Ref) bool {
	return slices.ContainsFunc(b.plan.Verdicts, func(v Verdict) bool { return v.Object == ref })
}

// configure sets the speaker's own parameters and the kernel's; false when it cannot run.
func (b *builder) configure() bool {
	spec, ref := &b.speaker.Spec, Ref{"BGPSpeaker", b.speaker.Name}
	if !b.identify(ref) {
		return false
	}
	b.plan.Kernel = Kernel{Table: uint32(*spec.Kernel.Table), Metric: uint32(*spec.Kernel.Metric), MaxPaths: int(*spec.Kernel.MaxPaths)}
	b.plan.Readiness = Readiness{
		Delay:     time.Duration(*spec.Readiness.DataplaneDelayMilliseconds) * time.Millisecond,
		Probes:    spec.Readiness.Probes,
		Addresses: b.node.Addresses,
	}
	gr := &spec.GracefulRestart
	b.plan.StaleSweepSeconds = *gr.RestartTimeSeconds
	if gr.StaleSweepSeconds != nil {
		b.plan.StaleSweepSeconds = *gr.StaleSweepSeconds
	}
	b.plan.Desired.Config = &bgp.Config{
		ASN:        b.asn,
		RouterID:   b.plan.Accepted.RouterID,
		ListenPort: uint16(*spec.ListenPort),
		GracefulRestart: bgp.GracefulRestart{
			Enabled:     *gr.Enabled,
			RestartTime: time.Duration(*gr.RestartTimeSeconds) * time.Second,
			Deferral:    time.Duration(*gr.DeferralSeconds) * time.Second,

			Notification: *gr.Notification,
			LongLived:    time.Duration(*gr.LongLivedStaleSeconds) * time.Second,
		},
	}
	b.plan.Desired.Stations = stations(spec.BMP)
	if len(b.pods) == 0 {
		b.verdictIfValid(ref, b.speaker.Generation, v1alpha1.ReasonClusterCIDRsUnknown,
			"neither cluster.podCIDRs nor any Node's podCIDRs are known, so nothing is imported by default; set cluster.podCIDRs")
	}
	b.judgeReflectors(ref)
	b.judge(ref, b.speaker.Generation, b.speaker.NotImplemented())
	return true
}

// stations returns the BMP stations; of several with one address and port the first counts.
func stations(list []v1alpha1.BMPStation) []bgp.Station {
	hears := map[v1alpha1.BMPPolicy]bgp.StationPolicy{
		v1alpha1.BMPPrePolicy: bgp.PrePolicy, v1alpha1.BMPPostPolicy: bgp.PostPolicy, v1alpha1.BMPBoth: bgp.BothPolicies,
		v1alpha1.BMPLocalRIB: bgp.LocalRIB, v1alpha1.BMPAll: bgp.AllRoutes,
	}
	var out []bgp.Station
	for _, s := range list {
		station := bgp.Station{Address: netip.MustParseAddr(s.Address).Unmap(), Port: uint16(*s.Port), Hears: hears[s.Policy]}
		if !slices.ContainsFunc(out, func(o bgp.Station) bool { return o.Address == station.Address && o.Port == station.Port }) {
			out = append(out, station)
		}
	}
	return out
}

// identify finds the node's AS number and router ID. Where one is lost by a mistake on the
// Node while the speaker runs, the last one stays: to change it would reset every session.
func (b *builder) identify(ref Ref) bool {
	asn, err := asnOf(b.node, b.speaker)
	if err != nil {
		asn = b.prev.ASN
		b.notIdentified(ref, v1alpha1.ReasonASNUnknown, err, asn != 0)
	}
	id, err := routerIDOf(b.node, b.speaker, b.prev.RouterID)
	if err != nil {
		id = b.prev.RouterID
		b.notIdentified(ref, ReasonNoRouterID, err, id.IsValid())
	}
	b.asn, b.plan.Accepted.ASN, b.plan.Accepted.RouterID = asn, asn, id
	if asn == 0 || !id.IsValid() {
		return false
	}
	b.refuseRouterIDConflict()
	return true
}

func (b *builder) notIdentified(ref Ref, reason string, err error, keeps bool) {
	message := err.Error()
	if keeps {
		message += lastStays
	}
	b.verdictIfValid(ref, b.speaker.Generation, reason, message)
}

// asnOf returns the AS number of a node under its speaker.
func asnOf(node *snapshot.Node, s *v1alpha1.BGPSpeaker) (uint32, error) {
	if text, ok := node.Annotations[v1alpha1.AnnotationASN]; ok {
		return parseASN(text, "annotation "+v1alpha1.AnnotationASN, node.Name)
	}
	if from := s.Spec.LocalASNFrom; from != nil {
		text, ok := node.Labels.Lookup(from.NodeLabel)
		if !ok {
			return 0, fmt.Errorf("node %s has no label %s, which localASNFrom names", node.Name, from.NodeLabel)
		}
		return parseASN(text, "label "+from.NodeLabel, node.Name)
	}
	return uint32(*s.Spec.LocalASN), nil
}

func parseASN(text, where, node string) (uint32, error) {
	asn, err := strconv.ParseUint(text, 10, 32)
	if err != nil || asn == 0 || asn == 1<<32-1 {
		return 0, fmt.Errorf("%s of node %s is %q, which is not an AS number from 1 to 4294967294", where, node, text)
	}
	return uint32(asn), nil
}

// routerIDOf returns the router ID of a node: its annotation, its IPv4 address, or a hash of
// its name. A hash does not take the place of last, which an address that is gone was.
func routerIDOf(node *snapshot.Node, s *v1alpha1.BGPSpeaker, last netip.Addr) (netip.Addr, error) {
	if text, ok := node.Annotations[v1alpha1.AnnotationRouterID]; ok {
		id, err := netip.ParseAddr(text)
		if err != nil || !id.Is4() || id.IsUnspecified() {
			return netip.Addr{}, fmt.Errorf("annotation %s of node %s is %q, which is not a router ID in the form of an IPv4 address", v1alpha1.AnnotationRouterID, node.Name, text)
		}
		return id, nil
	}
	ipv4 := nodeAddress(node, bgp.IPv4Unicast)
	switch {
	case s.Spec.RouterID == v1alpha1.RouterIDNodeNameHash:
		return hashRouterID(node.Name), nil
	case ipv4.IsValid():
		return ipv4, nil
	case s.Spec.RouterID == "" && last.IsValid():
		return last, nil
	case s.Spec.RouterID == "":
		return hashRouterID(node.Name), nil
	}
	return netip.Addr{}, fmt.Errorf("routerID is NodeIPv4 but node %s has no IPv4 InternalIP; use NodeNameHash, or annotate the node with %s", node.Name, v1alpha1.AnnotationRouterID)
}

func hashRouterID(name string) netip.Addr {
	h := fnv.New32a()
	h.Write([]byte(name))
	sum := h.Sum32()
	if sum == 0 {
		sum = 1 // 0.0.0.0 is no router ID (RFC 6286, section 2.1)
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// nodeAddress returns a node's first address of the family; the zero Addr when it has none.
func nodeAddress(node *snapshot.Node, f bgp.Family) netip.Addr {
	for _, a := range node.Addresses {
		if bgp.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// clusterRanges derives what belongs to the cluster: from the speaker, else from the
// Nodes and ServiceCIDR objects.
func (b *builder) clusterRanges() {
	if b.speaker == nil {
		return
	}
	cluster := &b.speaker.Spec.Cluster
	b.nodeRanges = parsePrefixes(cluster.NodeCIDRs)
	b.nodeAddresses = map[netip.Addr]bool{}
	for _, node := range b.snap.Nodes {
		for _, addr := range node.Addresses {
			b.nodeAddresses[addr] = true
		}
	}
	b.services = b.snap.ServiceCIDRs
	if len(cluster.ServiceCIDRs) > 0 {
		b.services = parsePrefixes(cluster.ServiceCIDRs)
	}
	if len(cluster.PodCIDRs) == 0 {
		b.pods = b.nodesPodCIDRs()
		return
	}
	for _, p := range parsePrefixes(cluster.PodCIDRs) {
		b.pods = append(b.pods, bgp.PrefixRule{Prefix: p, MinLength: uint8(p.Bits()), MaxLength: b.nodeMask(p)})
	}
}

// nodesPodCIDRs returns a rule for exactly each Node's pod CIDRs, sorted.
func (b *builder) nodesPodCIDRs() []bgp.PrefixRule {
	var rules []bgp.PrefixRule
	for _, node := range b.snap.Nodes {
		for _, p := range node.PodCIDRs {
			rules = append(rules, bgp.PrefixRule{Prefix: p, MinLength: uint8(p.Bits()), MaxLength: uint8(p.Bits())})
		}
	}
	slices.SortFunc(rules, func(a, b bgp.PrefixRule) int { return a.Prefix.Compare(b.Prefix) })
	return slices.Compact(rules)
}

// nodeMask returns the longest prefix length that a node's share of the range may have:
// that of this node's own pod CIDR, or of a host where this node has none.
func (b *builder) nodeMask(cluster netip.Prefix) uint8 {
	for _, own := range b.node.PodCIDRs {
		if own.Addr().Is4() == cluster.Addr().Is4() && own.Bits() >= cluster.Bits() {
			return uint8(own.Bits())
		}
	}
	return uint8(cluster.Addr().BitLen())
}

// parsePrefixes parses what validation has already found good.
func parsePrefixes(in []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(in))
	for _, s := range in {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}
