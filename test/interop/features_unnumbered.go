package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// unnumberedFeatures are about sessions for which we name the interface alone.
var unnumberedFeatures = []feature{
	{
		name:   "interface: unnumbered, IPv4 (RFC 8950) and IPv6 with link-local next hops",
		ours:   ours{peer: []string{"address: ", "asn: ", "interface: lan", "asnType: External"}},
		theirs: unnumbered,
		wires:  linkLocalOnly,
		check:  inTurn((*cell).exchangedOverLink),
	},
}

func unnumbered(r *router) {
	bothFamilies(nodeLinkLocal)(r)
	r.sessions[0].link, r.sessions[0].extendedNextHop = "lan", true
}

// linkLocalOnly leaves each end of the link one address, in place of those that the kernel makes up
// as well.
func linkLocalOnly(c *cell) {
	run := func(on func(context.Context, ...string) (string, error), line string) {
		_, err := on(c.ctx, strings.Fields(line)...)
		c.broken = errors.Join(c.broken, err)
	}
	run(c.node.Run, "ip addr flush dev lan")
	run(c.node.Run, "ip addr add "+nodeLinkLocal+"/64 dev lan nodad")
	run(c.router.Run, "ip addr flush dev lan")
	run(c.router.Run, "ip addr add "+routerLinkLocal+"/64 dev lan nodad")
	c.node.AddAddress("lo", nodeIPv4+"/32", nodeIPv6+"/128")
	// gobgpd looks for its other side when it starts, among what the kernel knows to be on the
	// link. This is how its documentation has the kernel know.
	run(c.router.Run, "ping -c1 ff02::1%lan")
}

// exchangedOverLink reports whether the router was found, and routes of both families have gone
// both ways with the link-local addresses as next hops.
func (c *cell) exchangedOverLink() error {
	if err := c.up(); err != nil {
		return err
	}
	s, err := c.session()
	if err == nil && s.Address != routerLinkLocal+"%lan" {
		err = fmt.Errorf("the session is with %s", s.Address)
	}
	return errors.Join(err, c.carried(ipv4, nodeLinkLocal, routerLinkLocal), c.carried(ipv6, nodeLinkLocal, routerLinkLocal))
}
