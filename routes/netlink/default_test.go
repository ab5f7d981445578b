package netlink

import (
	"strings"
	"testing"

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
	told := teller(t, fib, func(e Event) bool { return e.Default })
	told("no default route", "route add 172.16.0.0/16 via 10.0.1.2", false)
	told("one comes", "route add default via 10.0.1.2", true)
	told("another table", "route add default via 10.0.1.2 table 99", false)
	told("it is replaced", "route replace default via 10.0.2.2", true)
	told("it goes", "route del default", true)
	told("IPv6", "-6 route add default via fd00:1::2", true)
	told("one of ours", "route add default via 10.0.1.2 proto 219", false)
}
