package gobgp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

const (
	maxPassword    = 80   // TCP_MD5SIG_MAXKEYLEN
	maxRestartTime = 4095 // RFC 4724, section 3: twelve bits
)

// wanted is the part of a Desired that can work, by the address that GoBGP knows a peer by.
type wanted struct {
	peers  map[netip.Addr]bgp.Peer
	down   map[netip.Addr]bgp.Peer // those that are to have no session
	byName map[string]netip.Addr
	ads    map[netip.Prefix]*bgp.Audience

	listens []bgp.Listen
	relayed []bgp.Relay
	relays  []wantedRelay // the same, resolved
}

// check splits what can work from what cannot, and leaves out the peers that are to be down:
// GoBGP must not have them. GoBGP exits or ignores the input in several of
// the refused cases.
func check(want bgp.Desired) (wanted, []error) {
	w := wanted{
		peers:  make(map[netip.Addr]bgp.Peer, len(want.Peers)),
		down:   map[netip.Addr]bgp.Peer{},
		byName: make(map[string]netip.Addr, len(want.Peers)),
		ads:    make(map[netip.Prefix]*bgp.Audience, want.Advertisements.Len()),
	}
	var errs []error
	w.listens, errs = checkListen(want.Listens)
	zoneless := make(map[netip.Addr]string, len(want.Peers))
	for _, p := range want.Peers {
		p, err := checkPeer(p)
		if err == nil {
			err = w.claim(p, zoneless)
		}
		if err != nil {
			errs = append(errs, &bgp.PeerError{Peer: p.Name, Err: err})
			continue
		}
		zoneless[p.Address.WithZone("")] = p.Name
		if p.Down != "" {
			w.down[p.Address] = p
			continue
		}
		w.peers[p.Address] = p
		w.byName[p.Name] = p.Address
	}
	for _, r := range want.Relays {
		rules, err := normalRules(r.Prefixes)
		if err != nil {
			errs = append(errs, fmt.Errorf("passing on what %s tells: %w", strings.Join(r.From, ", "), err))
			continue
		}
		r.Prefixes = rules
		w.relayed = append(w.relayed, r)
	}
	for prefix, audience := range want.Advertisements.All() {
		if !advertisable(prefix) {
			errs = append(errs, &bgp.PrefixError{Prefix: prefix, Err: errors.New("not a valid prefix, or host bits are set")})
			continue
		}
		w.ads[prefix] = audience
	}
	return w, errs
}

// claim refuses a peer whose name or address is taken.
func (w wanted) claim(p bgp.Peer, zoneless map[netip.Addr]string) error {
	if _, taken := w.byName[p.Name]; taken {
		return errors.New("another peer has the same name")
	}
	// GoBGP's paths and events name their peer without its zone.
	if other, taken := zoneless[p.Address.WithZone("")]; taken {
		return fmt.Errorf("its address %s is that of peer %s", p.Address, other)
	}
	return nil
}

// checkPeer returns the peer in its normal form, or why it cannot work.
func checkPeer(p bgp.Peer) (bgp.Peer, error) {
	p.Address = p.Address.Unmap()
	p.LocalAddress = p.LocalAddress.Unmap()
	p.ClusterID = p.ClusterID.Unmap()
	p.NextHops = bgp.NextHops{IPv4: p.NextHops.IPv4.Unmap(), IPv6: p.NextHops.IPv6}
	if p.Name == "" {
		return p, errors.New("it has no name")
	}
	if p.ASN == 0 && !p.AnyExternal {
		return p, errors.New("its ASN is 0")
	}
	for _, check := range []func(bgp.Peer) error{checkAddresses, checkPassword, checkTimers, checkFamilies, checkNextHops, checkReflection} {
		if err := check(p); err != nil {
			return p, err
		}
	}
	rules, err := normalRules(p.Import)
	p.Import = rules
	return p, err
}

func checkAddresses(p bgp.Peer) error {
	switch a := p.Address; {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		return fmt.Errorf("%s is not the address of a peer", a)
	case a.IsLinkLocalUnicast() && a.Is6() && a.Zone() == "":
		return fmt.Errorf("its link-local address %s lacks the interface", a)
	}
	if l := p.LocalAddress; l.IsValid() && l.Is4() != p.Address.Is4() {
		return fmt.Errorf("its local address %s is of another family than %s", l, p.Address)
	}
	return nil
}

