package main

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/routes/netlink"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// Pods come and go with their links all day: only what may concern a route of ours is a
// reason to look at any.
func TestOnlyNewsThatConcernsOurRoutesIsAReasonToLook(t *testing.T) {
	namespace.EnterWithLinks(t)
	k, err := openKernel(netlink.DefaultProtocol, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.fib.Close() })
	one, two := linkOf(t, "one"), linkOf(t, "two")
	ours := routes.Route{
		Key:      routes.Key{Table: routes.MainTable, Prefix: netip.MustParsePrefix("10.1.0.0/24"), Metric: 2048},
		NextHops: []routes.NextHop{{Gateway: netip.MustParseAddr("10.0.1.2"), Link: one}},
	}
	if err := k.table.Reconcile(t.Context(), routes.Desired{Routes: []routes.Route{ours}, Complete: true}); err != nil {
		t.Fatal(err)
	}
	other := ours.Key
	other.Metric = 7
	for name, c := range map[string]struct {
		event netlink.Event
		want  bool
	}{
		"lost news":             {netlink.Event{Resync: true}, true},
		"the link of a pod":     {netlink.Event{Host: true, Links: []int{two, two + 100}}, false},
		"our link":              {netlink.Event{Host: true, Links: []int{one, two}}, true},
		"forwarding":            {netlink.Event{Host: true}, false},
		"our route":             {netlink.Event{Routes: []routes.Key{ours.Key}}, true},
		"our route, by itself":  {netlink.Event{Fallen: []routes.Key{ours.Key}}, true},
		"another at our prefix": {netlink.Event{Routes: []routes.Key{other}, Fallen: []routes.Key{other}}, false},
	} {
		if got := k.suspect(c.event); got != c.want {
			t.Errorf("%s: a reason to look is %t, want %t", name, got, c.want)
		}
	}
}
