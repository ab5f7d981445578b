package plan_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

func TestSaidCountsWhatPeersHear(t *testing.T) {
	snap, local := large()
	snap.Services = cow.Of(map[string]*snapshot.Service{"default/service-1": service(1), "default/service-2": service(2)})
	p := plan.Build(snap, local, nil)
	for _, tt := range []struct{ up, want string }{
		{"", "default PodCIDRs 0/1, default Services 0/2"}, // IPv4 alone: the node has no IPv6 next hop
		{"tor-1", "default PodCIDRs 1/0, default Services 2/0"},
	} {
		var got []string
		for _, s := range p.Said(func(peer string) bool { return tt.up != "" && strings.HasPrefix(peer, tt.up+"/") }, nil) {
			got = append(got, fmt.Sprintf("%s %s %d/%d", s.Advertisement, s.Source, s.Advertised, s.Down))
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("with %q up: %s, want %s", tt.up, strings.Join(got, ", "), tt.want)
		}
	}
}

// TestSaidNamesWhoHearsOfOtherNodes: how much that is only the speaker knows.
func TestSaidNamesWhoHearsOfOtherNodes(t *testing.T) {
	snap, local := large()
	speaker, ad := *snap.Speakers["default"], *snap.Advertisements["default"]
	speaker.Spec.Topology = v1alpha1.Topology{Type: v1alpha1.TopologyFullMesh, Scope: v1alpha1.ScopeAll}
	yes, no := true, metav1.LabelSelector{MatchLabels: map[string]string{"no": "one"}}
	ad.Spec.Services, ad.Spec.PodCIDRs, ad.Spec.FromMesh = nil, nil, &v1alpha1.AdvertisedFromMesh{PodCIDRs: &yes}
	silent := ad
	silent.Name, silent.Spec.To.PeerSelector = "silent", &no
	snap.Speakers = map[string]*v1alpha1.BGPSpeaker{"default": &speaker}
	snap.Advertisements = map[string]*v1alpha1.BGPAdvertisement{"default": &ad, "silent": &silent}
	snap.Nodes = map[string]*snapshot.Node{"node-0": snap.Nodes["node-0"], "node-1": snap.Nodes["node-1"]}
	snap.Services = cow.Map[string, *snapshot.Service]{}
	want := "[{default FromMesh 0 0 {0 0} [tor-0/192.0.2.1 tor-1/192.0.2.2] map[]} {silent FromMesh 0 0 {0 0} [] map[]}]"
	if got := fmt.Sprint(plan.Build(snap, local, nil).Said(func(string) bool { return true }, nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
