package main

import (
	"errors"
	"fmt"
	"strings"
)

const elsewhere = "198.51.100.1" // an address on no link

// sessionFeatures are about how a session comes to be.
var sessionFeatures = []feature{
	{
		name:     "eBGP",
		scripted: true,
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return p.asPath == "64512" })
		}),
	},
	{
		name:     "iBGP",
		scripted: true,
		ours:     ours{peer: []string{internalPeer}},
		theirs:   internal,
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return p.asPath == "" && p.localPref == 100 })
		}),
	},
	{
		name:     "AS numbers above 65535 (RFC 6793)",
		scripted: true,
		ours:     ours{speaker: []string{"localASN: 4200000002"}, peer: []string{"asn: 4200000001"}},
		theirs: func(r *router) {
			r.asn, r.sessions[0].asn = 4200000001, 4200000002
		},
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return p.asPath == "4200000002" })
		}),
	},
	{
		name:     "localASN",
		scripted: true,
		ours:     ours{peer: []string{"localASN: 65100"}},
		theirs:   one(func(s *session) { s.asn = 65100 }),
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return strings.HasPrefix(p.asPath, "65100") })
		}),
	},
	{
		name:     "asnType: External",
		scripted: true,
		ours:     ours{peer: []string{"asn: ", "asnType: External"}},
		check:    comesUp(only4),
	},
	{
		name:     "asnType: External refuses our own AS",
		scripted: true,
		ours:     ours{peer: []string{"asn: ", "asnType: External"}},
		theirs:   internal,
		check:    staysDown("our own, and asnType is External"),
	},
	{
		name:  "passive: we wait",
		ours:  ours{peer: []string{"passive: true"}},
		check: neverDials,
	},
	{
		name:   "passive: the peer waits",
		theirs: one(func(s *session) { s.passive = true }),
		check:  comesUp(only4),
	},
	{
		name:   "port: the peer's is 1790",
		ours:   ours{peer: []string{"port: 1790"}},
		theirs: func(r *router) { r.port, r.sessions[0].passive = 1790, true },
		check:  comesUp(only4),
	},
	{
		name:   "listenPort: ours is 1790",
		ours:   ours{speaker: []string{"listenPort: 1790"}, peer: []string{"passive: true"}},
		theirs: one(func(s *session) { s.port = 1790 }),
		check:  comesUp(only4, acceptedAt1790),
	},
	{
		name:   "localAddress",
		ours:   ours{peer: []string{"localAddress: 192.0.2.12"}},
		theirs: one(func(s *session) { s.address = "192.0.2.12" }),
		wires:  func(c *cell) { c.node.AddAddress("lan", "192.0.2.12/24") },
		check: comesUp(nil, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return p.nextHop == "192.0.2.12" })
		}),
	},
	{
		name:   "localInterface",
		ours:   ours{peer: []string{"localInterface: own", "ebgpMultihopTTL: 2"}},
		theirs: one(func(s *session) { s.address, s.hops = "198.51.100.11", 2 }),
		wires: func(c *cell) {
			own := c.Host("own")
			link := c.Link(c.node, own)
			c.node.AddAddress(link.A.Interface, "198.51.100.11/32")
			c.routerReaches("198.51.100.11")
		},
		check: comesUp(nil, func(c *cell) error { return c.heard(ours4, nil) }),
	},
	{
		name:   "eBGP multihop",
		ours:   ours{peer: []string{"address: " + elsewhere, "ebgpMultihopTTL: 2"}},
		theirs: one(func(s *session) { s.source, s.hops = elsewhere, 2 }),
		wires:  routerElsewhere,
		check: comesUp(nil,
			func(c *cell) error { return c.heard(ours4, func(p path) bool { return p.nextHop == nodeIPv4 }) },
			func(c *cell) error { return c.installed(theirs4, routerIPv4) }),
	},
	{
		name:   "GTSM (RFC 5082)",
		ours:   ours{peer: []string{"ttlSecurityHops: 1"}},
		theirs: one(func(s *session) { s.gtsm = true }),
		check:  comesUp(only4),
	},
	{
		name:   "GTSM refuses a peer that sends a lower TTL",
		ours:   ours{peer: []string{"ttlSecurityHops: 1"}},
		theirs: one(func(s *session) { s.passive = true }),
		check:  staysDown("ttlSecurityHops"),
	},
	{
		name:   "hold time: the lower one counts, theirs",
		ours:   ours{peer: []string{"timers: {holdTimeSeconds: 30, connectRetrySeconds: 1}"}},
		theirs: one(func(s *session) { s.hold = 6 }),
		check:  comesUp(only4, agreedHold(6)),
	},
	{
		name:   "hold time: the lower one counts, ours",
		ours:   ours{peer: []string{"timers: {holdTimeSeconds: 6, keepaliveTimeSeconds: 2, connectRetrySeconds: 1}"}},
		theirs: one(func(s *session) { s.hold = 30 }),
		check:  comesUp(only4, agreedHold(6)),
	},
	{
		name: "defaultGateway",
		ours: ours{peer: []string{"address: ", "defaultGateway: {family: IPv4}"}},
		wires: func(c *cell) {
			c.node.Default(routerIPv4)
		},
		check: comesUp(only4),
	},
}

