package main

var overIPv6 = `address: "` + routerIPv6 + `"`

// familyFeatures are about what sessions carry.
var familyFeatures = []feature{
	{
		name:     "IPv4 over IPv4",
		scripted: true,
		ours:     ours{peer: []string{"families: [IPv4Unicast]"}},
		check:    comesUp(only4),
	},
	{
		name:     "IPv6 over IPv6",
		scripted: true,
		ours:     ours{peer: []string{overIPv6, "families: [IPv6Unicast]"}},
		theirs:   func(r *router) { overFamily(r, ipv6) },
		check:    comesUp(only6),
	},
	{
		name:     "IPv4 and IPv6 over IPv4",
		scripted: true,
		theirs:   bothFamilies(nodeIPv4),
		check:    comesUp(both),
	},
	{
		name:   "IPv4 and IPv6 over IPv6",
		ours:   ours{peer: []string{overIPv6}},
		theirs: bothFamilies(nodeIPv6),
		check:  comesUp(both),
	},
	{
		name: "IPv4 over IPv6 next hops (RFC 8950)",
		ours: ours{peer: []string{overIPv6, "extendedNextHop: true", "families: [IPv4Unicast, IPv6Unicast]"}, nodeOnlyIPv6: true},
		theirs: func(r *router) {
			bothFamilies(nodeIPv6)(r)
			r.sessions[0].extendedNextHop = true
		},
		check: comesUp(only6, func(c *cell) error { return c.carried(ipv4, nodeIPv6, routerIPv6) }),
	},
}

func bothFamilies(node string) func(*router) {
	return func(r *router) {
		r.sessions[0].address, r.sessions[0].families = node, both
		r.routes = append(r.routes, route{prefix: theirs6})
	}
}
