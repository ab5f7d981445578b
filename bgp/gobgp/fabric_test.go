package gobgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// fabric is a few speakers of one AS with real sessions between them. Speaker n is at
// 127.0.2.n and has the router ID 192.0.2.n.
type fabric struct {
	t        *testing.T
	speakers []*rig // the first is number 1
	wants    []bgp.Desired
}

func newFabric(t *testing.T, size int) *fabric {
	t.Helper()
	f := &fabric{t: t}
	for range size {
		f.speakers = append(f.speakers, newRig(t, Options{}))
	}
	for n := 1; n <= size; n++ {
		config := f.at(n).config()
		config.RouterID = netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
		f.wants = append(f.wants, bgp.Desired{Config: config, Advertisements: ads()})
	}
	return f
}

func (f *fabric) at(n int) *rig { return f.speakers[n-1] }

func (f *fabric) addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 2, byte(n)}) }

func (f *fabric) want(n int) *bgp.Desired { return &f.wants[n-1] }

// peer returns speaker m as speaker n has it.
func (f *fabric) peer(n, m int, as bgp.Reflection) bgp.Peer {
	return bgp.Peer{
		Name: fmt.Sprintf("node-%d", m), Address: f.addr(m), Port: f.at(m).port, ASN: ourASN,
		LocalAddress: f.addr(n), Passive: n > m,
		HoldTime: 90 * time.Second, Keepalive: 30 * time.Second, ConnectRetry: time.Second,
		Families: []bgp.Family{bgp.IPv4Unicast}, GracefulRestart: true,
		Reflection: as,
		Import:     []bgp.PrefixRule{rule("10.0.0.0/8", 8, 32)},
		NextHops:   bgp.NextHops{IPv4: f.addr(n)},
	}
}

// link gives two speakers a session; as is the part that each has for the other.
func (f *fabric) link(n int, as bgp.Reflection, m int, other bgp.Reflection) {
	f.want(n).Peers = append(f.want(n).Peers, f.ready(n, f.peer(n, m, other)))
	f.want(m).Peers = append(f.want(m).Peers, f.ready(m, f.peer(m, n, as)))
}

// reflectors are the speakers that may reflect.
var reflectors = []int{2, 3}

func (f *fabric) ready(n int, p bgp.Peer) bgp.Peer {
	if slices.Contains(reflectors, n) {
		p.ClusterID = f.want(n).Config.RouterID
	}
	return p
}

// originate has speaker n tell a prefix to all its peers; nothing when with is nil.
func (f *fabric) originate(n int, prefix string, with *bgp.Attributes) {
	var to []string
	for _, p := range f.want(n).Peers {
		to = append(to, p.Name)
	}
	slices.Sort(to)
	draft := f.want(n).Advertisements.Edit()
	draft.Delete(netip.MustParsePrefix(prefix))
	if with != nil {
		draft.Set(netip.MustParsePrefix(prefix), &bgp.Audience{Exports: []bgp.Export{{To: to, Attributes: *with}}})
	}
	f.want(n).Advertisements = draft.Map()
}

func (f *fabric) apply(numbers ...int) {
	f.t.Helper()
	for _, n := range numbers {
		f.at(n).apply(*f.want(n))
	}
}

// part sets the part that speaker n gives to its peer m.
func (f *fabric) part(n, m int, as bgp.Reflection) {
	peers := slices.Clone(f.want(n).Peers)
	i := slices.IndexFunc(peers, func(p bgp.Peer) bool { return p.Address == f.addr(m) })
	peers[i].Reflection = as
	f.want(n).Peers = peers
}

// partOf returns the part that speaker n gives to its peer m.
func (f *fabric) partOf(n, m int) bgp.Reflection {
	i := slices.IndexFunc(f.want(n).Peers, func(p bgp.Peer) bool { return p.Address == f.addr(m) })
	return f.want(n).Peers[i].Reflection
}

