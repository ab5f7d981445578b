package plan

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// older reports whether a node is older than another: then it keeps what both claim.
func older(a, b *snapshot.Node) bool {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name)) < 0
}

// refuseRouterIDConflict tells when an older node has our router ID. The speaker runs all the
// same: peers that see only one of the two do not mind, and it is better than no speaker.
func (b *builder) refuseRouterIDConflict() {
	for _, node := range b.snap.Nodes {
		if node.Name == b.node.Name || !older(node, b.node) {
			continue
		}
		s := b.speakerOf(node)
		if s == nil {
			continue
		}
		if id, err := routerIDOf(node, s, netip.Addr{}); err == nil && id == b.plan.Accepted.RouterID {
			b.refuse(Ref{"Node", b.node.Name}, id.String(), v1alpha1.ReasonRouterIDConflict, fmt.Sprintf(
				"the older Node %s has the same router ID, so the two cannot have a session; annotate one of them with %s", node.Name, v1alpha1.AnnotationRouterID))
		}
	}
}

// ownPodCIDRs returns this node's pod CIDRs but for those that overlap an older node's: to
// announce them would take the other's traffic.
func (b *builder) ownPodCIDRs() []netip.Prefix {
	var own []netip.Prefix
	for _, prefix := range b.node.PodCIDRs {
		if other, theirs := b.overlapped(prefix); other != nil {
			b.refuse(Ref{"Node", b.node.Name}, prefix.String(), ReasonPodCIDROverlap, fmt.Sprintf(
				"the pod CIDR overlaps %s of the older Node %s, so it is not advertised", theirs, other.Name))
			continue
		}
		own = append(own, prefix)
	}
	return own
}

// overlapped returns an older node with a pod CIDR that overlaps the prefix; nil when there is none.
func (b *builder) overlapped(prefix netip.Prefix) (found *snapshot.Node, theirs netip.Prefix) {
	for _, node := range b.snap.Nodes {
		if node.Name == b.node.Name || !older(node, b.node) || (found != nil && !older(node, found)) {
			continue
		}
		for _, other := range node.PodCIDRs {
			if other.Overlaps(prefix) {
				found, theirs = node, other
			}
		}
	}
	return found, theirs
}
