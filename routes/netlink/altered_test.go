package netlink

import (
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// Whatever somebody adds to a route of ours that we never write, and that changes what the
// kernel does, is seen and mended.
func TestWhatWeNeverWriteIsMended(t *testing.T) {
	fib := inNamespace(t)
	clock := time.Unix(1000, 0)
	table := routes.NewTable(fib, func() time.Time { return clock })
	v4, v6 := route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one")
	many4, many6 := route(t, "10.2.0.0/24", "10.0.1.2@one", "10.0.2.2@two"), route(t, "fd20::/64", "fd00:1::2@one", "fd00:2::2@two")
	want := routes.Desired{Complete: true, Routes: []routes.Route{v4, v6, many4, many6}}
	if err := table.Reconcile(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	before := show(t, "route show proto 219") + show(t, "-6 route show proto 219")
	for _, c := range []struct {
		key    routes.Key
		change string
	}{
		{v4.Key, "10.1.0.0/24 via 10.0.1.2 dev one mtu 500"},
		{v4.Key, "10.1.0.0/24 via 10.0.1.2 dev one mtu lock 1400"},
		{v4.Key, "10.1.0.0/24 via 10.0.1.2 dev one src 10.0.2.1"},
		{v4.Key, "10.1.0.0/24 via 10.0.1.2 dev one realm 7"},
		{v4.Key, "10.1.0.0/24 via 10.0.1.2 dev one onlink"},
		{many4.Key, "10.2.0.0/24 initcwnd 1 nexthop via 10.0.1.2 dev one nexthop via 10.0.2.2 dev two"},
		{many4.Key, "10.2.0.0/24 nexthop via 10.0.1.2 dev one realm 7 nexthop via 10.0.2.2 dev two"},
		{many4.Key, "10.2.0.0/24 nexthop via 10.0.1.2 dev one onlink nexthop via 10.0.2.2 dev two"},
		{v6.Key, "fd10::/64 via fd00:1::2 dev one mtu 1300"},
		{v6.Key, "fd10::/64 via fd00:1::2 dev one expires 500"},
		{v6.Key, "fd10::/64 via fd00:1::2 dev one src fd00:2::1"},
		{v6.Key, "fd10::/64 via fd00:1::2 dev one pref low"},
		{many6.Key, "fd20::/64 mtu 1300 nexthop via fd00:1::2 dev one nexthop via fd00:2::2 dev two"},
	} {
		for name, mend := range map[string]func() error{
			"repair": func() error { return table.Repair(t.Context()) },
			"mend": func() error {
				table.Suspect([]routes.Key{c.key})
				return table.Mend(t.Context())
			},
		} {
			clock = clock.Add(time.Minute) // so that it is no contest
			family := "-4 "
			if c.key.Prefix.Addr().Is6() {
				family = "-6 "
			}
			namespace.IP(t, family+"route replace metric 2048 proto 219 "+c.change)
			if got, err := fib.Dump(t.Context()); err != nil || !strings.Contains(text(got), "other "+c.key.Prefix.String()) {
				t.Errorf("%s: not seen, %v:\n%s", c.change, err, text(got))
			}
			if err := mend(); err != nil {
				t.Errorf("%s: %s: %v", c.change, name, err)
			}
			if after := show(t, "route show proto 219") + show(t, "-6 route show proto 219"); after != before {
				t.Errorf("%s: after %s the kernel holds\n%s\nwant\n%s", c.change, name, after, before)
			}
		}
	}
}

// A route under our number for some of the packets alone does not stand for ours, and goes
// as soon as all that is wanted is known.
func TestRoutesForSomePacketsAreOursAndUnwanted(t *testing.T) {
	fib := inNamespace(t)
	namespace.IP(t, `-6 route add fd10::/64 from fd00:8::/64 via fd00:1::2 dev one metric 2048 proto static
route add 10.1.0.0/24 via 10.0.1.2 dev one metric 2048 proto static tos 0x08`)
	before := foreign(t)
	namespace.IP(t, `route add 10.1.0.0/24 via 10.0.1.2 dev one metric 2048 proto 219 tos 0x10
-6 route add fd10::/64 from fd00:9::/64 via fd00:1::2 dev one metric 2048 proto 219`)
	table := routes.NewTable(fib, time.Now)
	want := routes.Desired{Routes: []routes.Route{route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one")}}
	if err := table.Reconcile(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if state := table.State(); state.Installed != 2 || state.Stale != 2 {
		t.Errorf("state %+v", state)
	}
	for _, line := range []string{
		"10.1.0.0/24 via 10.0.1.2 dev one metric 2048", "10.1.0.0/24 tos 0x10 via 10.0.1.2 dev one metric 2048",
		"fd10::/64 from fd00:9::/64 via fd00:1::2 dev one metric 2048 pref medium", "fd10::/64 via fd00:1::2 dev one metric 2048 pref medium",
	} {
		if got := show(t, "-N route show proto 219") + "\n" + show(t, "-6 route show proto 219"); !strings.Contains("\n"+got+"\n", "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, got)
		}
	}
	want.Complete = true
	if err := table.Reconcile(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib, want.Routes...)
	if err := table.Reconcile(t.Context(), routes.Desired{Complete: true}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib)
	if after := foreign(t); after != before {
		t.Errorf("foreign routes changed from\n%s\nto\n%s", before, after)
	}
}
