package main

import "fmt"

const (
	secondIPv4 = "192.0.2.12"
	second4    = "10.244.2.0/24" // the pods of the second node
)

func nodeObject(name, address, pods string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {name: %s}}\nspec: {podCIDRs: [%s]}\nstatus: {addresses: [{type: InternalIP, address: %s}]}\n", name, name, pods, address)
}

// secondNode adds a node with an agent of its own.
func secondNode(c *cell) {
	second := c.Node("node-2")
	c.lan.Attach(second, secondIPv4+"/24")
	c.others = append(c.others, second)
}

// reflectorFeatures are about RFC 4456.
var reflectorFeatures = []feature{
	{
		name:  "route reflection (RFC 4456): we are a client of the router's",
		ours:  ours{peer: []string{internalPeer, "families: [IPv4Unicast]"}, more: nodeObject("node-2", secondIPv4, second4)},
		wires: secondNode,
		theirs: func(r *router) {
			internal(r)
			r.sessions[0].client = true
			withSecond(r)
			r.passedOn = nil
		},
		check: comesUp(nil, func(c *cell) error { return c.installed(second4, secondIPv4) }),
	},
	{
		name: "route reflection (RFC 4456): we reflect to it, a node of the mesh",
		ours: ours{
			speaker: []string{`topology: {type: RouteReflectors, reflectors: {matchLabels: {reflects: "true"}}}`},
			peer:    []string{`nodeSelector: {matchLabels: {none: "true"}}`}, // the mesh's session alone
			more:    nodeObject("node-2", secondIPv4, second4) + "---\n" + nodeObject(routerName, routerIPv4, theirs4),
		},
		wires:  secondNode,
		theirs: internal,
		check: comesUp(nil, func(c *cell) error {
			return c.heard(second4, func(p path) bool { return p.nextHop == secondIPv4 })
		}, func(c *cell) error { return c.installed(theirs4, routerIPv4) }),
	},
}
