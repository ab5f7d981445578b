package gobgp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// calls connects and waits until the speaker names exactly this caller.
func (r *rig) calls(from fakeOptions) {
	r.t.Helper()
	var conn net.Conn
	var heard []string
	r.eventually("the caller "+from.from, func() (string, bool) {
		if conn == nil { // once and no more, so that nothing is left over for the next look
			var err error
			if conn, err = from.connect(); err != nil {
				return err.Error(), false
			}
			r.t.Cleanup(func() { conn.Close() })
		}
		for _, addr := range r.Callers() {
			heard = append(heard, addr.String())
		}
		return fmt.Sprint(heard), slices.Equal(heard, []string{from.from})
	})
	conn.Close()
}

func listen(prefix string, password bgp.Secret) bgp.Listen {
	return bgp.Listen{Prefix: netip.MustParsePrefix(prefix), Password: password}
}

func TestWhoConnectsFromAPrefixThatIsListenedForBecomesKnown(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}, Listens: []bgp.Listen{listen("127.0.1.0/29", "")}}
	r.apply(want)
	one := r.connect(r.fake(1)) // a peer is none of the callers
	r.calls(r.fake(2))
	if _, err := r.fake(9).dial(); err == nil { // outside
		t.Error("a stranger was let in")
	}
	select {
	case <-r.SessionEvents():
	default:
		t.Error("nothing tells of the callers")
	}
	want.Peers = append(slices.Clone(want.Peers), r.peer(2))
	r.apply(want)
	two := r.connect(r.fake(2))
	want.Listens = []bgp.Listen{listen("127.0.1.8/29", "")}
	r.apply(want)
	r.calls(r.fake(9))
	if _, err := r.fake(3).dial(); err == nil {
		t.Error("somebody was let in from a prefix that is no longer listened for")
	}
	if more := r.Callers(); slices.ContainsFunc(more, func(a netip.Addr) bool { return a.String() != "127.0.1.9" }) {
		t.Errorf("callers %v, of whom only one is in the prefix", more)
	}
	r.stillAlive(one, two)
}

func TestOnlyWhoSignsIsHeardFromAPrefixWithAPassword(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Listens: []bgp.Listen{listen("127.0.1.0/24", "good"), listen("127.0.1.8/29", "better")}}
	signs := func(n int, password string) fakeOptions {
		o := r.fake(n)
		o.password = password
		return o
	}
	for range 2 { // the second time on new sockets
		r.apply(want)
		for _, wrong := range []fakeOptions{signs(2, ""), signs(2, "bad"), signs(2, "better"), signs(9, "good")} {
			if _, err := wrong.connect(); err == nil {
				t.Errorf("%s was let in with password %q", wrong.from, wrong.password)
			}
		}
		if heard := r.Callers(); len(heard) > 0 {
			t.Errorf("callers without a good password: %v", heard)
		}
		r.calls(signs(2, "good"))
		r.calls(signs(9, "better"))
		if n := r.neighbors(); n != 0 {
			t.Errorf("GoBGP has made %d neighbors by itself", n)
		}
		want.Config.ListenPort = freePort(t)
		r.port = want.Config.ListenPort
		config := *want.Config
		want.Config = &config
	}

	t.Log("a peer has the password too, and the prefix keeps it when the peer goes")
	peer := r.peer(2)
	peer.Password = "good"
	want.Peers = []bgp.Peer{peer}
	r.apply(want)
	two := r.connect(signs(2, "good"))
	want.Listens = []bgp.Listen{listen("127.0.1.0/24", "new")}
	r.apply(want)
	r.calls(signs(3, "new"))
	r.stillAlive(two)
	want.Peers = nil
	r.apply(want)
	r.calls(signs(2, "new"))

	t.Log("without a password, and without the prefix")
	want.Listens = []bgp.Listen{listen("127.0.1.0/24", "")}
	r.apply(want)
	r.calls(signs(2, ""))
	want.Listens = nil
	r.apply(want)
	if _, err := signs(2, "").dial(); err == nil || len(r.Callers()) > 0 {
		t.Error("somebody is heard though nobody listens")
	}
}

func (r *rig) neighbors() (n int) {
	r.t.Helper()
	if err := r.server.ListPeer(r.t.Context(), &api.ListPeerRequest{}, func(*api.Peer) { n++ }); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func TestAPrefixThatCannotBeListenedForAffectsItselfAlone(t *testing.T) {
	r := newRig(t, Options{})
	long := bgp.Secret(make([]byte, maxPassword+1))
	err := r.tryApply(bgp.Desired{Config: r.config(), Listens: []bgp.Listen{
		{}, {Prefix: netip.MustParsePrefix("127.0.1.7/24")}, listen("127.0.1.0/24", ""), listen("127.0.1.0/24", "x"), listen("127.0.2.0/24", long),
	}})
	if got := len(bgp.Errors(err)); got != 4 {
		t.Errorf("%d errors, want 4: %v", got, err)
	}
	r.calls(r.fake(2))
}
