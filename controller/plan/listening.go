package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
)

// listener is a BGPPeer that takes sessions with whoever connects from its listenRange.
type listener struct {
	peer *v1alpha1.BGPPeer
	bgp.Listen
}

func (l listener) ref() Ref { return Ref{"BGPPeer", l.peer.Name} }

// planListening adds a session with each router that has connected from a listenRange: that of
// the most specific one. An address that is another peer's, even of one that is not tried, for
// instance because its password is missing, is that one's alone, and a Node is never such a router.
func (b *builder) planListening() {
	var listeners []listener
	for _, p := range b.listening {
		if l, ok := b.listener(p, listeners); ok {
			listeners = append(listeners, l)
			b.plan.Desired.Listens = append(b.plan.Desired.Listens, l.Listen)
			b.judge(l.ref(), p.Generation, p.NotImplemented())
		}
	}
	others := map[netip.Addr]bool{}
	for _, w := range b.plan.Withheld {
		others[w.Address] = true
	}
	for _, addr := range b.local.Callers {
		if reason, _ := b.taken(addr); reason != "" || others[addr] || b.nodeAddresses[addr] {
			continue
		}
		if p := mostSpecific(listeners, addr); p != nil {
			b.planSession(p, addr)
		}
	}
}

func mostSpecific(listeners []listener, addr netip.Addr) *v1alpha1.BGPPeer {
	var best *listener
	for i, l := range listeners {
		if l.Prefix.Contains(addr.WithZone("")) && (best == nil || l.Prefix.Bits() > best.Prefix.Bits()) {
			best = &listeners[i]
		}
	}
	if best == nil {
		return nil
	}
	return best.peer
}

// listener returns what this node listens for on behalf of a BGPPeer, or refuses it and says so. The
// older ones are at work already.
func (b *builder) listener(p *v1alpha1.BGPPeer, older []listener) (listener, bool) {
	l := listener{peer: p, Listen: bgp.Listen{Prefix: netip.MustParsePrefix(p.Spec.ListenRange)}}
	if p.Spec.LocalAddress != "" && !slices.Contains(b.local.Addresses, netip.MustParseAddr(p.Spec.LocalAddress).Unmap()) {
		return l, false // only nodes that have the address use the peer
	}
	refuse := func(reason, message string) (listener, bool) {
		b.withhold(p.Name, netip.Addr{}, message)
		b.verdictIfValid(l.ref(), p.Generation, reason, message)
		return l, false
	}
	if *b.speaker.Spec.ListenPort == 0 {
		return refuse(v1alpha1.ReasonConflicted, "no router can connect: the BGPSpeaker of this node has listenPort 0; set it to 179")
	}
	if p.Spec.PasswordSecretRef != nil {
		password, reason, message := b.password(p.Spec.PasswordSecretRef.Name)
		if password == "" {
			return refuse(reason, message)
		}
		if reason != "" {
			b.verdictIfValid(l.ref(), p.Generation, reason, message)
		}
		l.Password = password
	}
	if message := b.contradicts(l, older); message != "" {
		return refuse(v1alpha1.ReasonConflicted, message)
	}
	return l, true
}

// contradicts says why a node cannot listen for a prefix beside what it does already; "" when it
// can. The kernel asks whoever connects for the password of the most specific prefix that has
// one: it knows of none that has none.
func (b *builder) contradicts(l listener, older []listener) string {
	for _, o := range older {
		inside, around := within(l.Prefix, o.Prefix), within(o.Prefix, l.Prefix)
		switch {
		case inside && around:
			return fmt.Sprintf("%s is already the listenRange of the older %s; write another one, or delete one of the two", l.Prefix, o.ref())
		case inside && o.Password != "" && l.Password == "", around && l.Password != "" && o.Password == "":
			return fmt.Sprintf("of %s and the listenRange %s of the older %s the wider one has a password and the other has none, which the kernel cannot tell apart; "+
				"give both a passwordSecretRef, or neither", l.Prefix, o.Prefix, o.ref())
		}
	}
	for _, t := range b.targets {
		if l.Password != "" && t.peer.Password == "" && t.peer.Passive && l.Prefix.Contains(t.peer.Address.WithZone("")) {
			return fmt.Sprintf("%s holds the address %s of %s, which connects to this node and has no password, and whoever connects from there would be asked for one; "+
				"give that a password too, or write a listenRange without it", l.Prefix, t.peer.Address, t.ref)
		}
	}
	return ""
}
