package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/routes/netlink"
	"github.com/fairway-bgp/fairway/routes/nft"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// cleanup runs `fairway cleanup` and returns what it prints.
func cleanup(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	root := rootCommand()
	root.SetOut(&out)
	root.SetArgs(append([]string{"cleanup"}, args...))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// foreignRoutes are as close to the key of ours as a foreign route can be, one at the very same.
const foreignRoutes = `route add 10.1.0.0/24 via 10.0.1.9 metric 7 proto static
route add 10.1.0.0/24 via 10.0.1.9 metric 2048 table 77 proto bird
route append 10.1.0.0/24 via 10.0.1.9 metric 2048 proto 218
-6 route add fd10::/64 via fd00:1::9 metric 7 proto static
-6 route add fd10::/64 via fd00:1::9 metric 2049 proto 220`

func TestCleanupRemovesAllThatIsOursAndNothingElse(t *testing.T) {
	namespace.EnterWithLinks(t)
	all := func() string { // but for the kernel's own, which come and go in their own time
		lines := strings.Split(namespace.IP(t, "-4 route show table all\n-6 route show table all"), "\n")
		return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "proto kernel") }), "\n")
	}
	before := all()
	namespace.IP(t, `route add 10.1.0.0/24 via 10.0.1.2 metric 2048 proto 219
-6 route add fd10::/64 metric 2048 proto 219 nexthop via fd00:1::2 nexthop via fd00:2::2
route add 10.2.0.0/24 via inet6 fe80::2 dev one metric 5 table 5000 proto 219
route add unreachable 10.3.0.0/24 metric 4294967295 proto 219
-6 route add unreachable fd30::/64 metric 4294967295 proto 219
route add blackhole 10.4.0.0/24 metric 1 proto 219
route add 10.1.0.0/24 via 10.0.1.2 metric 2048 proto 219 tos 0x10 mtu 500
-6 route add fd10::/64 from fd00:9::/64 via fd00:1::2 metric 2048 proto 219
`+foreignRoutes+`
route append 10.1.0.0/24 via 10.0.2.2 metric 2048 proto 219`)

	out, err := cleanup(t, "--dry-run")
	if want := "would remove 9 routes ("; err != nil || !strings.Contains(out, want) || strings.Count(out, "\n") != 10 {
		t.Errorf("dry run: %v\n%s\nwant %s and each of them", err, out, want)
	}
	out, err = cleanup(t)
	if want := "removed 9 routes (5 IPv4 in table 254, 1 IPv4 in table 5000, 3 IPv6 in table 254) of protocol 219\n"; err != nil || out != want {
		t.Errorf("got  %s%v\nwant %s", out, err, want)
	}
	with := all()
	if strings.Contains(with, "proto 219") {
		t.Errorf("left over:\n%s", with)
	}
	namespace.IP(t, strings.NewReplacer("route add", "route del", "route append", "route del").Replace(foreignRoutes))
	if after := all(); after != before {
		t.Errorf("without the foreign routes, which are all there, the kernel holds\n%s\nwant\n%s", after, before)
	}
	if out, err = cleanup(t); err != nil || out != "removed 0 routes of protocol 219\n" {
		t.Errorf("a second time: %s%v", out, err)
	}
}

func TestCleanupRemovesOurTableOfNftablesAndNoOther(t *testing.T) {
	namespace.EnterWithLinks(t)
	nftables := func(words ...string) string {
		t.Helper()
		path, err := exec.LookPath("nft")
		if err != nil {
			namespace.Unavailable(t, "needs nft of nftables")
		}
		out, err := exec.CommandContext(t.Context(), path, words...).CombinedOutput()
		if err != nil {
			t.Fatalf("nft %v: %v\n%s", words, err, out)
		}
		return string(out)
	}
	nftables("table inet other { chain forward { type filter hook forward priority 0; }; }; table ip fairway { chain theirs { }; }")
	others := nftables("list", "ruleset")
	if err := (nft.Filter{}).Set(t.Context(), []netip.Prefix{netip.MustParsePrefix("10.96.0.0/24")}); err != nil {
		t.Fatal(err)
	}
	const name = "the nftables table inet fairway\n"
	if out, err := cleanup(t, "--dry-run"); err != nil || !strings.HasSuffix(out, "would remove "+name) {
		t.Errorf("dry run: %v\n%s", err, out)
	}
	if out, err := cleanup(t); err != nil || !strings.HasSuffix(out, "removed "+name) {
		t.Errorf("got %v\n%s", err, out)
	}
	if left := nftables("list", "ruleset"); left != others {
		t.Errorf("left:\n%s\nwant\n%s", left, others)
	}
}

// keep does what an agent does: it puts the route back whenever the kernel tells of a change.
func keep(t *testing.T, route routes.Route) {
	t.Helper()
	k, err := openKernel(netlink.DefaultProtocol, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.table.Reconcile(t.Context(), routes.Desired{Routes: []routes.Route{route}, Complete: true}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := namespace.Go(t, func() error { return k.Run(ctx) })
	mended := make(chan error)
	<-k.drift // it watches now
	go func() {
		for {
			select {
			case <-ctx.Done():
				mended <- nil
				return
			case <-k.drift:
				if err := k.table.Mend(ctx); err != nil && ctx.Err() == nil {
					mended <- err
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-watched, <-mended, k.fib.Close()); err != nil {
			t.Error(err)
		}
	})
}

func linkOf(t *testing.T, name string) int {
	t.Helper()
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link.Index
}

func TestCleanupNoticesAnAgentThatStillRuns(t *testing.T) {
	namespace.EnterWithLinks(t)
	keep(t, routes.Route{
		Key:      routes.Key{Prefix: netip.MustParsePrefix("10.1.0.0/24"), Metric: 2048},
		NextHops: []routes.NextHop{{Gateway: netip.MustParseAddr("10.0.1.2"), Link: linkOf(t, "one")}},
	})
	if out, err := cleanup(t); !errors.Is(err, errStillRuns) {
		t.Errorf("%s%v", out, err)
	}
}

func TestCleanupWithoutPermissionSaysSoAndRemovesNothing(t *testing.T) {
	namespace.EnterWithLinks(t)
	namespace.IP(t, "route add 10.1.0.0/24 via 10.0.1.2 metric 2048 proto 219")
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
	out, err := cleanup(t)
	if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN is missing") || out != "" {
		t.Errorf("%s%v", out, err)
	}
	if left := namespace.IP(t, "route show proto 219"); !strings.Contains(left, "10.1.0.0/24") {
		t.Errorf("it was removed all the same: %s", left)
	}
}

func TestCleanupRefusesTheNumberOfAnotherProgram(t *testing.T) {
	for _, number := range []string{"2", "4", "11", "256"} {
		if _, err := cleanup(t, "--route-protocol", number); err == nil || !strings.Contains(err.Error(), "--route-protocol") {
			t.Errorf("%s: %v", number, err)
		}
	}
}