// routerReaches has the router send to an address of the node that is on no link.
func (c *cell) routerReaches(address string) {
	if _, err := c.router.Run(c.ctx, "ip", "route", "add", address, "via", nodeIPv4); err != nil {
		c.broken = err
	}
}

// routerElsewhere gives the router an address behind itself, and the node the way there.
func routerElsewhere(c *cell) {
	c.router.AddAddress("lo", elsewhere+"/32")
	if _, err := c.node.Run(c.ctx, "ip", "route", "add", elsewhere, "via", routerIPv4); err != nil {
		c.broken = err
	}
}

func agreedHold(seconds int) func(*cell) error {
	return func(c *cell) error {
		theirs, err := c.view()
		if err != nil {
			return err
		}
		s, err := c.session()
		if err != nil {
			return err
		}
		if theirs.hold != seconds || int(s.HoldTimeSeconds) != seconds {
			return fmt.Errorf("the hold time is %d s for us and %d s for the router, want %d", s.HoldTimeSeconds, theirs.hold, seconds)
		}
		return nil
	}
}

// acceptedAt1790 reports whether the router has connected to that port of the node.
func acceptedAt1790(c *cell) error {
	out, err := c.node.Run(c.ctx, "ss", "-Htn", "state", "established", "sport", "=", ":1790")
	if err == nil && out == "" {
		err = errors.New("nobody has connected to port 1790 of the node")
	}
	return err
}

// neverDials keeps the router out for a while, in which the node must not try to connect to it either.
func neverDials(c *cell) error {
	nft := func(commands string) (string, error) { return c.node.Run(c.ctx, "nft", commands) }
	const syn = "tcp dport 179 tcp flags & (syn | ack) == syn"
	dials := func() error {
		out, err := nft("list counter inet watch dials")
		if err == nil && !strings.Contains(out, "packets 0 ") {
			err = fmt.Errorf("the node has dialled: %s", out)
		}
		return err
	}
	_, err := nft("add table inet watch; add counter inet watch dials; add chain inet watch out { type filter hook output priority 0; }; " +
		"add rule inet watch out " + syn + " counter name dials; " +
		"add table inet closed; add chain inet closed in { type filter hook input priority 0; }; add rule inet closed in " + syn + " drop")
	if err := errors.Join(err, c.start()); err != nil {
		return err
	}
	if err := c.stays(dials); err != nil {
		return err
	}
	if _, err := nft("delete table inet closed"); err != nil {
		return err
	}
	return errors.Join(c.until(func() error { return c.exchanged(ipv4) }), dials())
}
