package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// The timers of mesh sessions: both ends are ours, so they are not for configuring.
const (
	meshHoldTime     = 90 * time.Second
	meshConnectRetry = 5 * time.Second
)

// mesh is what the sessions of this node with other nodes have in common.
type mesh struct {
	own      part
	password bgp.Secret
	imports  []bgp.PrefixRule // what the other nodes may tell
}

// planMesh adds a session per family to every other node of our AS that the topology connects
// this one with.
func (b *builder) planMesh() {
	m := mesh{own: b.partOf(b.node), imports: b.meshImports()}
	if !m.own.meshes && !m.own.reflects {
		return
	}
	var ok bool
	if m.password, ok = b.meshPassword(); !ok {
		return
	}
	reflectors := 0
	for _, node := range b.otherNodes() {
		other := b.partOf(node)
		if other.reflector {
			reflectors++
		}
		if m.own.talksTo(other) {
			b.planMeshSessions(m, node, other)
		}
	}
	if m.own.reflects && !m.own.reflector {
		b.refuseUnreflected(reflectors)
	}
}

// planMeshSessions adds a session for each family that both nodes have. Where they have one
// session but not the other, that is said: half the traffic would go missing in silence.
func (b *builder) planMeshSessions(m mesh, node *snapshot.Node, other part) {
	var lacking []bgp.Family
	some := false
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		own, theirs := nodeAddress(b.node, f), nodeAddress(node, f)
		switch {
		case own.IsValid() && theirs.IsValid():
			some = b.planMeshSession(m, node, other, f) || some
		case own.IsValid() || theirs.IsValid():
			lacking = append(lacking, f)
		}
	}
	for _, f := range lacking {
		if some {
			b.refuse(Ref{"Node", node.Name}, f.String(), v1alpha1.ReasonNoAddress,
				fmt.Sprintf("no mesh session of %s: one of the two nodes has no InternalIP of that family", f))
		}
	}
}

func (b *builder) meshPassword() (bgp.Secret, bool) {
	ref := b.speaker.Spec.Topology.PasswordSecretRef
	if ref == nil {
		return "", true
	}
	value, reason, message := b.password(ref.Name)
	if reason != "" {
		b.refuse(Ref{"BGPSpeaker", b.speaker.Name}, "mesh", reason, message)
	}
	if value == "" {
		b.withhold(v1alpha1.MeshPeer, netip.Addr{}, message)
	}
	return value, value != ""
}

// planMeshSession adds one session; false when the scope leaves it out or another peer has
// its address.
func (b *builder) planMeshSession(m mesh, node *snapshot.Node, other part, f bgp.Family) bool {
	own, theirs := nodeAddress(b.node, f), nodeAddress(node, f)
	network, onLink := b.networkOf(theirs)
	if !onLink && b.speaker.Spec.Topology.Scope == v1alpha1.ScopeSameSubnet {
		return false // learned from the routers: what the scope asks for, so nothing is refused
	}
	ref := Ref{"Node", node.Name}
	if taken := b.targetAt(theirs); taken != nil {
		b.refuse(ref, theirs.String(), v1alpha1.ReasonConflicted, fmt.Sprintf("no mesh session: %s names the same address", taken.ref))
		return false
	}
	peer := bgp.Peer{
		Name:    MeshPeerName(node.Name, theirs),
		Address: theirs,
		Port:    other.listenPort,
		ASN:     b.asn,
		// Two ends that both dial collide and lose half a minute; so the greater address waits.
		Passive:         own.Compare(theirs) > 0,
		LocalAddress:    own,
		Password:        m.password,
		HoldTime:        meshHoldTime,
		Keepalive:       meshHoldTime / 3,
		ConnectRetry:    meshConnectRetry,
		Families:        []bgp.Family{f},
		GracefulRestart: true,
		ClusterID:       m.own.clusterID,
		Reflection:      m.own.reflection(other),
		Import:          m.imports,
	}
	if f == bgp.IPv4Unicast {
		peer.NextHops.IPv4 = own
	} else {
		peer.NextHops.IPv6 = own
	}
	if onLink {
		b.noteCarrier(&peer, network)
	}
	b.targets = append(b.targets, target{peer: peer, ref: ref, mesh: true, reflector: other.reflector})
	return true
}

// MeshPeerName returns the name of the mesh session with a node at an address.
func MeshPeerName(node string, addr netip.Addr) string {
	return v1alpha1.MeshPeer + "/" + node + "/" + addr.String()
}

// meshImports returns what the other nodes may tell this one: the pod CIDRs, those prefixes that
// a BGPAdvertisement has nodes tell each other, each by itself, and addresses of Services where
// this node passes them on.
func (b *builder) meshImports() []bgp.PrefixRule {
	var written []bgp.PrefixRule
	for _, ad := range b.plan.Accepted.Advertisements {
		if ad.Spec.To.Mesh == nil || !*ad.Spec.To.Mesh {
			continue
		}
		for _, p := range ad.Spec.Prefixes {
			if prefix, err := netip.ParsePrefix(p.Prefix); err == nil {
				written = append(written, bgp.PrefixRule{Prefix: prefix, MinLength: uint8(prefix.Bits()), MaxLength: uint8(prefix.Bits())})
			}
		}
	}
	if b.relaysServices() {
		written = append(written, b.serviceRules()...)
	}
	if len(written) == 0 {
		return b.pods // shared by thousands of peers
	}
	rules := slices.Concat(b.pods, written)
	slices.SortFunc(rules, compareRules)
	return slices.Compact(rules)
}

func compareRules(a, b bgp.PrefixRule) int {
	return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.MinLength, b.MinLength), cmp.Compare(a.MaxLength, b.MaxLength))
}
