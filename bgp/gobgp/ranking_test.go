package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/bgp"
)

// ranked renders the ranking of one prefix: the peers of each set, the best set first.
func (r *rig) ranked(prefix string) string {
	r.t.Helper()
	rankings, err := r.Rankings(context.Background(), []netip.Prefix{netip.MustParsePrefix(prefix)})
	if err != nil {
		return err.Error()
	}
	var sets []string
	for _, ranking := range rankings {
		for _, set := range ranking.Sets {
			var peers []string
			for _, p := range set {
				peers = append(peers, p.Peer)
			}
			slices.Sort(peers)
			sets = append(sets, strings.Join(peers, " "))
		}
	}
	return strings.Join(sets, ", then ")
}

func (r *rig) ranks(prefix, want string) {
	r.t.Helper()
	r.eventually("the ranking of "+prefix+": "+want, func() (string, bool) {
		got := r.ranked(prefix)
		return got, got == want
	})
}

func TestRankingsHaveAllPathsInTheOrderOfTheDecisionAndEqualOnesTogether(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config()}
	for n := 1; n <= 4; n++ {
		want.Peers = append(want.Peers, r.peer(n))
	}
	r.apply(want)
	var peers []*fakePeer
	for n := 1; n <= 4; n++ {
		peers = append(peers, r.connect(r.fake(n)))
	}
	peers[0].announce(t, "10.1.0.0/24", peers[0].asn, 64999, 64998)
	peers[1].announce(t, "10.1.0.0/24", peers[1].asn)
	peers[2].announce(t, "10.1.0.0/24", peers[2].asn, 64999)
	peers[3].announce(t, "10.1.0.0/24", peers[3].asn, 64997)
	r.ranks("10.1.0.0/24", "peer-2, then peer-3 peer-4, then peer-1")
	r.ranks("10.2.0.0/24", "")

	peers[1].withdraw(t, "10.1.0.0/24")
	r.ranks("10.1.0.0/24", "peer-3 peer-4, then peer-1")

	// What we originate ourselves is not learned, whoever tells it too.
	peers[0].announce(t, "10.3.0.0/24", peers[0].asn)
	r.ranks("10.3.0.0/24", "peer-1")
	want.Advertisements = ads(advertise("10.3.0.0/24", "peer-2"))
	r.apply(want)
	r.ranks("10.3.0.0/24", "")
}

func TestPeerThatIsToBeDownHasNoSessionUntilItIsNotAnyMore(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	r.apply(want)
	p, other := r.connect(r.fake(1)), r.connect(r.fake(2))
	p.announce(t, "10.1.0.0/24", p.asn)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")

	want.Peers[0].Down = "the link has no carrier"
	r.apply(want)
	r.learns()
	s := r.session("peer-1")
	if s.State != bgp.Idle || s.LastError != "the link has no carrier" {
		t.Errorf("session %+v", s)
	}
	r.eventually("the end of the session", func() (string, bool) { return fmt.Sprint(p.alive()), !p.alive() })
	if _, err := r.fake(1).dial(); err == nil {
		t.Error("the peer got in meanwhile")
	}
	r.stillAlive(other)

	want.Peers[0].Down = ""
	r.apply(want)
	p = r.connect(r.fake(1))
	p.announce(t, "10.1.0.0/24", p.asn)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	r.stillAlive(other)
}
