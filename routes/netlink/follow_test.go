package netlink

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// followed renders what Follow returns, one address a line.
func followed(t *testing.T, fib *FIB, list ...string) string {
	t.Helper()
	found, err := fib.Follow(t.Context(), addrs(list...))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for addr, route := range found {
		lines = append(lines, fmt.Sprintf("%s by %s", addr, route))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func mustFollow(t *testing.T, got string, want ...string) {
	t.Helper()
	one, two := link(t, "one"), link(t, "two")
	text := strings.NewReplacer("@one", fmt.Sprintf("link %d", one), "@two", fmt.Sprintf("link %d", two)).Replace(strings.Join(want, "\n"))
	if got != text {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
}

func TestFollowFindsTheRoutesOfOthersThatTheKernelWouldTake(t *testing.T) {
	fib := inNamespace(t)
	namespace.IP(t, `route add default via 10.0.1.254
route add 172.16.0.0/16 via 10.0.1.2 metric 50
route add 172.16.0.0/16 via 10.0.2.2 metric 20
route add 172.16.9.0/24 nexthop via 10.0.1.2 nexthop via 10.0.2.2
route add 172.16.8.0/24 dev two
route add unreachable 172.17.0.0/16
route add 172.18.0.0/16 via 10.0.1.2 table 99
-6 route add fd99::/64 via fd00:1::2`)
	// Ours count for nothing, however specific.
	apply(t, fib, add(route(t, "172.16.1.0/24", "10.0.1.2@one")))
	mustFollow(t, followed(t, fib, "172.16.1.1", "172.16.9.1", "172.16.8.1", "172.17.0.1", "172.18.0.1", "fd99::1", "fd98::1"),
		"172.16.1.1 by 172.16.0.0/16 via 10.0.2.2 @two metric 20 table 254",
		"172.16.8.1 by 172.16.8.0/24 @two metric 0 table 254",
		"172.16.9.1 by 172.16.9.0/24 via 10.0.1.2 @one via 10.0.2.2 @two metric 0 table 254",
		"172.17.0.1 by unreachable 172.17.0.0/16 metric 0 table 254",
		"172.18.0.1 by 0.0.0.0/0 via 10.0.1.254 @one metric 0 table 254",
		"fd99::1 by fd99::/64 via fd00:1::2 @one metric 1024 table 254")
	if got := followed(t, fib); got != "" {
		t.Errorf("nothing was asked for, and %s came", got)
	}
}

func TestWatchTellsOfRoutesOfOthersOnlyWhileTheyLeadToFollowedAddresses(t *testing.T) {
	fib := inNamespace(t)
	// Of each link the kernel tells again once it runs and its link-local address is no duplicate.
	for deadline := time.Now().Add(10 * time.Second); namespace.IP(t, "-o -6 addr show tentative") != ""; {
		if time.Now().After(deadline) {
			t.Fatal("there are tentative addresses after ten seconds")
		}
		time.Sleep(20 * time.Millisecond)
	}
	told := teller(t, fib, func(e Event) bool { return e.Moved })
	told("nothing is followed", "route add 172.16.0.0/16 via 10.0.1.2", false)
	followed(t, fib, "172.16.1.1")
	told("another prefix", "route add 172.20.0.0/16 via 10.0.1.2", false)
	told("another table", "route add 172.16.1.0/24 via 10.0.1.2 table 99", false)
	told("a more specific one", "route add 172.16.1.0/24 via 10.0.1.2", true)
	told("a change", "route replace 172.16.1.0/24 via 10.0.2.2", true)
	told("a removal", "route del 172.16.1.0/24", true)
	told("a default route", "route add default via 10.0.1.2", true)
	followed(t, fib, "172.16.1.1") // by link one
	told("the link of a pod", "link add pod type veth peer name podfar\nlink set pod up\nlink del pod", false)
	told("another link", "link set two down", false)
	told("an address on the link that it leads over", "addr add 10.0.9.1/24 dev one", true)
	told("the link that comes with a more specific one", "link set two up\naddr add 172.16.1.9/24 dev two", true)
	told("and that goes again", "addr del 172.16.1.9/24 dev two", true)
	followed(t, fib)
	told("nothing is followed any more", "route del default", false)
}

// A table of another daemon costs time to look through, and next to no memory.
func TestFollowKeepsNothingOfALargeForeignTable(t *testing.T) {
	fib := inNamespace(t)
	others := newFIB(fib.protocol+1, must(open()))
	t.Cleanup(func() { _ = others.Close() })
	var ops []routes.Op
	for i := range 100_000 {
		prefix := fmt.Sprintf("%d.%d.%d.0/24", 20+i>>16, i>>8&255, i&255)
		ops = append(ops, add(route(t, prefix, "10.0.1.2@one")))
	}
	apply(t, others, ops...)
	began := time.Now()
	mustFollow(t, followed(t, fib, "20.1.2.3"), "20.1.2.3 by 20.1.2.0/24 via 10.0.1.2 @one metric 2048 table 254")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := testing.AllocsPerRun(1, func() { followed(t, fib, "20.1.2.3") }); got > 150_000 {
		t.Errorf("%.0f allocations", got)
	}
}

func must(s *socket, err error) *socket {
	if err != nil {
		panic(err)
	}
	return s
}
