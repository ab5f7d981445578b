package plan_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/dir"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/routes"
)

var update = flag.Bool("update", false, "rewrite what the cases expect; read the difference before you commit it")

// TestPlan runs the cases in testdata. Each is a specification to be read: manifests in,
// plan out. The sections of a case:
//
//	local    what the node is: its name, "network PREFIX-OF-OURS link N", "address A", "no carrier N",
//	         "source LINK ADDRESS", "gateway ADDRESS link N" of a default route, "over NAME link N [ADDRESS [routers...]]" with our
//	         link-local address and who advertises itself there, "route PREFIX" of others, "caller ADDRESS", "sysctl NAME VALUE WANTED required" (or "recommended")
//	*.yaml   the manifests
//	endpoints  where Services have endpoints: "NAMESPACE/NAME FAMILY ready NODE, draining NODE", each one
//	         for itself, the family both IPv4 and IPv6 where it is "both", the node "-" where there is none
//	plan     the plan, as text
//	then-*.yaml, then-endpoints, then-local, then   what replaces those of the same name, and the plan after
//	others   the kernel's routes that are not ours: "PREFIX [via GATEWAY] link N [metric M]", "PREFIX unreachable"
//	rib      learned paths: "PREFIX from PEER via NEXTHOP [bandwidth N]", lines of one prefix together, the best
//	         first; "or" before a path that the decision process puts behind those above it
//	routes   what becomes of them
func TestPlan(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runCase(t, file) })
	}
}

func runCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	section := map[string]string{}
	manifests, then := map[string][]byte{}, map[string][]byte{}
	for _, f := range archive.Files {
		name, isManifest := strings.CutSuffix(f.Name, ".yaml")
		later, isThen := strings.CutPrefix(name, "then-")
		switch {
		case isManifest && isThen:
			then[later+".yaml"] = f.Data
		case isManifest:
			manifests[f.Name] = f.Data
		default:
			section[f.Name] = string(f.Data)
		}
	}
	local := parseLocal(t, section["local"])
	p := build(t, manifests, section["endpoints"], local, nil)
	got := map[string]string{"plan": p.String()}
	thenLocal, hostMoved := section["then-local"]
	if hostMoved {
		local = parseLocal(t, thenLocal)
	}
	if endpoints, moved := section["then-endpoints"]; len(then) > 0 || moved || hostMoved {
		for name, data := range then {
			manifests[name] = data
		}
		if !moved {
			endpoints = section["endpoints"]
		}
		p = build(t, manifests, endpoints, local, p)
		got["then"] = p.String()
	}
	if rib, ok := section["rib"]; ok {
		got["routes"] = decide(t, p.Importer, parseRanking(t, rib), section["others"])
	}
	compare(t, file, archive, got)
}

func build(t *testing.T, manifests map[string][]byte, endpoints string, local plan.Local, prev *plan.Plan) *plan.Plan {
	t.Helper()
	snap, problems := dir.Parse(manifests)
	if len(problems) > 0 {
		t.Fatalf("the manifests of the case do not parse: %v", problems)
	}
	slices := snap.Slices.Edit()
	for name, slice := range parseEndpoints(t, endpoints) {
		slices.Set(name, slice)
	}
	snap.Slices = slices.Map()
	return plan.Build(snap, local, prev)
}

// parseEndpoints makes an EndpointSlice of each line, and two where it says both families.
func parseEndpoints(t *testing.T, text string) map[string]*snapshot.EndpointSlice {
	t.Helper()
	families := map[string][]bgp.Family{"IPv4": {bgp.IPv4Unicast}, "IPv6": {bgp.IPv6Unicast}, "both": {bgp.IPv4Unicast, bgp.IPv6Unicast}}
	out := map[string]*snapshot.EndpointSlice{}
	for line := range strings.Lines(text) {
		service, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		family, rest, _ := strings.Cut(rest, " ")
		if families[family] == nil {
			t.Fatalf("endpoints: cannot read %q", line)
		}
		for _, f := range families[family] {
			slice := &snapshot.EndpointSlice{Service: service, Family: f}
			for _, part := range strings.Split(rest, ", ") {
				slice.Nodes = append(slice.Nodes, parseEndpoint(t, part))
			}
			out[fmt.Sprintf("%s-%d", service, len(out))] = slice
		}
	}
	return out
}

