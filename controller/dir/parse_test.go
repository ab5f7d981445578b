package dir_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/fairway-bgp/fairway/controller/dir"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

func TestParseReadsWhatStandsThereAndNamesWhatCannotBeUsed(t *testing.T) {
	cases, err := filepath.Glob("testdata/parse/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files, want := map[string][]byte{}, ""
			for _, f := range archive.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				files[f.Name] = f.Data
			}
			snap, problems := dir.Parse(files)
			got := text(snap)
			for _, p := range problems {
				got += p.String() + "\n"
			}
			if got == want {
				return
			}
			if os.Getenv("UPDATE") != "" {
				archive.Files[len(archive.Files)-1].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		})
	}
}

// text renders a snapshot, one object a line, sorted.
func text(snap *snapshot.Snapshot) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(snap.Nodes)) {
		n := snap.Nodes[key]
		fmt.Fprintf(&b, "Node %s addresses %v podCIDRs %v annotations %v\n", n.Name, n.Addresses, n.PodCIDRs, n.Annotations)
	}
	for _, key := range slices.Sorted(snap.Services.Keys()) {
		service, _ := snap.Services.Get(key)
		fmt.Fprintf(&b, "Service %s %v\n", key, service.ClusterIPs)
	}
	fmt.Fprintf(&b, "ServiceCIDRs %v\n", snap.ServiceCIDRs)
	for _, key := range slices.Sorted(maps.Keys(snap.Speakers)) {
		s := snap.Speakers[key].Spec
		fmt.Fprintf(&b, "BGPSpeaker %s asn %d listen %d topology %s\n", key, *s.LocalASN, *s.ListenPort, s.Topology.Type)
	}
	for _, key := range slices.Sorted(maps.Keys(snap.Peers)) {
		s := snap.Peers[key].Spec
		fmt.Fprintf(&b, "BGPPeer %s %s asn %d port %d hold %d\n", key, s.Address, *s.ASN, *s.Port, *s.Timers.HoldTimeSeconds)
	}
	for _, key := range slices.Sorted(maps.Keys(snap.Advertisements)) {
		fmt.Fprintf(&b, "BGPAdvertisement %s\n", key)
	}
	for _, key := range slices.Sorted(maps.Keys(snap.Passwords)) {
		if p := snap.Passwords[key]; p.Problem != "" {
			fmt.Fprintf(&b, "Password %s %s\n", key, p.Problem)
		} else {
			fmt.Fprintf(&b, "Password %s %q\n", key, string(p.Value))
		}
	}
	return b.String()
}

func TestParseKnowsWhereTheAPIServersAre(t *testing.T) {
	snap, problems := dir.Parse(map[string][]byte{"a.yaml": []byte(`apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [203.0.113.7]}, {addresses: [203.0.113.6]}, {addresses: [203.0.113.8], conditions: {ready: false}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: shop, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [203.0.113.9]}]
`)})
	if got := fmt.Sprint(snap.APIServers); got != "[203.0.113.6 203.0.113.7]" || len(problems) > 0 {
		t.Errorf("they are at %s, and there are problems: %v", got, problems)
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	for _, path := range []string{"testdata/parse/whole.txtar", "testdata/parse/broken.txtar"} {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"a.yaml", "a.json"} {
			if snap, _ := dir.Parse(map[string][]byte{name: data}); snap == nil {
				t.Fatal("no snapshot")
			}
		}
	})
}
