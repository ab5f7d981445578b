package plan

import (
	"fmt"
	"net/netip"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// part is the part of a node in the topology among nodes. Both ends of a session find it from
// the same objects, so that they agree.
type part struct {
	meshes     bool // has sessions with all that mesh
	reflects   bool // has sessions with reflectors, or with all that do if it is one itself
	reflector  bool
	clusterID  netip.Addr // where topology.reflectors selects it, whatever the topology
	listenPort uint16
}

// partOf returns the part of a node; the zero part when it has none, or is of another AS.
func (b *builder) partOf(node *snapshot.Node) part {
	s := b.speakerOf(node)
	if s == nil {
		return part{}
	}
	if asn, err := b.asnOfPart(node, s); err != nil || asn != b.asn {
		return part{}
	}
	p := part{listenPort: uint16(*s.Spec.ListenPort)}
	switch s.Spec.Topology.Type {
	case v1alpha1.TopologyFullMesh:
		p.meshes = true
	case v1alpha1.TopologyRouteReflectors:
		p.reflects = true
	case v1alpha1.TopologyFullMeshAndReflectors:
		p.meshes, p.reflects = true, true
	}
	if to := s.Spec.Topology.Reflectors; to != nil && selects(to, node.Labels) {
		p.reflector, p.clusterID = p.reflects, b.clusterIDOf(node, s)
	}
	return p
}

// asnOfPart is what asnOf says, but for this node, whose last AS number outlives a mistake.
func (b *builder) asnOfPart(node *snapshot.Node, s *v1alpha1.BGPSpeaker) (uint32, error) {
	if node.Name == b.node.Name {
		return b.asn, nil
	}
	return asnOf(node, s)
}

// clusterIDOf returns the CLUSTER_ID of a reflector; the zero Addr when it cannot be known.
func (b *builder) clusterIDOf(node *snapshot.Node, s *v1alpha1.BGPSpeaker) netip.Addr {
	if id := s.Spec.Topology.ClusterID; id != "" {
		return netip.MustParseAddr(id)
	}
	if node.Name == b.node.Name {
		return b.plan.Accepted.RouterID
	}
	id, _ := routerIDOf(node, s, netip.Addr{})
	return id
}

// talksTo reports whether the topology connects the two.
func (p part) talksTo(other part) bool {
	return p.meshes && other.meshes || p.reflects && other.reflects && (p.reflector || other.reflector)
}

// reflection returns the part that another node has in what this one reflects.
func (p part) reflection(other part) bgp.Reflection {
	switch {
	case !p.reflector:
		return bgp.NoReflection
	case other.reflector && other.clusterID == p.clusterID:
		return bgp.NoReflection // what one reflects, the other ignores (RFC 4456, section 8)
	case other.reflector || !other.reflects:
		return bgp.NonClient
	}
	return bgp.Client
}

// judgeReflectors says what to do where the topology has reflectors and there are none.
func (b *builder) judgeReflectors(ref Ref) {
	if !b.partOf(b.node).reflects {
		return
	}
	selected := 0
	for _, node := range b.snap.Nodes {
		if b.partOf(node).reflector {
			return
		}
		if selects(b.speaker.Spec.Topology.Reflectors, node.Labels) {
			selected++
		}
	}
	message := "topology.reflectors selects no Node, so there is nobody from whom the nodes could hear of each other; label two or three Nodes so that it selects them, or set topology.type FullMesh"
	if selected > 0 {
		message = fmt.Sprintf("topology.reflectors selects Nodes (%d), and none of them reflects: they are of another AS, or their own BGPSpeaker has no reflectors that select them; give them the same AS number and topology", selected)
	}
	b.verdictIfValid(ref, b.speaker.Generation, v1alpha1.ReasonNoReflectors, message)
}

// refuseUnreflected says so where there are reflectors and this node talks to none of them.
func (b *builder) refuseUnreflected(reflectors int) {
	for _, t := range b.targets {
		if t.reflector {
			return
		}
	}
	if reflectors > 0 {
		b.refuse(Ref{"Node", b.node.Name}, "mesh", v1alpha1.ReasonNoReflectors, fmt.Sprintf(
			"this node has a session with none of the %d reflectors; with topology.scope SameSubnet one of them has to be on a network of this node: label a Node there, or set topology.scope All", reflectors))
	}
}