func parseEndpoint(t *testing.T, text string) snapshot.Endpoints {
	t.Helper()
	state, node, ok := strings.Cut(text, " ")
	if node == "-" {
		node = ""
	}
	switch {
	case ok && state == "ready":
		return snapshot.Endpoints{Node: node, Ready: 1}
	case ok && state == "draining":
		return snapshot.Endpoints{Node: node, Draining: 1}
	}
	t.Fatalf("endpoints: cannot read %q", text)
	return snapshot.Endpoints{}
}

func compare(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	changed := false
	for i, f := range archive.Files {
		text, ok := got[f.Name]
		if !ok {
			continue
		}
		delete(got, f.Name)
		if text == string(f.Data) {
			continue
		}
		changed = true
		if !*update {
			t.Errorf("%s is\n%s\nwant\n%s", f.Name, text, f.Data)
		}
		archive.Files[i].Data = []byte(text)
	}
	for name := range got {
		if !*update {
			t.Errorf("the case has no section %q", name)
		}
		archive.Files, changed = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])}), true
	}
	if *update && changed {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func parseLocal(t *testing.T, text string) plan.Local {
	t.Helper()
	local := plan.Local{NodeName: "node-1"}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "address" && len(fields) == 2:
			local.Addresses = append(local.Addresses, netip.MustParseAddr(fields[1]))
		case fields[0] == "no" && len(fields) == 3:
			link, err := strconv.Atoi(fields[2])
			if err != nil {
				t.Fatal(err)
			}
			local.LinksDown = map[int]bool{link: true}
		case fields[0] == "network" && len(fields) == 4:
			prefix := netip.MustParsePrefix(fields[1])
			var link int
			if _, err := fmt.Sscan(fields[3], &link); err != nil {
				t.Fatal(err)
			}
			local.Networks = append(local.Networks, plan.Network{Prefix: prefix.Masked(), Addr: prefix.Addr(), Link: link})
			local.Addresses = append(local.Addresses, prefix.Addr())
		case fields[0] == "source" && len(fields) == 3:
			addr, source := netip.MustParseAddr(fields[2]), local.Sources[fields[1]]
			if addr.Is4() {
				source.IPv4 = addr
			} else {
				source.IPv6 = addr
			}
			if local.Sources == nil {
				local.Sources = map[string]plan.Source{}
			}
			local.Sources[fields[1]] = source
		case fields[0] == "over" && len(fields) >= 4:
			name, link := parseLink(t, fields)
			if local.Links == nil {
				local.Links = map[string]plan.Link{}
			}
			local.Links[name] = link
		case fields[0] == "caller" && len(fields) == 2:
			local.Callers = append(local.Callers, netip.MustParseAddr(fields[1]))
		case fields[0] == "gateway" && len(fields) == 4:
			link, err := strconv.Atoi(fields[3])
			if err != nil {
				t.Fatal(err)
			}
			local.Gateways = append(local.Gateways, plan.Gateway{Addr: netip.MustParseAddr(fields[1]), Link: link})
		case fields[0] == "route" && len(fields) == 2:
			local.Routed = append(local.Routed, netip.MustParsePrefix(fields[1]))
		case fields[0] == "sysctl" && len(fields) == 5:
			s := plan.Sysctl{Name: fields[1], Family: bgp.IPv4Unicast, Value: fields[2], Want: fields[3], Required: fields[4] == "required", Why: "of the case"}
			if strings.Contains(s.Name, "ipv6") {
				s.Family = bgp.IPv6Unicast
			}
			local.Sysctls = append(local.Sysctls, s)
		default:
			t.Fatalf("local: cannot read %q", line)
		}
	}
	return local
}

func parseLink(t *testing.T, fields []string) (name string, link plan.Link) {
	t.Helper()
	index, err := strconv.Atoi(fields[3])
	if err != nil {
		t.Fatal(err)
	}
	link.Index = index
	for i, text := range fields[4:] {
		if addr := netip.MustParseAddr(text); i == 0 {
			link.Addr = addr
		} else {
			link.Routers = append(link.Routers, addr)
		}
	}
	return fields[1], link
}