// up waits for all sessions.
func (f *fabric) up() {
	f.t.Helper()
	for n := range f.speakers {
		for _, p := range f.wants[n].Peers {
			f.speakers[n].eventually("the session with "+p.Name, func() (string, bool) {
				s := f.speakers[n].session(p.Name)
				return fmt.Sprintf("%+v", s), s.State == bgp.Established
			})
		}
	}
}

// since returns when each session last came up or went down.
func (f *fabric) since() string {
	var b strings.Builder
	for n := range f.speakers {
		for _, p := range f.wants[n].Peers {
			s := f.speakers[n].session(p.Name)
			fmt.Fprintln(&b, n+1, s.Peer, s.State, s.Since)
		}
	}
	return b.String()
}

// heard is what a speaker has of one peer in its Adj-RIB-In, a line a prefix: all that was on
// the wire.
func (f *fabric) heard(n, from int) string {
	f.t.Helper()
	var lines []string
	err := f.at(n).server.ListPath(f.t.Context(), &api.ListPathRequest{
		TableType: api.TableType_ADJ_IN, Name: f.addr(from).String(), Family: apiFamily(bgp.IPv4Unicast),
	}, func(d *api.Destination) {
		for _, p := range d.GetPaths() {
			lines = append(lines, d.GetPrefix()+describeAttributes(f.t, p))
		}
	})
	if err != nil {
		return err.Error()
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func describeAttributes(t *testing.T, p *api.Path) string {
	t.Helper()
	var b strings.Builder
	for _, packed := range p.GetPattrs() {
		attr, err := packed.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		switch a := attr.(type) {
		case *api.OriginAttribute:
			fmt.Fprintf(&b, " origin %d", a.GetOrigin())
		case *api.NextHopAttribute:
			fmt.Fprintf(&b, " via %s", a.GetNextHop())
		case *api.OriginatorIdAttribute:
			fmt.Fprintf(&b, " originator %s", a.GetId())
		case *api.ClusterListAttribute:
			fmt.Fprintf(&b, " clusters %s", strings.Join(a.GetIds(), ","))
		case *api.CommunitiesAttribute:
			for _, c := range a.GetCommunities() {
				fmt.Fprintf(&b, " community %s", bgp.Community(c))
			}
		case *api.LargeCommunitiesAttribute:
			for _, c := range a.GetCommunities() {
				fmt.Fprintf(&b, " large %d:%d:%d", c.GetGlobalAdmin(), c.GetLocalData1(), c.GetLocalData2())
			}
		case *api.MultiExitDiscAttribute:
			fmt.Fprintf(&b, " med %d", a.GetMed())
		case *api.LocalPrefAttribute:
			if a.GetLocalPref() != defaultLocalPref {
				fmt.Fprintf(&b, " local-pref %d", a.GetLocalPref())
			}
		}
	}
	return b.String()
}

// hears waits until a speaker has exactly these lines of a peer.
func (f *fabric) hears(n, from int, lines ...string) {
	f.t.Helper()
	slices.Sort(lines)
	want := strings.Join(lines, "\n")
	f.at(n).eventually(fmt.Sprintf("speaker %d having of %d\n%s", n, from, want), func() (string, bool) {
		got := f.heard(n, from)
		return got, got == want
	})
}

const (
	pods1 = "10.0.1.0/24"
	pods4 = "10.0.4.0/24"
)

// own is how a speaker's own prefix arrives: where it may reflect, GoBGP adds to its own
// prefixes, too, what it has to add to those of others.
func own(prefix string, by int) string {
	line := fmt.Sprintf("%s origin 0 via 127.0.2.%d", prefix, by)
	if slices.Contains(reflectors, by) {
		line += fmt.Sprintf(" originator 192.0.2.%d clusters 192.0.2.%d", by, by)
	}
	return line
}

// passed is how a speaker's prefix arrives by way of a reflector.
func passed(prefix string, by, reflector int) string {
	line := fmt.Sprintf("%s origin 0 via 127.0.2.%d originator 192.0.2.%d clusters 192.0.2.%d", prefix, by, by, reflector)
	if slices.Contains(reflectors, by) {
		line += fmt.Sprintf(",192.0.2.%d", by)
	}
	return line
}
