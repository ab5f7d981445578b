package main

import (
	"regexp"
	"slices"
)

// service is a Local Service with two ready endpoints on the node.
const service = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: LoadBalancer
  internalTrafficPolicy: Local
  externalTrafficPolicy: Local
  clusterIP: 10.96.0.80
  clusterIPs: [10.96.0.80]
  ipFamilies: [IPv4]
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints:
- {addresses: [10.244.1.2], nodeName: node}
- {addresses: [10.244.1.3], nodeName: node}
`

// attributeFeatures are about what goes with the prefixes that we tell.
var attributeFeatures = []feature{
	{
		name:     "communities (RFC 1997)",
		scripted: true,
		ours:     ours{advertisement: []string{`attributes: {communities: ["65000:1", "65000:2"]}`}},
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return slices.Equal(p.communities, []string{"65000:1", "65000:2"}) })
		}),
	},
	{
		name:     "communities by name: no-export",
		scripted: true,
		ours:     ours{advertisement: []string{`attributes: {communities: [no-export]}`}},
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return slices.Equal(p.communities, []string{"no-export"}) })
		}),
	},
	{
		name:     "large communities (RFC 8092), and none of ours beside them",
		scripted: true,
		ours:     ours{advertisement: []string{`attributes: {communities: ["65000:1:2"]}`}},
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return slices.Equal(p.large, []string{"65000:1:2"}) })
		}),
	},
	{
		name:     "MED",
		scripted: true,
		ours:     ours{advertisement: []string{"attributes: {med: 50}"}},
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return p.med == 50 })
		}),
	},
	{
		name:     "asPathPrepend",
		scripted: true,
		ours:     ours{advertisement: []string{"attributes: {asPathPrepend: 2}"}},
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return p.asPath == "64512 64512 64512" })
		}),
	},
	{
		name:     "localPref, told over iBGP",
		scripted: true,
		ours:     ours{peer: []string{internalPeer}, advertisement: []string{"attributes: {localPref: 200}"}},
		theirs:   internal,
		check: comesUp(only4, func(c *cell) error {
			return c.heard(ours4, func(p path) bool { return p.localPref == 200 })
		}),
	},
	{
		name: "link bandwidth, told over iBGP", // it is non-transitive, and some drop it from other ASes
		ours: ours{
			peer:          []string{internalPeer},
			advertisement: []string{"podCIDRs: {}", "services: {addressTypes: [ClusterIP]}", "attributes: {linkBandwidth: ByLocalEndpoints}"},
			more:          service,
		},
		theirs: internal,
		check: comesUp(only4, func(c *cell) error {
			return c.heard("10.96.0.80/32", func(p path) bool { return bandwidthAs[c.with.name].MatchString(p.bandwidth) })
		}),
	},
	{
		name:     "import.localPref",
		scripted: true,
		ours:     ours{peer: []string{"import: {localPref: 200}"}},
		check:    comesUp(only4, func(c *cell) error { return c.learned(theirs4, func(p path) bool { return p.localPref == 200 }) }),
	},
	{
		name:     "communities that the peer tells",
		scripted: true,
		theirs: func(r *router) {
			r.routes[0].communities, r.routes[0].large = []string{"65000:7"}, []string{"65000:7:8"}
		},
		check: comesUp(only4, func(c *cell) error {
			return c.learned(theirs4, func(p path) bool {
				return slices.Contains(p.communities, "65000:7") && slices.Contains(p.large, "65000:7:8")
			})
		}),
	},
	{
		name:     "MED that the peer tells",
		scripted: true,
		theirs:   func(r *router) { r.routes[0].med = 77 },
		check:    comesUp(only4, func(c *cell) error { return c.learned(theirs4, func(p path) bool { return p.med == 77 }) }),
	},
	{
		name:     "LOCAL_PREF that the peer tells, over iBGP",
		scripted: true,
		ours:     ours{peer: []string{internalPeer}},
		theirs: func(r *router) {
			internal(r)
			r.routes[0].localPref = 177
		},
		check: comesUp(only4, func(c *cell) error { return c.learned(theirs4, func(p path) bool { return p.localPref == 177 }) }),
	},
	{
		name:     "GRACEFUL_SHUTDOWN honoured (RFC 8326)",
		scripted: true,
		theirs:   func(r *router) { r.routes[0].communities = []string{"graceful-shutdown"} },
		check: comesUp(only4, func(c *cell) error {
			return c.learned(theirs4, func(p path) bool { return p.localPref == 1 && slices.Contains(p.communities, "graceful-shutdown") })
		}),
	},
}

// bandwidthAs is what the implementations print of two endpoints' worth of link bandwidth, 250,000 bytes a
// second.
var bandwidthAs = map[string]*regexp.Regexp{
	"FRR":      regexp.MustCompile(`LB:64512:250000\b`),
	"BIRD":     regexp.MustCompile(`\(unknown 0x4004, 64512, 1215570944\)`), // the number as IEEE 754 has it
	"GoBGP":    regexp.MustCompile(`\b250000\b`),
	"OpenBGPD": regexp.MustCompile(`0x4004000000000000`), // the type alone, of whatever amount
}
