package netlink

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// Someone else fights for one prefix of each family, and by the kernel's own means: the
// fight ends in a back-off that names it, and no other route suffers.
func TestContestInTheKernelEndsInABackOffThatNamesTheOther(t *testing.T) {
	fib := inNamespace(t)
	clock := time.Unix(1000, 0)
	table := routes.NewTable(fib, func() time.Time { return clock })
	v4, v6 := route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one", "fd00:2::2@two")
	calm := route(t, "10.2.0.0/24", "10.0.1.2@one")
	if err := table.Reconcile(t.Context(), routes.Desired{Routes: []routes.Route{v4, v6, calm}, Complete: true}); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 6 {
		namespace.IP(t, `route replace 10.1.0.0/24 via 10.0.1.9 metric 2048 proto static
-6 route del fd10::/64 metric 2048`)
		table.Suspect([]routes.Key{v4.Key, v6.Key}) // as Watch tells
		clock = clock.Add(100 * time.Millisecond)
		err = table.Repair(t.Context())
		namespace.IP(t, "route del 10.1.0.0/24 metric 2048 proto static")
		_ = table.Repair(t.Context())
	}
	mustHold(t, fib, calm)
	if _, held := errors.AsType[*routes.ContestedError](err); !held || strings.Contains(err.Error(), "10.2.0.0") {
		t.Errorf("got %v", err)
	}
	for i, want := range []string{"a route that is not ours (protocol 4/static) takes its place", "something deletes it"} {
		if got := table.State().Contested; len(got) != 2 || got[i].By != want {
			t.Fatalf("contests %v, want the one of number %d to be: %s", got, i, want)
		}
	}
	clock = clock.Add(10 * time.Second) // the other gives up
	if err := table.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib, v4, v6, calm)
	clock = clock.Add(11 * time.Second)
	if got := table.State(); len(got.Contested) != 0 || got.Installed != 3 {
		t.Errorf("after the contest: %+v", got)
	}
}
