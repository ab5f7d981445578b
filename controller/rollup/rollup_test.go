package rollup_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/rollup"
)

var update = flag.Bool("update", false, "rewrite what the cases expect; read the difference before you commit it")

var now = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// TestRollup runs the cases in testdata. Each is a specification to be read: the objects of
// a cluster in objects.yaml, the status of the configuration objects in status.
func TestRollup(t *testing.T) {
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
	if len(archive.Files) != 2 || archive.Files[0].Name != "objects.yaml" || archive.Files[1].Name != "status" {
		t.Fatal("a case has objects.yaml and status")
	}
	got := text(rollup.Build(parse(t, archive.Files[0].Data), now))
	if got == string(archive.Files[1].Data) {
		return
	}
	if !*update {
		t.Errorf("status is\n%s\nwant\n%s", got, archive.Files[1].Data)
		return
	}
	archive.Files[1].Data = []byte(got)
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, manifests []byte) *rollup.Cluster {
	t.Helper()
	c := &rollup.Cluster{
		Speakers:       map[string]*v1alpha1.BGPSpeaker{},
		Peers:          map[string]*v1alpha1.BGPPeer{},
		Advertisements: map[string]*v1alpha1.BGPAdvertisement{},
		Nodes:          map[string]*rollup.Node{},
		States:         map[string]*rollup.NodeState{},
	}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		add(t, c, document)
	}
}

func add(t *testing.T, c *rollup.Cluster, document []byte) {
	t.Helper()
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(document, &head); err != nil {
		t.Fatal(err)
	}
	decode := func(into any) {
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
	}
	switch head.Kind {
	case v1alpha1.KindBGPSpeaker:
		var o v1alpha1.BGPSpeaker
		decode(&o)
		v1alpha1.SetDefaultsBGPSpeaker(&o)
		c.Speakers[o.Name] = &o
	case v1alpha1.KindBGPPeer:
		var o v1alpha1.BGPPeer
		decode(&o)
		v1alpha1.SetDefaultsBGPPeer(&o)
		c.Peers[o.Name] = &o
	case v1alpha1.KindBGPAdvertisement:
		var o v1alpha1.BGPAdvertisement
		decode(&o)
		v1alpha1.SetDefaultsBGPAdvertisement(&o)
		c.Advertisements[o.Name] = &o
	case v1alpha1.KindBGPNodeState:
		var o v1alpha1.BGPNodeState
		decode(&o)
		c.States[o.Name] = rollup.NodeStateFrom(&o)
	case "Node":
		var o corev1.Node
		decode(&o)
		c.Nodes[o.Name] = &rollup.Node{Labels: o.Labels}
	default:
		t.Fatalf("what is a %q?", head.Kind)
	}
}

func text(s *rollup.Statuses) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Speakers)) {
		o := s.Speakers[name]
		fmt.Fprintf(&b, "BGPSpeaker %s: %d of %d nodes ready%s\n", name, o.NodesReady, o.Nodes, listed(", not", o.NotReadyNodes))
		tell(&b, o.Conditions)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Peers)) {
		o := s.Peers[name]
		fmt.Fprintf(&b, "BGPPeer %s: %d of %d sessions established%s\n", name, o.SessionsEstablished, o.SessionsExpected, listed(", not on", o.NotEstablishedNodes))
		tell(&b, o.Conditions)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Advertisements)) {
		o := s.Advertisements[name]
		fmt.Fprintf(&b, "BGPAdvertisement %s: %d prefixes advertised, %d rejected", name, o.PrefixesAdvertised, o.PrefixesRejected)
		for _, r := range o.Rejected {
			fmt.Fprintf(&b, ", %s %d", r.Reason, r.Count)
		}
		fmt.Fprintln(&b)
		tell(&b, o.Conditions)
	}
	return b.String()
}

func listed(what string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return what + " " + strings.Join(names, " ")
}

func tell(b *strings.Builder, conditions []metav1.Condition) {
	for _, c := range conditions {
		fmt.Fprintf(b, "  %s %s %s", c.Type, c.Status, c.Reason)
		if c.ObservedGeneration != 0 {
			fmt.Fprintf(b, " at generation %d", c.ObservedGeneration)
		}
		if !c.LastTransitionTime.Time.Equal(now.Truncate(time.Second)) {
			fmt.Fprintf(b, " since %s", c.LastTransitionTime.UTC().Format(time.RFC3339))
		}
		if c.Message != "" {
			fmt.Fprintf(b, ": %s", c.Message)
		}
		fmt.Fprintln(b)
	}
}

