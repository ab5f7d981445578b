package netlink

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/test/namespace"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestRoutedFindsTheRoutesOfOthersToExactlyThesePrefixes(t *testing.T) {
	fib := inNamespace(t)
	namespace.IP(t, `route add 172.16.0.0/16 via 10.0.1.2
route add 172.16.1.0/24 via 10.0.1.2
route add blackhole 172.17.0.0/16
route add 172.18.0.0/16 via 10.0.1.2 table 99
route add 172.19.0.0/16 tos 8 via 10.0.1.2
-6 route add fd99::/64 via fd00:1::2`)
	apply(t, fib, add(route(t, "172.20.0.0/16", "10.0.1.2@one")))
	list, err := fib.Routed(t.Context(), prefixes("172.16.0.0/16", "172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/16", "172.16.1.0/25", "10.0.1.0/24", "fd99::/64"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range list {
		lines = append(lines, r.String())
	}
	slices.Sort(lines)
	mustFollow(t, strings.Join(lines, "\n"),
		"10.0.1.0/24 @one metric 0 table 254",
		"172.16.0.0/16 via 10.0.1.2 @one metric 0 table 254",
		"fd99::/64 via fd00:1::2 @one metric 1024 table 254",
		"other 172.17.0.0/16 metric 0 table 254")
}

func TestWatchTellsOfRoutesOfOthersToAskedPrefixes(t *testing.T) {
	fib := inNamespace(t)
	told := teller(t, fib, func(e Event) bool { return e.Routed })
	ask := func(list ...string) {
		t.Helper()
		if _, err := fib.Routed(t.Context(), prefixes(list...)); err != nil {
			t.Fatal(err)
		}
	}
	told("nothing is asked for", "route add 172.16.0.0/16 via 10.0.1.2", false)
	ask("172.16.0.0/16", "fd99::/64")
	told("a more specific one", "route add 172.16.1.0/24 via 10.0.1.2", false)
	told("it goes", "route del 172.16.0.0/16", true)
	told("it comes", "route add blackhole 172.16.0.0/16", true)
	told("another table", "route add 172.16.0.0/16 via 10.0.1.2 table 99", false)
	told("IPv6", "-6 route add fd99::/64 via fd00:1::2", true)
	followed(t, fib, "172.30.1.1")
	followed(t, fib)
	told("after nothing is followed any more", "route del 172.16.0.0/16", true)
	ask()
	told("nothing is asked for any more", "route add 172.16.0.0/16 via 10.0.1.2", false)
}
