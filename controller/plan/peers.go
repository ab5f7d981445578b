package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// target is a session of this node and what an advertisement may select it by.
type target struct {
	peer   bgp.Peer
	ref    Ref
	labels labels.Set // of the BGPPeer
	mesh   bool

	reflector bool // for this node
}

func (b *builder) planPeers() {
	var peers []*v1alpha1.BGPPeer
	for _, name := range slices.Sorted(maps.Keys(b.snap.Peers)) {
		p, ok := usable(b, "BGPPeer", b.snap.Peers[name], b.prev.Peers, b.fallback.Peers)
		if !ok {
			b.withhold(name, netip.Addr{}, "the BGPPeer is invalid")
			continue
		}
		b.plan.Accepted.Peers[name] = p
		if selects(p.Spec.NodeSelector, b.node.Labels) {
			peers = append(peers, p)
		}
	}
	oldestFirst(peers)
	for _, p := range peers {
		b.planPeer(p)
	}
}

// planPeer adds the sessions of one BGPPeer, or refuses them.
func (b *builder) planPeer(p *v1alpha1.BGPPeer) {
	if p.Spec.DefaultGateway != nil {
		b.planGateways(p)
		return
	}
	if p.Spec.Interface != "" {
		b.planInterface(p)
		return
	}
	if p.Spec.ListenRange != "" {
		b.listening = append(b.listening, p)
		return
	}
	if b.planSession(p, zoned(p, netip.MustParseAddr(p.Spec.Address).Unmap())) {
		b.judge(Ref{"BGPPeer", p.Name}, p.Generation, p.NotImplemented())
	}
}

// planSession adds one session, or refuses it and says so.
func (b *builder) planSession(p *v1alpha1.BGPPeer, address netip.Addr) (added bool) {
	ref := Ref{"BGPPeer", p.Name}
	var local netip.Addr
	if p.Spec.LocalAddress != "" {
		local = netip.MustParseAddr(p.Spec.LocalAddress).Unmap()
		if !slices.Contains(b.local.Addresses, local) {
			return false // only nodes that have the address use the peer
		}
	}
	withhold := func(reason, message string) {
		b.withhold(p.Name, address, message)
		b.verdictIfValid(ref, p.Generation, reason, message)
	}
	if isLinkLocal(address) {
		if reason, message := b.linkFails(p, address); reason != "" {
			withhold(reason, message)
			return false
		}
	} else if p.Spec.LocalInterface != "" {
		if local = b.local.Sources[p.Spec.LocalInterface].For(bgp.FamilyOf(address)); !local.IsValid() {
			withhold(v1alpha1.ReasonNoAddress, fmt.Sprintf("the interface %s of this node has no lasting address of %s, or there is no such interface",
				p.Spec.LocalInterface, bgp.FamilyOf(address)))
			return false
		}
	}
	if reason, message := b.taken(address); reason != "" {
		b.verdictIfValid(ref, p.Generation, reason, message)
		return false
	}
	peer := b.sessionOf(p, address, local)
	if len(peer.Families) == 0 {
		withhold(v1alpha1.ReasonNoAddress, "this node has no InternalIP of any of the peer's families")
		return false
	}
	if p.Spec.PasswordSecretRef != nil {
		password, reason, message := b.password(p.Spec.PasswordSecretRef.Name)
		if password == "" {
			withhold(reason, message)
			return false
		}
		if reason != "" {
			b.verdictIfValid(ref, p.Generation, reason, message)
		}
		peer.Password = password
	}
	b.setNextHops(&peer, ref)
	b.targets = append(b.targets, target{peer: peer, ref: ref, labels: p.Labels})
	return true
}

// taken says why the address cannot be that of a peer; "" when it can.
func (b *builder) taken(address netip.Addr) (reason, message string) {
	if slices.Contains(b.local.Addresses, address) || isLinkLocal(address) && b.local.Links[address.Zone()].Addr == address.WithZone("") {
		return ReasonPeerIsSelf, fmt.Sprintf("%s is an address of this node itself; narrow the nodeSelector or correct the address", address)
	}
	if other := b.targetAt(address); other != nil {
		return v1alpha1.ReasonConflicted, fmt.Sprintf("%s is already the address of the older %s on this node", address, other.ref)
	}
	return b.twin(address)
}

