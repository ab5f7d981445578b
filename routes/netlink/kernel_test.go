package netlink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// inNamespace moves the test into a network namespace of its own, with the links one and two
// (10.0.1.1/24 and fd00:1::1/64; 10.0.2.1/24 and fd00:2::1/64), each a veth whose far end is
// up too, and a FIB there. The thread never returns to other goroutines: it dies with the
// test, and the namespace with it.
func inNamespace(t *testing.T) *FIB {
	t.Helper()
	namespace.EnterWithLinks(t)
	fib, err := New(Options{Protocol: DefaultProtocol})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fib.Close(); err != nil {
			t.Error(err)
		}
	})
	return fib
}

// link returns the index of a link in this thread's namespace.
func link(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		t.Fatal(err)
	}
	return int(request.Uint32())
}

// route builds a route at metric 2048 in the main table; hops are "gateway@link",
// "gateway@link*weight" or "@link". No hops: unreachable.
func route(t *testing.T, prefix string, hops ...string) routes.Route {
	t.Helper()
	r := routes.Route{Key: routes.Key{Table: routes.MainTable, Prefix: netip.MustParsePrefix(prefix), Metric: 2048}}
	if len(hops) == 0 {
		r.Kind = routes.Unreachable
	}
	for _, hop := range hops {
		var nh routes.NextHop
		hop, weight, weighted := strings.Cut(hop, "*")
		if weighted {
			if _, err := fmt.Sscan(weight, &nh.Weight); err != nil {
				t.Fatal(err)
			}
		}
		gateway, name, _ := strings.Cut(hop, "@")
		if gateway != "" {
			nh.Gateway = netip.MustParseAddr(gateway)
		}
		nh.Link = link(t, name)
		r.NextHops = append(r.NextHops, nh)
	}
	return r
}

func apply(t *testing.T, fib *FIB, ops ...routes.Op) {
	t.Helper()
	for i, err := range fib.Apply(t.Context(), ops) {
		if err != nil {
			t.Errorf("%s %s: %v", ops[i].Verb, ops[i].Route, err)
		}
	}
}

func add(r routes.Route) routes.Op     { return routes.Op{Verb: routes.Add, Route: r} }
func del(r routes.Route) routes.Op     { return routes.Op{Verb: routes.Delete, Route: r} }
func replace(r routes.Route) routes.Op { return routes.Op{Verb: routes.Replace, Route: r} }

