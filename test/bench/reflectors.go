package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairway-bgp/fairway/test/lab"
)

// reflector is a node of the cluster that reflects, and whose speaker is an FRR router. It
// hears the agent, as any reflector would; what the other clients would have told it, which is
// no part of a plan, it does not tell.
type reflector struct {
	*lab.FRR
	node string // name of the Node
}

// agentAddresses are the node's InternalIPs, which the agent speaks from: they are those of
// the link to tor-a.
var agentAddresses = map[string]string{"ipv4": "192.0.2.1", "ipv6": "2001:db8:a::1"}

// addReflector links a reflector to the node, which is its way to all of the node's addresses.
func (s *site) addReflector(node, ipv4, ipv6 string) {
	first := func(cidr string) netip.Addr { return netip.MustParsePrefix(cidr).Masked().Addr() }
	frr := s.lab.FRR(node, fmt.Sprintf(`router bgp 64512
 bgp router-id %[1]s
 neighbor %[2]s remote-as 64512
 neighbor %[2]s passive
 neighbor %[3]s remote-as 64512
 neighbor %[3]s passive
 address-family ipv4 unicast
  neighbor %[2]s route-reflector-client
  no neighbor %[3]s activate
 exit-address-family
 address-family ipv6 unicast
  neighbor %[3]s activate
  neighbor %[3]s route-reflector-client
 exit-address-family
`, first(ipv4), agentAddresses["ipv4"], agentAddresses["ipv6"]))
	s.lab.Link(frr, s.node, ipv4, ipv6)
	frr.Default(first(ipv4).Next().String(), first(ipv6).Next().String())
	s.reflectors = append(s.reflectors, &reflector{frr, node})
}

// appointReflectors makes Nodes that are there the reflectors: it gives them the label that
// the configuration names, and the addresses of the lab.
func (s *site) appointReflectors(ctx context.Context) error {
	nodes := s.cp.Client().CoreV1().Nodes()
	for _, r := range s.reflectors {
		var addresses []map[string]string
		for _, addr := range []netip.Addr{r.IPv4(), r.IPv6()} {
			addresses = append(addresses, map[string]string{"type": "InternalIP", "address": addr.String()})
		}
		for _, change := range []struct {
			patch       any
			subresource []string
		}{
			{patch: map[string]any{"metadata": map[string]any{"labels": map[string]string{"example.com/reflector": "true"}}}},
			{patch: map[string]any{"status": map[string]any{"addresses": addresses}}, subresource: []string{"status"}},
		} {
			patch, err := json.Marshal(change.patch)
			if err != nil {
				return err
			}
			if _, err := nodes.Patch(ctx, r.node, types.MergePatchType, patch, metav1.PatchOptions{}, change.subresource...); err != nil {
				return fmt.Errorf("making a reflector of %s: %w", r.node, err)
			}
		}
	}
	return nil
}

// reflectorsHave reports an error unless each reflector has a session of each family with the
// agent, and the node's pod CIDR by it and nothing else.
func (s *site) reflectorsHave(ctx context.Context) error {
	for _, r := range s.reflectors {
		for family, pods := range map[string]string{"ipv4": podIPv4, "ipv6": podIPv6} {
			var table struct {
				Routes map[string][]struct {
					PeerID string `json:"peerId"`
				} `json:"routes"`
			}
			if err := r.JSON(ctx, &table, "show bgp "+family+" unicast json"); err != nil {
				return err
			}
			paths := table.Routes[pods]
			if len(table.Routes) != 1 || len(paths) != 1 || paths[0].PeerID != agentAddresses[family] {
				return fmt.Errorf("reflector %s has %v of %s, want %s of %s and no more",
					r.node, slices.Sorted(maps.Keys(table.Routes)), family, pods, agentAddresses[family])
			}
		}
	}
	return nil
}