// sessionOf renders what the object says of the session, but for password and next hops.
func (b *builder) sessionOf(p *v1alpha1.BGPPeer, address, local netip.Addr) bgp.Peer {
	peer := bgp.Peer{
		Name:            p.Name + "/" + address.String(),
		Address:         address,
		Port:            uint16(*p.Spec.Port),
		ASN:             b.asn,
		LocalAddress:    local,
		Passive:         p.Spec.Passive != nil && *p.Spec.Passive,
		Families:        b.peerFamilies(p),
		GracefulRestart: p.Spec.GracefulRestart == nil || p.Spec.GracefulRestart.Enabled == nil || *p.Spec.GracefulRestart.Enabled,
		Import:          b.importRules(p),
	}
	switch { // otherwise asnType Internal
	case p.Spec.ASN != nil:
		peer.ASN = uint32(*p.Spec.ASN)
	case p.Spec.ASNType == v1alpha1.ASNExternal:
		peer.ASN, peer.AnyExternal = 0, true
	}
	if p.Spec.EBGPMultihopTTL != nil {
		peer.EBGPMultihopTTL = uint8(*p.Spec.EBGPMultihopTTL)
	}
	setTimers(&peer, &p.Spec.Timers)
	setOptions(&peer, &p.Spec)
	return peer
}

// setOptions renders what few peers have.
func setOptions(peer *bgp.Peer, spec *v1alpha1.BGPPeerSpec) {
	if spec.LocalASN != nil {
		peer.LocalASN = uint32(*spec.LocalASN)
	}
	if spec.TTLSecurityHops != nil {
		peer.TTLSecurityHops = uint8(*spec.TTLSecurityHops)
	}
	peer.ExtendedNextHop = spec.Interface != "" || spec.ExtendedNextHop != nil && *spec.ExtendedNextHop
	if paths := spec.AddPaths; paths != nil {
		peer.AddPaths = bgp.AddPaths{Receive: *paths.Receive, SendMax: uint8(*paths.SendMax)}
	}
	if spec.AllowOwnAS != nil {
		peer.AllowOwnAS = uint8(*spec.AllowOwnAS)
	}
	if spec.Import.LocalPref != nil {
		pref := uint32(*spec.Import.LocalPref)
		peer.ImportLocalPref = &pref
	}
	if spec.Import.MaxPrefixes != nil {
		peer.Limit.Max = int(*spec.Import.MaxPrefixes)
		peer.Limit.Shutdown = spec.Import.MaxPrefixesAction == v1alpha1.MaxPrefixesShutdown
		if again := spec.Import.MaxPrefixesRestartSeconds; again != nil {
			peer.Limit.Restart = time.Duration(*again) * time.Second
		}
	}
	if spec.AdminState == v1alpha1.AdminDown {
		peer.Down, peer.Shutdown, peer.ShutdownMessage = "adminState is Down", true, spec.AdminMessage
		if spec.AdminMessage != "" {
			peer.Down += ": " + spec.AdminMessage
		}
	}
}

func (b *builder) withhold(object string, address netip.Addr, message string) {
	b.plan.Withheld = append(b.plan.Withheld, Withheld{object, address, message})
}

func (b *builder) targetAt(address netip.Addr) *target {
	for i := range b.targets {
		if b.targets[i].peer.Address == address {
			return &b.targets[i]
		}
	}
	return nil
}

// password returns the session password that a Secret holds. Without one, value is empty, and
// the session must stay down: it is never tried without its password. Where a Secret that
// was good is deleted or spoilt, its last value stays, and reason and message say so.
func (b *builder) password(secret string) (value bgp.Secret, reason, message string) {
	p, ok := b.snap.Passwords[secret]
	switch {
	case !ok:
		message = fmt.Sprintf("Secret %s does not exist in the agent's namespace; create it with key %q", secret, snapshot.PasswordKey)
	case p.Problem != "":
		message = fmt.Sprintf("Secret %s %s", secret, p.Problem)
	default:
		b.plan.Accepted.Passwords[secret] = p.Value
		return p.Value, "", ""
	}
	if last, known := b.prev.Passwords[secret]; known {
		b.plan.Accepted.Passwords[secret] = last
		return last, v1alpha1.ReasonPasswordUnavailable, message + "; the session stays with the last password"
	}
	return "", v1alpha1.ReasonPasswordUnavailable, message + "; the session stays down"
}

func setTimers(peer *bgp.Peer, timers *v1alpha1.PeerTimers) {
	hold := *timers.HoldTimeSeconds
	keepalive := hold / 3
	if timers.KeepaliveTimeSeconds != nil {
		keepalive = *timers.KeepaliveTimeSeconds
	}
	peer.HoldTime = time.Duration(hold) * time.Second
	peer.Keepalive = time.Duration(keepalive) * time.Second
	peer.ConnectRetry = time.Duration(*timers.ConnectRetrySeconds) * time.Second
}

