package plan_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/dir"
	"github.com/fairway-bgp/fairway/controller/plan"
)

var update = flag.Bool("update", false, "rewrite what the cases expect; read the difference before you commit it")

// TestPlan runs the cases in testdata. Each is a specification to be read: manifests in,
// plan out. The sections of a case:
//
//	local    what the node is: its name, "network PREFIX-OF-OURS link N", "address A"
//	*.yaml   the manifests
//	plan     the plan, as text
//	then-*.yaml, then   manifests that replace those of the same name, and the plan after
//	rib      learned paths: "PREFIX from PEER via NEXTHOP", lines of one prefix together
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
	p := build(t, manifests, local, nil)
	got := map[string]string{"plan": p.String()}
	if len(then) > 0 {
		for name, data := range then {
			manifests[name] = data
		}
		p = build(t, manifests, local, p)
		got["then"] = p.String()
	}
	if rib, ok := section["rib"]; ok {
		got["routes"] = decide(t, p.Importer, rib)
	}
	compare(t, file, archive, got)
}

func build(t *testing.T, manifests map[string][]byte, local plan.Local, prev *plan.Plan) *plan.Plan {
	t.Helper()
	snap, problems := dir.Parse(manifests)
	if len(problems) > 0 {
		t.Fatalf("the manifests of the case do not parse: %v", problems)
	}
	return plan.Build(snap, local, prev)
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
		case fields[0] == "network" && len(fields) == 4:
			prefix := netip.MustParsePrefix(fields[1])
			var link int
			if _, err := fmt.Sscan(fields[3], &link); err != nil {
				t.Fatal(err)
			}
			local.Networks = append(local.Networks, plan.Network{Prefix: prefix.Masked(), Addr: prefix.Addr(), Link: link})
			local.Addresses = append(local.Addresses, prefix.Addr())
		default:
			t.Fatalf("local: cannot read %q", line)
		}
	}
	return local
}

func decide(t *testing.T, importer *plan.Importer, rib string) string {
	t.Helper()
	var changes []bgp.RIBChange
	for line := range strings.Lines(rib) {
		var prefix, peer, nextHop string
		if _, err := fmt.Sscanf(line, "%s from %s via %s", &prefix, &peer, &nextHop); err != nil {
			t.Fatalf("rib: cannot read %q", line)
		}
		p := netip.MustParsePrefix(prefix)
		if n := len(changes); n == 0 || changes[n-1].Prefix != p {
			changes = append(changes, bgp.RIBChange{Prefix: p})
		}
		last := &changes[len(changes)-1]
		last.Paths = append(last.Paths, bgp.Path{Peer: peer, NextHop: netip.MustParseAddr(nextHop)})
	}
	var b strings.Builder
	for _, c := range changes {
		d := importer.Decide(c)
		if d.Route != nil {
			fmt.Fprintln(&b, d.Route)
		}
		for _, r := range d.Refusals {
			fmt.Fprintf(&b, "refused %s from %s %s: %s\n", r.Subject, r.Object.Name, r.Reason, r.Message)
		}
	}
	return b.String()
}
