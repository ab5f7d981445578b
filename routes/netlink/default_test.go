package netlink

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

func TestDefaultRoutesAreThoseOfOthersInTheMainTable(t *testing.T) {
	fib := inNamespace(t)
	namespace.IP(t, `route add default via 10.0.1.254 metric 100
route add default metric 50 nexthop via 10.0.1.2 nexthop via 10.0.2.2
route add 172.16.0.0/16 via 10.0.1.2
route add default via 10.0.1.3 table 99
-6 route add default via fd00:1::2`)
	apply(t, fib, add(route(t, "0.0.0.0/0", "10.0.1.2@one")))
	list, err := fib.DefaultRoutes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range list {
		lines = append(lines, r.String())
	}
	mustFollow(t, strings.Join(lines, "\n"),
		"0.0.0.0/0 via 10.0.1.2 @one via 10.0.2.2 @two metric 50 table 254",
		"0.0.0.0/0 via 10.0.1.254 @one metric 100 table 254",
		"::/0 via fd00:1::2 @one metric 1024 table 254")
}

func TestWatchTellsOfDefaultRoutesOfOthers(t *testing.T) {
	fib := inNamespace(t)
	events := watch(t, fib)
	markers := 0
	told := func(what, script string, want bool) {
		t.Helper()
		namespace.IP(t, script)
		markers++
		marker := fmt.Sprintf("10.201.%d.0/24", markers)
		namespace.IP(t, "route add "+marker+" via 10.0.1.2 proto 219") // comes after whatever the script caused
		changed := false
		for marked := false; !marked; {
			e := next(t, events)
			changed, marked = changed || e.Default, slices.ContainsFunc(e.Routes, func(k routes.Key) bool { return k.Prefix.String() == marker })
		}
		if changed != want {
			t.Errorf("%s: told %t, want %t", what, changed, want)
		}
	}
	told("no default route", "route add 172.16.0.0/16 via 10.0.1.2", false)
	told("one comes", "route add default via 10.0.1.2", true)
	told("another table", "route add default via 10.0.1.2 table 99", false)
	told("it is replaced", "route replace default via 10.0.2.2", true)
	told("it goes", "route del default", true)
	told("IPv6", "-6 route add default via fd00:1::2", true)
	told("one of ours", "route add default via 10.0.1.2 proto 219", false)
}