func text(list []routes.Route) string {
	lines := make([]string, len(list))
	for i, r := range list {
		lines[i] = r.Normalize().String()
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func mustHold(t *testing.T, fib *FIB, want ...routes.Route) {
	t.Helper()
	got, err := fib.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text(got) != text(want) {
		t.Errorf("the kernel holds\n%s\nwant\n%s", text(got), text(want))
	}
}

// show is what ip says, on one line per route.
func show(t *testing.T, args string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(namespace.IP(t, args)) {
		line = strings.Join(strings.Fields(line), " ")
		if strings.HasPrefix(line, "nexthop") && len(lines) > 0 {
			lines[len(lines)-1] += " " + line
			continue
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// foreign shows every route but the kernel's own, which come and go with addresses and
// carrier in their own time.
func foreign(t *testing.T) string {
	t.Helper()
	all := show(t, "-4 route show table all") + "\n" + show(t, "-6 route show table all")
	return strings.Join(slices.DeleteFunc(strings.Split(all, "\n"), func(line string) bool {
		return strings.Contains(line, "proto kernel")
	}), "\n")
}

func TestDumpEqualsWhatIPShows(t *testing.T) {
	fib := inNamespace(t)
	all := []routes.Route{
		route(t, "10.1.0.0/24", "10.0.1.2@one"),
		route(t, "10.2.0.0/24", "10.0.1.2@one", "10.0.2.2@two*3"),
		route(t, "10.3.0.0/24", "fe80::2@one"),
		route(t, "10.4.0.0/24", "fd00:1::2@one", "10.0.2.2@two"),
		route(t, "10.5.0.0/24", "@two"),
		route(t, "10.6.0.0/24"),
		route(t, "0.0.0.0/0", "10.0.1.2@one"),
		route(t, "fd10::/64", "fd00:1::2@one"),
		route(t, "fd20::/64", "fd00:1::2@one", "fe80::2@two*3"),
		route(t, "fd30::/64", "@two"),
		route(t, "fd40::/64"),
		route(t, "::/0", "fe80::2@one"),
	}
	inTable := route(t, "10.7.0.0/24", "10.0.1.2@one")
	inTable.Table = 5000
	all = append(all, inTable)
	for _, r := range all {
		apply(t, fib, add(r))
	}
	mustHold(t, fib, all...)
	want4 := `10.1.0.0/24 via 10.0.1.2 dev one metric 2048
10.2.0.0/24 metric 2048 nexthop via 10.0.1.2 dev one weight 1 nexthop via 10.0.2.2 dev two weight 3
10.3.0.0/24 via inet6 fe80::2 dev one metric 2048
10.4.0.0/24 metric 2048 nexthop via 10.0.2.2 dev two weight 1 nexthop via inet6 fd00:1::2 dev one weight 1
10.5.0.0/24 dev two scope link metric 2048
default via 10.0.1.2 dev one metric 2048
unreachable 10.6.0.0/24 metric 2048`
	if got := show(t, "-4 route show proto 219"); got != want4 {
		t.Errorf("ip -4 route show proto 219:\n%s\nwant\n%s", got, want4)
	}
	want6 := `default via fe80::2 dev one metric 2048 pref medium
fd10::/64 via fd00:1::2 dev one metric 2048 pref medium
fd20::/64 metric 2048 pref medium nexthop via fd00:1::2 dev one weight 1 nexthop via fe80::2 dev two weight 3
fd30::/64 dev two metric 2048 pref medium
unreachable fd40::/64 dev lo metric 2048 pref medium`
	if got := show(t, "-6 route show proto 219"); got != want6 {
		t.Errorf("ip -6 route show proto 219:\n%s\nwant\n%s", got, want6)
	}
	if got, want := show(t, "route show table 5000"), "10.7.0.0/24 via 10.0.1.2 dev one proto 219 metric 2048"; got != want {
		t.Errorf("table 5000: %s, want %s", got, want)
	}
	ops := make([]routes.Op, len(all))
	for i, r := range all {
		ops[i] = del(r)
	}
	apply(t, fib, ops...)
	mustHold(t, fib)
}

// An unreachable route at the worst metric is there for the addresses that nothing else
// claims: a connected network of the very same prefix wins, and so does what is within it.
func TestUnreachableAtTheWorstMetricLosesToAllElse(t *testing.T) {
	fib := inNamespace(t)
	for prefix, c := range map[string]struct{ family, network, host, within, unused string }{
		"10.1.0.0/24": {"-4", "10.1.0.1/24", "10.1.0.7", "10.1.0.128/25", "10.1.0.8"},
		"fd10::/64":   {"-6", "fd10::1/64", "fd10::7", "fd10::8000:0:0:0/65", "fd10::8"},
	} {
		r := route(t, prefix)
		r.Metric = 4294967295
		namespace.IP(t, c.family+" route add default dev two")
		apply(t, fib, add(r))
		mustHold(t, fib, r)
		// ip-route(8) tells of an unreachable route as an error.
		if out, err := exec.CommandContext(t.Context(), "ip", c.family, "route", "get", c.unused).CombinedOutput(); err == nil {
			t.Errorf("%s leads to %s", c.unused, out)
		}
		namespace.IP(t, c.family+" route add "+c.within+" dev two")
		namespace.IP(t, "addr add "+c.network+" dev one")
		for addr, dev := range map[string]string{c.host: "dev one ", netip.MustParsePrefix(c.within).Addr().Next().String(): "dev two "} {
			if got := namespace.IP(t, c.family+" route get "+addr); !strings.Contains(got, dev) {
				t.Errorf("%s is reached by %s", addr, got)
			}
		}
		namespace.IP(t, "addr del "+c.network+" dev one")
		apply(t, fib, del(r))
	}
}

func TestReplaceReachesEveryFormFromEveryOther(t *testing.T) {
	fib := inNamespace(t)
	for name, forms := range map[string][]routes.Route{
		"IPv4": {
			route(t, "10.1.0.0/24", "10.0.1.2@one"),
			route(t, "10.1.0.0/24", "10.0.1.3@one"),
			route(t, "10.1.0.0/24", "10.0.1.2@one", "10.0.2.2@two"),
			route(t, "10.1.0.0/24", "10.0.1.2@one*2", "10.0.2.2@two"),
			route(t, "10.1.0.0/24", "10.0.1.2@one", "10.0.1.3@one", "fe80::2@two"),
			route(t, "10.1.0.0/24", "fe80::2@one"),
			route(t, "10.1.0.0/24", "@two"),
			route(t, "10.1.0.0/24"),
		},
		"IPv6": {
			route(t, "fd10::/64", "fd00:1::2@one"),
			route(t, "fd10::/64", "fd00:1::3@one"),
			route(t, "fd10::/64", "fd00:1::2@one", "fd00:2::2@two"),
			route(t, "fd10::/64", "fd00:1::2@one*2", "fd00:2::2@two"),
			route(t, "fd10::/64", "fd00:1::2@one", "fd00:1::3@one", "fe80::2@two"),
			route(t, "fd10::/64", "fe80::2@one"),
			route(t, "fd10::/64", "@two"),
			route(t, "fd10::/64"),
		},
	} {
		for _, from := range forms {
			for _, to := range forms {
				apply(t, fib, add(from))
				mustHold(t, fib, from)
				apply(t, fib, replace(to))
				mustHold(t, fib, to)
				apply(t, fib, del(to))
				mustHold(t, fib)
				if t.Failed() {
					t.Fatalf("%s: from %s to %s", name, from, to)
				}
			}
		}
	}
}

func TestForeignRoutesAreNeverTouched(t *testing.T) {
	fib := inNamespace(t)
	namespace.IP(t, `route add 10.1.0.0/24 via 10.0.1.9 metric 2048 proto static
-6 route add fd10::/64 via fd00:1::9 metric 2048 proto 77
route add unreachable 10.2.0.0/24 metric 2048 proto bird`)
	before := foreign(t)

	v4, v6 := route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one")
	both := route(t, "fd10::/64", "fd00:1::2@one", "fd00:2::2@two")
	reject := route(t, "10.2.0.0/24", "10.0.1.2@one")
	results := fib.Apply(t.Context(), []routes.Op{add(v4), add(v6), add(both), add(reject), del(v4), del(v6)})
	for i, want := range []string{
		"a route that is not ours (protocol 4/static) holds this prefix and metric",
		"a route that is not ours (protocol 77) holds this prefix and metric",
		"a route that is not ours (protocol 77) holds this prefix and metric",
		"a route that is not ours holds this prefix and metric",
		routes.ErrVanished.Error(),
		routes.ErrVanished.Error(),
	} {
		if results[i] == nil || results[i].Error() != want {
			t.Errorf("op %d: %v, want %s", i, results[i], want)
		}
	}
	mustHold(t, fib)
	if after := foreign(t); after != before {
		t.Errorf("foreign routes changed from\n%s\nto\n%s", before, after)
	}
}

func TestDeleteTakesOursFromAmongForeignRoutes(t *testing.T) {
	fib := inNamespace(t)
	v4, v6 := route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one", "fd00:2::2@two")
	namespace.IP(t, `route add 10.1.0.0/24 via 10.0.1.9 metric 7
route add 10.1.0.0/24 via 10.0.1.9 metric 4096
route add 10.1.0.0/24 via 10.0.1.9 metric 2048 table 77
-6 route add fd10::/64 via fd00:1::9 metric 7
-6 route add fd10::/64 via fd00:1::9 metric 4096`)
	before := foreign(t)
	apply(t, fib, add(v4), add(v6))
	// In IPv4 another route can be put before ours at the very same key.
	namespace.IP(t, "route prepend 10.1.0.0/24 via 10.0.1.8 metric 2048")
	apply(t, fib, del(v4), del(v6))
	namespace.IP(t, "route del 10.1.0.0/24 via 10.0.1.8 metric 2048")
	mustHold(t, fib)
	if after := foreign(t); after != before {
		t.Errorf("foreign routes changed from\n%s\nto\n%s", before, after)
	}
}

func TestVanishedAndUnexpectedRoutesAreToldApart(t *testing.T) {
	fib := inNamespace(t)
	for _, r := range []routes.Route{
		route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one"),
		route(t, "fd11::/64", "fd00:1::2@one", "fd00:2::2@two"),
	} {
		results := fib.Apply(t.Context(), []routes.Op{replace(r), del(r), add(r), add(r)})
		taken, ok := errors.AsType[*routes.TakenError](results[3])
		if !errors.Is(results[0], routes.ErrVanished) || !errors.Is(results[1], routes.ErrVanished) ||
			results[2] != nil || !ok || !taken.Ours {
			t.Errorf("%s: got %v", r, results)
		}
		apply(t, fib, del(r))
	}
}

func TestErrorsBelongToTheirOps(t *testing.T) {
	fib := inNamespace(t)
	var ops []routes.Op
	for i := range 1000 {
		gateway := "10.0.1.2@one"
		if i%7 == 3 {
			gateway = "192.0.2.1@one" // not reachable
		}
		ops = append(ops, add(route(t, fmt.Sprintf("10.%d.%d.0/24", 100+i/250, i%250), gateway)))
	}
	for i, err := range fib.Apply(t.Context(), ops) {
		if bad := i%7 == 3; bad != errors.Is(err, unix.ENETUNREACH) || !bad && err != nil {
			t.Fatalf("op %d: %v", i, err)
		}
		if err != nil && !strings.Contains(err.Error(), "Nexthop has invalid gateway") {
			t.Fatalf("op %d: %v: the kernel's own words are missing", i, err)
		}
	}
	got, err := fib.Dump(t.Context())
	if err != nil || len(got) != 1000-143 {
		t.Fatalf("%d routes, %v", len(got), err)
	}
}

func TestOpsThatCannotBeWrittenFailAlone(t *testing.T) {
	fib := inNamespace(t)
	good := route(t, "10.1.0.0/24", "10.0.1.2@one")
	zero := route(t, "10.2.0.0/24", "10.0.1.2@one")
	zero.Metric = 0
	huge := route(t, "10.3.0.0/24", "10.0.1.2@one")
	for i := range 3000 {
		huge.NextHops = append(huge.NextHops, routes.NextHop{Gateway: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Link: 1})
	}
	results := fib.Apply(t.Context(), []routes.Op{{}, add(zero), add(good), add(huge), {Verb: routes.Delete}})
	for i, bad := range []bool{true, true, false, true, true} {
		if (results[i] != nil) != bad {
			t.Errorf("op %d: %v", i, results[i])
		}
	}
	mustHold(t, fib, good)
}

func TestApplyStopsWhenCancelled(t *testing.T) {
	fib := inNamespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results := fib.Apply(ctx, []routes.Op{add(route(t, "10.1.0.0/24", "10.0.1.2@one"))})
	if !errors.Is(results[0], context.Canceled) {
		t.Errorf("got %v", results)
	}
	if _, err := fib.Dump(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Dump: %v", err)
	}
	mustHold(t, fib)
}

func TestTableMendsWhatOthersDid(t *testing.T) {
	fib := inNamespace(t)
	table := routes.NewTable(fib, time.Now)
	leftover := route(t, "10.9.0.0/24", "10.0.1.2@one")
	apply(t, fib, add(leftover))
	v4, v6 := route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one", "fd00:2::2@two")
	if err := table.Reconcile(t.Context(), routes.Desired{Routes: []routes.Route{v4, v6}}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib, v4, v6, leftover)

	namespace.IP(t, "route del 10.1.0.0/24 metric 2048\n-6 route append fd10::/64 via fd00:1::7 metric 2048")
	if err := table.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib, v4, v6, leftover)

	namespace.IP(t, "route replace 10.1.0.0/24 via 10.0.1.9 metric 2048 proto static")
	err := table.Reconcile(t.Context(), routes.Desired{Routes: []routes.Route{v4, v6}, Complete: true})
	if err == nil || !strings.Contains(err.Error(), "adding 10.1.0.0/24 via 10.0.1.2 link") ||
		!strings.Contains(err.Error(), "a route that is not ours (protocol 4/static) holds this prefix and metric") {
		t.Fatalf("got %v", err)
	}
	mustHold(t, fib, v6)
	if state := table.State(); state.Wanted != 2 || state.Installed != 1 || len(state.Failed) != 1 || state.Stale != 0 {
		t.Errorf("state %+v", state)
	}
	namespace.IP(t, "route del 10.1.0.0/24 metric 2048")
	if err := table.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib, v4, v6)
}

func TestDownedLinkFailsItsRoutesUntilItIsBack(t *testing.T) {
	fib := inNamespace(t)
	table := routes.NewTable(fib, time.Now)
	want := routes.Desired{Complete: true, Routes: []routes.Route{
		route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "10.2.0.0/24", "10.0.2.2@two"),
	}}
	if err := table.Reconcile(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	namespace.IP(t, "link set one down")
	if err := table.Repair(t.Context()); !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENETUNREACH) {
		t.Fatalf("got %v", err)
	}
	mustHold(t, fib, want.Routes[1])
	namespace.IP(t, "link set one up")
	if err := table.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib, want.Routes...)
}

// Counting lookups that miss would depend on who runs when. The kernel tells of every
// route that leaves its table before the call that removed it returns.
func TestRouteThatIsReplacedIsNeverAbsent(t *testing.T) {
	fib := inNamespace(t)
	removed := removals(t)
	for _, forms := range [][]routes.Route{
		{
			route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "10.1.0.0/24", "10.0.1.2@one", "10.0.2.2@two"),
			route(t, "10.1.0.0/24", "@two"), route(t, "10.1.0.0/24", "fe80::2@one", "10.0.2.3@two"), route(t, "10.1.0.0/24"),
		},
		{
			route(t, "fd10::/64", "fd00:1::2@one"), route(t, "fd10::/64", "fd00:1::2@one", "fd00:2::2@two"),
			route(t, "fd10::/64", "@two"), route(t, "fd10::/64", "fd00:1::3@one", "fe80::3@two"), route(t, "fd10::/64"),
		},
	} {
		apply(t, fib, add(forms[0]))
		for _, from := range forms {
			for _, to := range forms {
				apply(t, fib, replace(from), replace(to))
				if got := removed(); len(got) > 0 {
					t.Errorf("from %s to %s: the kernel told of the removal of %v", from, to, got)
				}
			}
		}
		apply(t, fib, del(forms[0]))
		if got := removed(); len(got) != 1 || got[0] != forms[0].Key {
			t.Errorf("a removal is told of as %v", got)
		}
	}
}

// removals returns a function that returns the keys of the routes of our protocol that
// left the kernel since it was called last.
func removals(t *testing.T) func() []routes.Key {
	t.Helper()
	fd, _, err := bound(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	for _, group := range []int{unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, datagram)
	return func() (keys []routes.Key) {
		for {
			n, err := receiveNow(fd, buf)
			if errors.Is(err, unix.EAGAIN) {
				return keys
			}
			if err != nil {
				t.Fatal(err)
			}
			h, payload, _, err := nextMessage(buf[:n])
			if err != nil {
				t.Fatal(err)
			}
			if p, err := parseRoute(payload); err != nil {
				t.Fatal(err)
			} else if h.kind == unix.RTM_DELROUTE && p.protocol == DefaultProtocol {
				keys = append(keys, p.route.Key)
			}
		}
	}
}