// TestLargeMeshCountsNodesNotSessions: a mesh session per family is one node all the same.
func TestLargeMeshCountsNodesNotSessions(t *testing.T) {
	for _, c := range []struct {
		others int
		want   string
	}{{99, "LargeMesh False FewNodes"}, {100, "LargeMesh True ManyNodes: more than 100 nodes"}} {
		state := &v1alpha1.BGPNodeState{}
		for i := range c.others {
			for _, address := range []string{"192.0.2.%d", "2001:db8::%d"} {
				state.Status.Sessions = append(state.Status.Sessions, v1alpha1.SessionStatus{
					Peer: fmt.Sprintf("mesh/node-%d", i), Address: fmt.Sprintf(address, i+1), State: v1alpha1.SessionActive,
				})
			}
		}
		cluster := parse(t, []byte("kind: BGPSpeaker\nmetadata: {name: all}\nspec: {localASN: 64512}\n---\nkind: Node\nmetadata: {name: a}\n"))
		cluster.States["a"] = rollup.NodeStateFrom(state)
		if got := text(rollup.Build(cluster, now)); !strings.Contains(got, c.want) {
			t.Errorf("%d other nodes: %s\nwant %s", c.others, got, c.want)
		}
	}
}

// TestStatusFitsItsSchema: messages of thousands of nodes do not make one too long.
func TestStatusFitsItsSchema(t *testing.T) {
	cluster := parse(t, []byte("kind: BGPSpeaker\nmetadata: {name: all}\nspec: {localASN: 64512}\n---\nkind: BGPPeer\nmetadata: {name: router}\nspec: {address: 192.0.2.1, asn: 65001}\n"))
	for i := range 50 {
		name := fmt.Sprintf("node-%02d-%s", i, strings.Repeat("n", 240))
		cluster.Nodes[name] = &rollup.Node{}
		state := &v1alpha1.BGPNodeState{}
		for _, reason := range []string{"One", "Two", "Three", "Conflicted", "NoAddress"} {
			state.Status.Problems = append(state.Status.Problems, v1alpha1.Problem{
				Kind: "BGPPeer", Name: "router", Reason: reason, Message: strings.Repeat("é", 700),
			})
		}
		cluster.States[name] = rollup.NodeStateFrom(state)
	}
	status := rollup.Build(cluster, now).Peers["router"]
	if len(status.Conditions) != 2 || len(status.NotEstablishedNodes) != 16 {
		t.Fatalf("%d conditions, %d names", len(status.Conditions), len(status.NotEstablishedNodes))
	}
	for _, c := range status.Conditions {
		if len(c.Message) > 1024 || !utf8.ValidString(c.Message) {
			t.Errorf("%s has %d bytes, valid UTF-8: %v", c.Type, len(c.Message), utf8.ValidString(c.Message))
		}
	}
}

// BenchmarkFiveThousandNodes has 50 peers and four sessions on each node.
func BenchmarkFiveThousandNodes(b *testing.B) {
	c := &rollup.Cluster{
		Speakers:       map[string]*v1alpha1.BGPSpeaker{},
		Peers:          map[string]*v1alpha1.BGPPeer{},
		Advertisements: map[string]*v1alpha1.BGPAdvertisement{},
		Nodes:          map[string]*rollup.Node{},
		States:         map[string]*rollup.NodeState{},
	}
	asn := int64(64512)
	c.Speakers["all"] = &v1alpha1.BGPSpeaker{ObjectMeta: metav1.ObjectMeta{Name: "all"}, Spec: v1alpha1.BGPSpeakerSpec{LocalASN: &asn}}
	c.Advertisements["default"] = &v1alpha1.BGPAdvertisement{
		ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1alpha1.BGPAdvertisementSpec{PodCIDRs: &v1alpha1.AdvertisedPodCIDRs{}},
	}
	for i := range 50 {
		p := &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("rack-%d", i)}}
		p.Spec.Address, p.Spec.ASN = fmt.Sprintf("192.0.2.%d", i+1), &asn
		p.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"rack": fmt.Sprint(i)}}
		v1alpha1.SetDefaultsBGPPeer(p)
		c.Peers[p.Name] = p
	}
	for i := range 5000 {
		name, peer := fmt.Sprintf("node-%04d", i), fmt.Sprintf("rack-%d", i%50)
		c.Nodes[name] = &rollup.Node{Labels: map[string]string{"rack": fmt.Sprint(i % 50), "kubernetes.io/hostname": name}}
		state := &v1alpha1.BGPNodeState{}
		for j := range 4 {
			state.Status.Sessions = append(state.Status.Sessions, v1alpha1.SessionStatus{Peer: peer, Address: fmt.Sprint(j), State: v1alpha1.SessionEstablished})
		}
		state.Status.Advertisements = []v1alpha1.AdvertisedState{{Name: "default", Source: v1alpha1.AdvertisedFromPodCIDRs, Advertised: 2}}
		state.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", Reason: "Ready"}}
		c.States[name] = rollup.NodeStateFrom(state)
	}
	b.ReportAllocs()
	for b.Loop() {
		if s := rollup.Build(c, now); s.Peers["rack-7"].SessionsEstablished != 400 {
			b.Fatal(s.Peers["rack-7"])
		}
	}
}