func parseRanking(t *testing.T, rib string) []bgp.Ranking {
	t.Helper()
	var all []bgp.Ranking
	for line := range strings.Lines(rib) {
		rest, worse := strings.CutPrefix(line, "or ")
		var prefix, peer, nextHop string
		if _, err := fmt.Sscanf(rest, "%s from %s via %s", &prefix, &peer, &nextHop); err != nil {
			t.Fatalf("rib: cannot read %q", line)
		}
		p := netip.MustParsePrefix(prefix)
		if n := len(all); n == 0 || all[n-1].Prefix != p {
			all = append(all, bgp.Ranking{Prefix: p, Sets: [][]bgp.Path{nil}})
		}
		last := &all[len(all)-1]
		if worse {
			last.Sets = append(last.Sets, nil)
		}
		path := bgp.Path{Peer: peer, NextHop: netip.MustParseAddr(nextHop)}
		if _, bandwidth, told := strings.Cut(rest, " bandwidth "); told {
			if _, err := fmt.Sscan(bandwidth, &path.LinkBandwidth); err != nil {
				t.Fatalf("rib: cannot read %q", line)
			}
		}
		if i := strings.LastIndexByte(peer, '/'); i >= 0 {
			path.PeerAddr = netip.MustParseAddr(peer[i+1:])
		}
		set := &last.Sets[len(last.Sets)-1]
		*set = append(*set, path)
	}
	return all
}

// decide does what the loop does with a RIB: it looks for the ways of all next hops, and
// turns to worse paths where no best one leads anywhere.
func decide(t *testing.T, importer *plan.Importer, rib []bgp.Ranking, others string) string {
	t.Helper()
	var best []bgp.RIBChange
	var remote []netip.Addr
	for _, r := range rib {
		best = append(best, bgp.RIBChange{Prefix: r.Prefix, Paths: r.Sets[0]})
		remote = append(remote, importer.Remote(slices.Concat(r.Sets...))...)
	}
	ways := importer.Ways(best, remote, lead(remote, parseOthers(t, others)))
	var b strings.Builder
	for i, c := range best {
		d := importer.Decide(c, ways)
		if d.Stuck {
			d = importer.DecideAmong(rib[i], ways)
		}
		if d.Route != nil {
			fmt.Fprintln(&b, d.Route)
		}
		for _, r := range d.Refusals {
			fmt.Fprintf(&b, "refused %s from %s %s: %s\n", r.Subject, r.Object.Name, r.Reason, r.Message)
		}
	}
	return b.String()
}

func parseOthers(t *testing.T, text string) []routes.Route {
	t.Helper()
	var out []routes.Route
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		route := routes.Route{Key: routes.Key{Prefix: netip.MustParsePrefix(fields[0])}}
		if fields[1] == "unreachable" {
			route.Kind = routes.Unreachable
			out = append(out, route)
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			switch fields[i] {
			case "via":
				route.NextHops = append(route.NextHops, routes.NextHop{Gateway: netip.MustParseAddr(fields[i+1])})
			case "metric":
				metric, err := strconv.ParseUint(fields[i+1], 10, 32)
				if err != nil {
					t.Fatalf("others: cannot read %q", line)
				}
				route.Metric = uint32(metric)
			case "link":
				link, err := strconv.Atoi(fields[i+1])
				if err != nil {
					t.Fatalf("others: cannot read %q", line)
				}
				if len(route.NextHops) == 0 || route.NextHops[len(route.NextHops)-1].Link != 0 {
					route.NextHops = append(route.NextHops, routes.NextHop{})
				}
				route.NextHops[len(route.NextHops)-1].Link = link
			}
		}
		out = append(out, route)
	}
	return out
}

// lead returns the most specific of the routes to each address.
func lead(addrs []netip.Addr, others []routes.Route) map[netip.Addr]routes.Route {
	found := map[netip.Addr]routes.Route{}
	for _, addr := range addrs {
		for _, route := range others {
			if have, ok := found[addr]; route.Prefix.Contains(addr) && (!ok || route.Prefix.Bits() > have.Prefix.Bits()) {
				found[addr] = route
			}
		}
	}
	return found
}
