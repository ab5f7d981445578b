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
