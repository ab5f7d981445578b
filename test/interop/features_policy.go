package main

import (
	"fmt"
	"strconv"
	"strings"
)

// policyFeatures are about what is accepted, and about ending sessions.
var policyFeatures = []feature{
	{
		name:     "own AS in the path (all nodes in one AS), refused",
		scripted: true,
		ours:     ours{more: nodeObject("node-2", secondIPv4, second4)},
		theirs:   withSecond,
		wires:    secondNode,
		check: comesUp(only4,
			func(c *cell) error { return c.arrived(second4) },
			func(c *cell) error { return c.installed(second4) }),
	},
	{
		name:     "own AS in the path, withdrawn where it takes the place of a good path",
		scripted: true,
		ours:     ours{more: nodeObject("node-2", secondIPv4, second4)},
		theirs: func(r *router) {
			withSecond(r)
			r.routes = append(r.routes, route{prefix: second4})
		},
		wires: secondNode,
		check: comesUp(only4,
			func(c *cell) error { return c.installed(second4, routerIPv4) },
			func(c *cell) error { return c.router.tell(c.ctx, plainRouter().routes) },
			func(c *cell) error { return c.arrived(second4) },
			func(c *cell) error { return c.installed(second4) },
			(*cell).up),
	},
	{
		name:     "own AS in the path (all nodes in one AS), accepted with allowOwnAS: 1",
		scripted: true,
		ours:     ours{peer: []string{"allowOwnAS: 1"}, more: nodeObject("node-2", secondIPv4, second4)},
		theirs:   withSecond,
		wires:    secondNode,
		check: comesUp(only4,
			func(c *cell) error { return c.learned(second4, func(p path) bool { return p.asPath == "65001 64512" }) },
			(*cell).reachesSecond),
	},
	{
		name: "own AS replaced by the router (as-override)",
		ours: ours{more: nodeObject("node-2", secondIPv4, second4)},
		theirs: func(r *router) {
			withSecond(r)
			r.passedOn = nil
			for i := range r.sessions {
				r.sessions[i].overrideAS = true
			}
		},
		wires: secondNode,
		check: comesUp(only4,
			func(c *cell) error {
				return c.learned(second4, func(p path) bool { return !strings.Contains(p.asPath, "64512") })
			},
			(*cell).reachesSecond),
	},
	{
		name:     "maxPrefixes, Warn",
		scripted: true,
		ours:     ours{peer: []string{"import: {maxPrefixes: 2}"}},
		theirs:   manyRoutes,
		check: comesUp(only4, func(c *cell) error {
			return c.problem("MaxPrefixesExceeded", "more than 2 prefixes")
		}, (*cell).up),
	},
	{
		name:   "maxPrefixes, Shutdown, and recovery",
		ours:   ours{peer: []string{"import: {maxPrefixes: 2, maxPrefixesAction: Shutdown, maxPrefixesRestartSeconds: 5}"}},
		theirs: manyRoutes,
		check: inTurn(func(c *cell) error { return c.says("maxPrefixes is 2") },
			(*cell).down,
			func(c *cell) error {
				return c.theySay("aximum number of prefixes", "aximum Number of Prefixes", "code 6 (Cease) subcode 1", "max-prefix", "code 6 subcode 1")
			},
			func(c *cell) error { return c.router.tell(c.ctx, plainRouter().routes) },
			func(c *cell) error { return c.exchanged(ipv4) }),
	},
	{
		name: "Administrative Shutdown with words, ours (RFC 9003)",
		check: comesUp(only4,
			func(c *cell) error {
				return c.put(ours{peer: []string{"adminState: Down", "adminMessage: the rack moves"}})
			},
			(*cell).down,
			func(c *cell) error { return c.theySay("the rack moves") }),
	},
	{
		name: "Administrative Shutdown with words, theirs (RFC 9003)",
		check: comesUp(only4,
			func(c *cell) error { return c.router.shutdown(c.ctx, nodeIPv4, "back at noon") },
			(*cell).down,
			func(c *cell) error { return c.says("administrative shutdown", "back at noon") }),
	},
}

// withSecond has the router speak to the second node as well.
func withSecond(r *router) {
	other := r.sessions[0]
	other.address = secondIPv4
	r.sessions = append(r.sessions, other)
	r.passedOn = []route{{prefix: second4, path: []int{ourASN}}}
}

// reachesSecond reports whether the node's kernel has a route to the second node's pods, by
// way of the router or straight.
func (c *cell) reachesSecond() error {
	if c.installed(second4, secondIPv4) == nil {
		return nil
	}
	return c.installed(second4, routerIPv4)
}

func manyRoutes(r *router) {
	for i := range 3 {
		r.routes = append(r.routes, route{prefix: fmt.Sprintf("10.244.%d.0/24", 201+i)})
	}
}

// arrived reports whether the router's present path to a prefix is in our Adj-RIB-In with our
// own AS in it.
func (c *cell) arrived(prefix string) error {
	out, err := c.node.Run(c.ctx, "gobgp", "neighbor", routerIPv4, "adj-in")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, prefix) && strings.Contains(line, strconv.Itoa(ourASN)) {
			return nil
		}
	}
	return fmt.Errorf("%s has not come with our AS in its path:\n%s", prefix, out)
}

// problem reports whether the agent's status names a problem in these words.
func (c *cell) problem(reason, words string) error {
	status, err := c.status()
	if err != nil {
		return err
	}
	for _, p := range status.Problems {
		if p.Reason == reason && strings.Contains(p.Message, words) {
			return nil
		}
	}
	return fmt.Errorf("no problem %s that says %q: %+v", reason, words, status.Problems)
}

// theySay reports whether the router says one of these words of its session.
func (c *cell) theySay(words ...string) error {
	theirs, err := c.view()
	if err != nil {
		return err
	}
	for _, word := range words {
		if strings.Contains(theirs.text, word) {
			return nil
		}
	}
	return fmt.Errorf("the router does not say %q:\n%s", words, theirs.text)
}
