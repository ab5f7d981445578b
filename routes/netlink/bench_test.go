package netlink

import (
	"net/netip"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/routes"
)

// many returns n IPv4 /24 routes with one next hop.
func many(t testing.TB, n, link int) []routes.Route {
	t.Helper()
	list := make([]routes.Route, n)
	for i := range list {
		addr := netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0})
		list[i] = routes.Route{
			Key:      routes.Key{Table: routes.MainTable, Prefix: netip.PrefixFrom(addr, 24), Metric: 2048},
			NextHops: []routes.NextHop{{Gateway: netip.MustParseAddr("10.0.1.2"), Link: link}},
		}
	}
	return list
}

func ops(verb routes.Verb, list []routes.Route) []routes.Op {
	out := make([]routes.Op, len(list))
	for i, r := range list {
		out[i] = routes.Op{Verb: verb, Route: r}
	}
	return out
}

// TestHundredThousandRoutes prints what the writer, the dump and a whole pass of the table
// take. It fails only at ten times what a small machine needs.
func TestHundredThousandRoutes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out by -short")
	}
	fib := inNamespace(t)
	list := many(t, 100_000, link(t, "one"))
	timed := func(what string, limit time.Duration, act func()) {
		start := time.Now()
		act()
		took := time.Since(start)
		t.Logf("%-28s %8.3f s", what, took.Seconds())
		if took > limit {
			t.Errorf("%s took %v, more than %v", what, took, limit)
		}
	}
	timed("Apply, 100,000 adds", 6*time.Second, func() { apply(t, fib, ops(routes.Add, list)...) })
	timed("Dump", 4*time.Second, func() {
		if got, err := fib.Dump(t.Context()); err != nil || len(got) != len(list) {
			t.Errorf("%d routes, %v", len(got), err)
		}
	})
	timed("Apply, 100,000 replaces", 6*time.Second, func() { apply(t, fib, ops(routes.Replace, list)...) })
	timed("Apply, 100,000 deletes", 6*time.Second, func() { apply(t, fib, ops(routes.Delete, list)...) })
	table := routes.NewTable(fib, time.Now)
	reconcile := func() {
		if err := table.Reconcile(t.Context(), routes.Desired{Routes: list, Complete: true}); err != nil {
			t.Error(err)
		}
	}
	timed("Reconcile of an empty kernel", 8*time.Second, reconcile)
	timed("Reconcile, nothing to do", 6*time.Second, reconcile)
	timed("Update of one route", time.Second, func() {
		if err := table.Update(t.Context(), []routes.Change{{Key: list[0].Key}}); err != nil {
			t.Error(err)
		}
	})
}
