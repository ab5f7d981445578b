package main

import (
	"fmt"
	"slices"
	"strings"
)

// alone are the fields of an object that concerns the first node only.
const alone = `nodeSelector: {matchLabels: {reflects: "true"}}`

// severalFeatures are about routers that come by themselves, several paths to a prefix, and
// what we tell on behalf of others.
var severalFeatures = []feature{
	{
		name:  "listenRange",
		ours:  ours{peer: []string{"address: ", "listenRange: 192.0.2.0/28"}},
		check: comesUp(only4),
	},
	{
		name:   "listenRange, with MD5",
		ours:   ours{peer: []string{"address: ", "listenRange: 192.0.2.0/28", "passwordSecretRef: {name: router}"}, more: secret("one")},
		theirs: one(func(s *session) { s.password = "one" }),
		check:  comesUp(only4),
	},
	{
		name: "ADD-PATH (RFC 7911), received",
		ours: ours{
			speaker: []string{alone},
			peer:    []string{alone, "addPaths: {receive: true}"},
			// Of another AS, so that its paths hold no number of ours.
			more: nodeObject("node-2", secondIPv4, second4) + "---\n" +
				object("BGPSpeaker", "second", `nodeSelector: {matchLabels: {name: node-2}}, localASN: 64513, topology: {type: None}, routerID: NodeNameHash`) + "---\n" +
				object("BGPPeer", "second", `nodeSelector: {matchLabels: {name: node-2}}, address: 192.0.2.1, asn: 65001, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}`),
		},
		theirs: func(r *router) {
			withSecond(r)
			r.passedOn = nil
			r.sessions[0].severalPaths, r.sessions[1].asn = true, 64513
			r.routes = append(r.routes, route{prefix: second4})
		},
		wires: secondNode,
		check: comesUp(only4, func(c *cell) error { return c.capable("add-path receive") }, func(c *cell) error { return c.arrivedBy(second4, 2) }),
	},
	{
		name:   "ADD-PATH (RFC 7911), sent: our own prefixes, with identifiers",
		ours:   ours{peer: []string{"addPaths: {sendMax: 2}"}},
		theirs: one(func(s *session) { s.severalPaths = true }),
		check:  comesUp(only4, func(c *cell) error { return c.capable("add-path send") }),
	},
	{
		name:  "fromMesh, next hop Self",
		ours:  ours{speaker: []string{"topology: {type: FullMesh}"}, peer: []string{alone}, advertisement: []string{alone, "podCIDRs: {}", "fromMesh: {podCIDRs: true}"}, more: nodeObject("node-2", secondIPv4, second4)},
		wires: secondNode,
		check: comesUp(only4, func(c *cell) error {
			return c.heard(second4, func(p path) bool { return p.nextHop == nodeIPv4 && p.asPath == "64512" })
		}),
	},
	{
		name:  "fromMesh, next hop Unchanged",
		ours:  ours{speaker: []string{"topology: {type: FullMesh}"}, peer: []string{alone}, advertisement: []string{alone, "podCIDRs: {}", "fromMesh: {podCIDRs: true}", "nextHop: Unchanged"}, more: nodeObject("node-2", secondIPv4, second4)},
		wires: secondNode,
		check: comesUp(nil, func(c *cell) error {
			return c.heard(second4, func(p path) bool { return p.nextHop == secondIPv4 && p.asPath == "64512" })
		}),
	},
	{
		name:     "prefixes, as they are written",
		scripted: true,
		ours:     ours{advertisement: []string{"podCIDRs: {}", "prefixes: [{prefix: 203.0.113.0/24, force: true}]"}},
		check:    comesUp(only4, func(c *cell) error { return c.heard("203.0.113.0/24", nil) }),
	},
}

// capable reports whether both sides have announced a capability.
func (c *cell) capable(capability string) error {
	s, err := c.session()
	if err == nil && !slices.Contains(s.Capabilities, capability) {
		err = fmt.Errorf("no %s among %v", capability, s.Capabilities)
	}
	return err
}

// arrivedBy reports whether the router has told a prefix by that many paths.
func (c *cell) arrivedBy(prefix string, paths int) error {
	out, err := c.node.Run(c.ctx, "gobgp", "neighbor", routerIPv4, "adj-in")
	if err == nil && strings.Count(out, prefix) != paths {
		err = fmt.Errorf("%s has not come by %d paths:\n%s", prefix, paths, out)
	}
	return err
}