// peerFamilies returns the families of a peer, sorted: those it names, else those the node has.
func (b *builder) peerFamilies(p *v1alpha1.BGPPeer) []bgp.Family {
	if len(p.Spec.Families) == 0 {
		return b.nodeFamilies()
	}
	var out []bgp.Family
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		if slices.Contains(p.Spec.Families, v1alpha1.Family(f.String())) {
			out = append(out, f)
		}
	}
	return out
}

func (b *builder) nodeFamilies() []bgp.Family {
	var out []bgp.Family
	for _, f := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		if nodeAddress(b.node, f).IsValid() {
			out = append(out, f)
		}
	}
	return out
}

// importRules returns what the peer may tell us: its own list, else the cluster's pod CIDRs.
func (b *builder) importRules(p *v1alpha1.BGPPeer) []bgp.PrefixRule {
	if p.Spec.Import.Allow == nil {
		return b.pods
	}
	rules := []bgp.PrefixRule{}
	for _, allow := range *p.Spec.Import.Allow {
		if prefix, least, most, err := allow.Bounds(); err == nil { // validation saw to it
			rules = append(rules, bgp.PrefixRule{Prefix: prefix, MinLength: least, MaxLength: most})
		}
	}
	return rules
}

// setNextHops chooses what we announce as next hop to the peer. Single hop: our address in
// the network shared with the peer, for the other family one on the same link. Multihop:
// the Node's addresses.
func (b *builder) setNextHops(peer *bgp.Peer, ref Ref) {
	network, onLink := b.networkOf(peer.Address)
	switch {
	case isLinkLocal(peer.Address):
		network, onLink = b.networkOver(peer.Address.Zone())
	case !onLink:
		network, onLink = b.networkOfGateway(peer.Address)
	}
	switch {
	case onLink:
		b.nextHopsOnLink(peer, network)
		b.noteCarrier(peer, network)
	case peer.EBGPMultihopTTL > 0 || peer.TTLSecurityHops > 1 || peer.Internal(b.asn):
		peer.NextHops = bgp.NextHops{IPv4: nodeAddress(b.node, bgp.IPv4Unicast), IPv6: nodeAddress(b.node, bgp.IPv6Unicast)}
	default:
		b.refuse(ref, peer.Address.String(), ReasonPeerNotOnLink,
			"the peer is on none of this node's connected networks, so a single-hop session cannot come up; set ebgpMultihopTTL, or correct the address")
		return
	}
	for _, f := range peer.Families {
		if !peer.NextHops.For(f).IsValid() && !peer.Lends(f) {
			b.refuse(ref, f.String(), ReasonNoNextHop, fmt.Sprintf(
				"nothing of %s is advertised to the peer: this node has no address of that family on the link to it", f))
		}
	}
}

// noteCarrier ends the session with a neighbor at once when its link leads nowhere, rather
// than when the hold time is over.
func (b *builder) noteCarrier(peer *bgp.Peer, network Network) {
	if b.local.LinksDown[network.Link] && peer.EBGPMultihopTTL == 0 && peer.TTLSecurityHops <= 1 && peer.Down == "" {
		peer.Down = "the link to the peer has no carrier"
	}
}

func (b *builder) nextHopsOnLink(peer *bgp.Peer, network Network) {
	if isLinkLocal(peer.Address) {
		peer.NextHops = b.nextHopsOverLink(network)
		return
	}
	own := network.Addr
	if peer.LocalAddress.IsValid() && bgp.FamilyOf(peer.LocalAddress) == bgp.FamilyOf(peer.Address) {
		own = peer.LocalAddress
	}
	other := b.addressOn(network.Link, !own.Is4())
	if own.Is4() {
		peer.NextHops = bgp.NextHops{IPv4: own, IPv6: other}
	} else {
		peer.NextHops = bgp.NextHops{IPv4: other, IPv6: own}
	}
}

// networkOf returns the connected network that holds the address: the most specific one, of
// equal ones the first.
func (b *builder) networkOf(addr netip.Addr) (Network, bool) {
	return networkOf(b.local.Networks, addr)
}

func networkOf(networks []Network, addr netip.Addr) (best Network, ok bool) {
	for _, n := range networks {
		if n.Prefix.Contains(addr.WithZone("")) && (!ok || n.Prefix.Bits() > best.Prefix.Bits()) {
			best, ok = n, true
		}
	}
	return best, ok
}

// addressOn returns our address of a family on a link that is not link-local; the zero Addr when there is none.
func (b *builder) addressOn(link int, v4 bool) netip.Addr {
	for _, n := range b.local.Networks {
		if n.Link == link && n.Addr.Is4() == v4 && !n.Addr.IsLinkLocalUnicast() {
			return n.Addr
		}
	}
	return netip.Addr{}
}
