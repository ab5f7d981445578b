package main

import (
	"fmt"
	"strings"
)

// What the hosts of a cell's lab are called in the protocol.
const (
	routerIPv4 = "192.0.2.1"
	routerIPv6 = "2001:db8::1"
	routerID   = "192.0.2.1"
	nodeIPv4   = "192.0.2.11"
	nodeIPv6   = "2001:db8::11"

	// Where there are no others.
	routerLinkLocal = "fe80::1"
	nodeLinkLocal   = "fe80::b"

	ours4   = "10.244.1.0/24" // the node's pods
	ours6   = "fd00:10:244:1::/64"
	theirs4 = "10.244.200.0/24" // what the router tells
	theirs6 = "fd00:10:244:200::/64"

	insteadOfTheirs4 = "10.244.201.0/24" // what it tells later

	ourASN   = 64512
	theirASN = 65001
)

// ours is the agent's configuration: fields, written "field: value", that take the place of
// the plain ones or come on top.
type ours struct {
	speaker, peer, advertisement []string
	nodeOnlyIPv6                 bool
	more                         string // further manifests
}

// manifests is the agent's folder as one file.
func (o ours) manifests() string {
	addresses := fmt.Sprintf("{type: InternalIP, address: %s}, {type: InternalIP, address: %q}", nodeIPv4, nodeIPv6)
	if o.nodeOnlyIPv6 {
		addresses = fmt.Sprintf("{type: InternalIP, address: %q}", nodeIPv6)
	}
	docs := []string{
		fmt.Sprintf("apiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {reflects: \"true\"}}\nspec: {podCIDRs: [%s, %q]}\nstatus: {addresses: [%s]}\n", nodeName, ours4, ours6, addresses),
		object("BGPSpeaker", "default", with(o.speaker, "localASN: 64512", "topology: {type: None}", `cluster: {podCIDRs: [10.244.0.0/16, "fd00:10:244::/48"]}`, "routerID: NodeNameHash")),
		object("BGPPeer", "router", with(o.peer, "address: "+routerIPv4, "asn: 65001", "timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}")),
		object("BGPAdvertisement", "default", with(o.advertisement, "podCIDRs: {}")),
	}
	if o.more != "" {
		docs = append(docs, o.more)
	}
	return strings.Join(docs, "---\n")
}

func object(kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: bgp.fairway.dev/v1alpha1\nkind: %s\nmetadata: {name: %s}\nspec: {%s}\n", kind, name, spec)
}

// with is a spec of the plain fields, each replaced where fields has one of its name, and
// the rest of fields. "address: " without a value takes the field away.
func with(fields []string, plain ...string) string {
	var out []string
	given := map[string]bool{}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ":")
		given[name] = true
		if strings.TrimSpace(value) != "" {
			out = append(out, field)
		}
	}
	for _, field := range plain {
		if name, _, _ := strings.Cut(field, ":"); !given[name] {
			out = append(out, field)
		}
	}
	return strings.Join(out, ", ")
}

// plainRouter is what the agent of plain ours has as its peer.
func plainRouter() router {
	return router{
		asn: theirASN,
		sessions: []session{{
			address: nodeIPv4, asn: ourASN, hold: 9, families: []family{ipv4}, restart: 60,
		}},
		routes: []route{{prefix: theirs4}},
	}
}

// secret is the Secret of a password for the peer.
func secret(password string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: router}\nstringData: {password: " + password + "}\n"
}