func checkPassword(p bgp.Peer) error {
	if len(p.Password) > maxPassword {
		return fmt.Errorf("its password is longer than the %d bytes that TCP MD5 allows", maxPassword)
	}
	// GoBGP cannot parse a zoned address where it sets the key: the key goes to "::" and
	// the session comes up unprotected.
	if p.Password != "" && p.Address.Zone() != "" {
		return errors.New("a password does not work together with a link-local address: GoBGP would silently ignore it")
	}
	return nil
}

func checkTimers(p bgp.Peer) error {
	if h := p.HoldTime; h != 0 && (h < 3*time.Second || h > 65535*time.Second) {
		return fmt.Errorf("its hold time %s is not from 3s to 65535s", h)
	}
	for name, d := range map[string]time.Duration{"hold time": p.HoldTime, "keepalive time": p.Keepalive, "connect retry time": p.ConnectRetry} {
		if d < 0 || d%time.Second != 0 {
			return fmt.Errorf("its %s %s is not in whole seconds", name, d)
		}
	}
	return nil
}

func checkFamilies(p bgp.Peer) error {
	if len(p.Families) == 0 {
		return errors.New("it has no address family")
	}
	for _, f := range p.Families {
		if f != bgp.IPv4Unicast && f != bgp.IPv6Unicast {
			return fmt.Errorf("%s is not an address family that is spoken", f)
		}
	}
	return nil
}

func checkNextHops(p bgp.Peer) error {
	if nh := p.NextHops.IPv4; nh.IsValid() && !nh.Is4() {
		return fmt.Errorf("its IPv4 next hop %s is not an IPv4 address", nh)
	}
	if nh := p.NextHops.IPv6; nh.IsValid() && (!nh.Is6() || nh.Is4In6()) {
		return fmt.Errorf("its IPv6 next hop %s is not an IPv6 address", nh)
	}
	return nil
}

// normalRules returns the rules with sensible bounds, sorted and without repetitions, so that
// equal meanings compare equal. GoBGP exits the process at a rule it cannot parse.
func normalRules(rules []bgp.PrefixRule) ([]bgp.PrefixRule, error) {
	var normal []bgp.PrefixRule
	for _, r := range rules {
		if !r.Prefix.IsValid() || r.Prefix.Addr().Is4In6() || r.Prefix.Addr().Zone() != "" {
			return nil, fmt.Errorf("the rule %s has no valid prefix", r)
		}
		r.Prefix = r.Prefix.Masked()
		r.MinLength = max(r.MinLength, uint8(r.Prefix.Bits()))
		r.MaxLength = min(r.MaxLength, uint8(r.Prefix.Addr().BitLen()))
		if r.MinLength <= r.MaxLength {
			normal = append(normal, r)
		}
	}
	slices.SortFunc(normal, comparePrefixRules)
	return slices.Compact(normal), nil
}

func comparePrefixRules(a, b bgp.PrefixRule) int {
	if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
		return c
	}
	if a.Prefix.Bits() != b.Prefix.Bits() {
		return a.Prefix.Bits() - b.Prefix.Bits()
	}
	if a.MinLength != b.MinLength {
		return int(a.MinLength) - int(b.MinLength)
	}
	return int(a.MaxLength) - int(b.MaxLength)
}

// checkConfig refuses what GoBGP would refuse less clearly.
func checkConfig(c bgp.Config) error {
	if c.ASN == 0 || c.ASN == internalASN {
		return fmt.Errorf("ASN %d cannot be used (RFC 7300, RFC 7607)", c.ASN)
	}
	if !c.RouterID.Is4() || c.RouterID.IsUnspecified() {
		return fmt.Errorf("%s is not a router ID: an IPv4 address in form, and not 0.0.0.0", c.RouterID)
	}
	if gr := c.GracefulRestart; gr.Enabled {
		if t := gr.RestartTime; t < time.Second || t > maxRestartTime*time.Second || t%time.Second != 0 {
			return fmt.Errorf("graceful restart time %s is not 1 to %d whole seconds", t, maxRestartTime)
		}
	}
	return nil
}
