package cluster

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	// repairTime is within which a route of ours is back that something else took away.
	repairTime = 100 * time.Millisecond
	// linkTime is within which routes are back after their link. It is less than the agent
	// waits before it tries again what failed, so it is the news of the link that does it.
	linkTime = 2 * time.Second
)

// routeNews are changes of IPv4 routes in the kernel of a node, as it tells of them.
type routeNews struct {
	prefix netip.Prefix
	gone   bool
	at     time.Time
}

func watchRoutes(t *testing.T, n *node) <-chan routeNews {
	t.Helper()
	handle, err := netns.GetFromPath(n.NetNS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = handle.Close() })
	updates, done := make(chan netlink.RouteUpdate, 1024), make(chan struct{})
	t.Cleanup(func() { close(done) })
	if err := netlink.RouteSubscribeAt(handle, updates, done); err != nil {
		t.Fatal(err)
	}
	out := make(chan routeNews, 1024)
	go func() {
		for u := range updates {
			if u.Dst == nil || u.Protocol != 219 {
				continue
			}
			addr, _ := netip.AddrFromSlice(u.Dst.IP)
			bits, _ := u.Dst.Mask.Size()
			out <- routeNews{netip.PrefixFrom(addr.Unmap(), bits), u.Type == unix.RTM_DELROUTE, time.Now()}
		}
	}()
	return out
}

// wait returns when the kernel told of the prefix.
func wait(t *testing.T, news <-chan routeNews, prefix string, gone bool) time.Time {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		select {
		case n := <-news:
			if n.prefix.String() == prefix && n.gone == gone {
				return n.at
			}
		case <-deadline.C:
			t.Fatalf("%s: no news that it has gone: %t", prefix, gone)
		}
	}
}

// A node with a second link, to which the router sends it for some prefixes.
func TestRoutesThatAreTakenAwayAreBackAtOnce(t *testing.T) {
	r, n, dir, start := dirRig(t)
	second := r.Switch("second")
	second.Attach(n, "198.51.100.11/24")
	second.Attach(r.router, "198.51.100.1/24")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "router.yaml", strings.Replace(peerManifest, "asn: 65001,", "asn: 65001, import: {allow: [{prefix: 10.244.0.0/16, minLength: 24, maxLength: 24}]},", 1))
	start()
	r.eventually(func() error { return n.established(1) })
	if err := r.router.Configure(t.Context(), `route-map second permit 10
 match ip address prefix-list second
 set ip next-hop 198.51.100.1
route-map second permit 20
ip prefix-list second permit 10.244.201.0/24
router bgp 65001
 address-family ipv4 unicast
  network 10.244.200.0/24
  network 10.244.201.0/24
  neighbor 192.0.2.11 route-map second out
 exit-address-family
`); err != nil {
		t.Fatal(err)
	}
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	r.eventually(func() error { return hasRoute(t.Context(), n.Host, "10.244.200.0/24", here) })
	r.eventually(func() error { return hasRoute(t.Context(), n.Host, "10.244.201.0/24", there) })
	news := watchRoutes(t, n)

	var took []time.Duration
	for i := range 4 { // five within ten seconds are a contest
		change := []string{"ip", "route", "del", "10.244.200.0/24", "proto", "219"}
		if i%2 == 1 {
			change = []string{"ip", "route", "replace", "10.244.200.0/24", "via", "192.0.2.99", "dev", "lan", "proto", "219", "metric", "2048"}
		}
		if _, err := n.run(change...); err != nil {
			t.Fatal(err)
		}
		undone := wait(t, news, "10.244.200.0/24", i%2 == 0)
		took = append(took, wait(t, news, "10.244.200.0/24", false).Sub(undone))
		if err := hasRoute(t.Context(), n.Host, "10.244.200.0/24", here); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	t.Logf("back after %v", took)
	if median := took[len(took)/2]; median > repairTime { // one late one is the machine's
		t.Errorf("routes that were deleted or changed were back after %v", took)
	}

	t.Log("a link goes down and comes back, while the session goes on")
	for range 3 {
		if _, err := n.run("ip", "link", "set", "second", "down"); err != nil {
			t.Fatal(err)
		}
		r.eventually(func() error { return hasRoute(t.Context(), n.Host, "10.244.201.0/24") })
		began := time.Now()
		if _, err := n.run("ip", "link", "set", "second", "up"); err != nil {
			t.Fatal(err)
		}
		if err := lab.Until(t.Context(), func() error { return hasRoute(t.Context(), n.Host, "10.244.201.0/24", there) }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > linkTime {
			t.Errorf("back %s after the link", took)
		} else {
			t.Logf("back %s after the link", took)
		}
	}
	if err := hasRoute(t.Context(), n.Host, "10.244.200.0/24", here); err != nil {
		t.Error(err)
	}
	if err := r.ups(1, "192.0.2.11"); err != nil {
		t.Errorf("the session went down: %v\n%s", err, n.log())
	}
}
