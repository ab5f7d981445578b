package plan_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/controller/dir"
	"github.com/fairway-bgp/fairway/controller/plan"
)

// The dimensions of the table. An endpoint is in one of the states, in one of the places.
var (
	policies  = []string{"Cluster", "Local"}
	addresses = []string{"ClusterIP", "ExternalIP", "LoadBalancerIP"}
	families  = []string{"IPv4", "IPv6"}
	states    = []string{"ready", "draining", "unready", "ended"}
	places    = []string{"here", "there", "on no node"}
)

// condition is what an EndpointSlice says of an endpoint in a state. One that has ended serves
// nothing any more, one that is draining still does.
var condition = map[string]string{
	"ready":    "{ready: true, serving: true, terminating: false}",
	"draining": "{ready: false, serving: true, terminating: true}",
	"unready":  "{ready: false, serving: false, terminating: false}",
	"ended":    "{ready: false, serving: false, terminating: true}",
}

const serviceSite = `
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]}
status: {addresses: [{type: InternalIP, address: 192.0.2.11}, {type: InternalIP, address: "2001:db8::11"}]}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec: {localASN: 64512, topology: {type: None}}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: tor}
spec: {address: 192.0.2.1, asn: 65001}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata: {name: services}
spec:
  services:
    addressTypes: [ClusterIP, ExternalIP, LoadBalancerIP]
    externalIPRanges: [203.0.113.0/24, "2001:db8:e::/64"]
`

// endpoint is one of a Service, as the table writes it: "ready here".
type endpoint struct{ state, place string }

func (e endpoint) String() string { return e.state + " " + e.place }

// sets returns all multisets of up to n endpoints.
func sets(n int) [][]endpoint {
	var all []endpoint
	for _, s := range states {
		for _, p := range places {
			all = append(all, endpoint{s, p})
		}
	}
	out := [][]endpoint{nil}
	var grow func(have []endpoint, from int)
	grow = func(have []endpoint, from int) {
		for i := from; i < len(all) && len(have) < n; i++ {
			next := append(slices.Clone(have), all[i])
			out = append(out, next)
			grow(next, i)
		}
	}
	grow(nil, 0)
	return out
}

// manifestsOf writes the Service and its EndpointSlices as a cluster would have them. The first
// endpoint has a slice of its own, and the other family has one endpoint that is ready here: it
// must count for nothing.
func manifestsOf(policy, address, family string, endpoints []endpoint) string {
	ip := map[string]string{
		"ClusterIP IPv4": "10.96.0.10", "ClusterIP IPv6": "fd00:10:96::10", "ExternalIP IPv4": "203.0.113.10", "ExternalIP IPv6": "2001:db8:e::10",
		"LoadBalancerIP IPv4": "198.51.100.10", "LoadBalancerIP IPv6": "2001:db8:f::10",
	}[address+" "+family]
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n")
	switch address {
	case "ClusterIP":
		fmt.Fprintf(&b, "spec: {clusterIP: %q, clusterIPs: [%q], internalTrafficPolicy: %s}\n", ip, ip, policy)
	case "ExternalIP":
		fmt.Fprintf(&b, "spec: {externalIPs: [%q], externalTrafficPolicy: %s}\n", ip, policy)
	case "LoadBalancerIP":
		fmt.Fprintf(&b, "spec: {type: LoadBalancer, externalTrafficPolicy: %s}\nstatus: {loadBalancer: {ingress: [{ip: %q}]}}\n", policy, ip)
	}
	other := "IPv4"
	if family == other {
		other = "IPv6"
	}
	writeSlice(&b, "other", other, endpoint{"ready", "here"})
	if len(endpoints) > 0 {
		writeSlice(&b, "first", family, endpoints[0])
		writeSlice(&b, "rest", family, endpoints[1:]...)
	}
	return b.String()
}

func writeSlice(b *strings.Builder, name, family string, endpoints ...endpoint) {
	fmt.Fprintf(b, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"+
		"metadata: {name: web-%s, namespace: shop, labels: {kubernetes.io/service-name: web}}\naddressType: %s\nendpoints:\n", name, family)
	for i, e := range endpoints {
		fmt.Fprintf(b, "- addresses: [%q]\n  conditions: %s\n", netip.AddrFrom4([4]byte{10, 244, 1, byte(i)}).String(), condition[e.state])
		switch e.place {
		case "here":
			b.WriteString("  nodeName: node-1\n")
		case "there":
			b.WriteString("  nodeName: node-2\n")
		}
	}
}

// announced says what node-1 does with the one address of such a Service: "announced", or why not.
func announced(t *testing.T, policy, address, family string, endpoints []endpoint) string {
	t.Helper()
	snap, problems := dir.Parse(map[string][]byte{"site.yaml": []byte(serviceSite), "service.yaml": []byte(manifestsOf(policy, address, family, endpoints))})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	local := plan.Local{NodeName: "node-1", Networks: []plan.Network{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Addr: netip.MustParseAddr("192.0.2.11"), Link: 2},
		{Prefix: netip.MustParsePrefix("2001:db8::/64"), Addr: netip.MustParseAddr("2001:db8::11"), Link: 2},
	}}
	p := plan.Build(snap, local, nil)
	switch silences := p.Silences(); {
	case p.Desired.Advertisements.Len() == 1 && len(silences) == 0:
		return "announced"
	case p.Desired.Advertisements.Len() == 0 && len(silences) == 1:
		return silences[0].Reason
	}
	return p.String()
}

// rule is the specification, apart from the code: what decides in which order.
func rule(policy string, endpoints []endpoint) string {
	has := func(state, place string) bool {
		return slices.ContainsFunc(endpoints, func(e endpoint) bool { return e.state == state && (place == "" || e.place == place) })
	}
	switch {
	case policy == "Cluster" && has("ready", ""), policy == "Local" && has("ready", "here"):
		return "announced"
	case policy == "Local" && !has("ready", "") && has("draining", "here"):
		return "announced"
	case policy == "Local" && (has("ready", "") || has("draining", "")):
		return "NoLocalEndpoint"
	}
	return "NoReadyEndpoint"
}

// TestServicesTable goes through every policy, kind of address, family, and every set of up to
// three endpoints. The file in testdata holds those of up to two, to be read.
func TestServicesTable(t *testing.T) {
	var table strings.Builder
	count := 0
	for _, policy := range policies {
		for _, endpoints := range sets(3) {
			want := rule(policy, endpoints)
			for _, address := range addresses {
				for _, family := range families {
					count++
					if got := announced(t, policy, address, family, endpoints); got != want {
						t.Fatalf("%s %s %s with %v: %s, want %s", policy, address, family, endpoints, got, want)
					}
				}
			}
			if len(endpoints) <= 2 {
				fmt.Fprintf(&table, "%-7s  %-40s  %s\n", policy, text(endpoints), want)
			}
		}
	}
	if count < 5000 {
		t.Errorf("only %d cases", count)
	}
	file := filepath.Join("testdata", "services.txt")
	if *update {
		if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, file) != table.String() {
		t.Errorf("%s is not what the rules give; run the test with -update and read the difference", file)
	}
}

func text(endpoints []endpoint) string {
	if len(endpoints) == 0 {
		return "none"
	}
	var out []string
	for _, e := range endpoints {
		out = append(out, e.String())
	}
	return strings.Join(out, ", ")
}
