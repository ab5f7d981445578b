package plan_test

import (
	"fmt"
	"strings"
	"testing"

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
