package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNodesAndServicesComeAndGoAtTheRouter(t *testing.T) {
	r := newRig(t, 2)
	r.apply(configuration)
	r.startAll()
	for _, n := range r.nodes {
		r.eventually(func() error { return r.routerHas(n.pods(4), n.IPv4()) })
		r.eventually(func() error { return r.routerHas(n.pods(6), n.IPv6()) })
	}

	t.Log("a Service appears by way of both nodes, and goes; gobgp monitor tells of it")
	monitor, err := r.nodes[0].Start(t.Context(), "monitor", "gobgp", "monitor", "global", "rib", "--current")
	if err != nil {
		t.Fatal(err)
	}
	r.createService(service("web", "10.96.0.80", "fd00:10:96::80"))
	r.eventually(func() error { return r.routerHas("10.96.0.80/32", r.addresses(4)...) })
	r.eventually(func() error { return r.routerHas("fd00:10:96::80/128", r.addresses(6)...) })
	r.eventually(func() error {
		if out, _ := monitor.Log(); !strings.Contains(out, "10.96.0.80/32") {
			return fmt.Errorf("gobgp monitor has said %q", out)
		}
		return nil
	})
	r.deleteService("web")
	r.eventually(func() error { return r.routerHas("10.96.0.80/32") })
	r.eventually(func() error { return r.routerHas("fd00:10:96::80/128") })

	t.Log("a Node that is deleted takes its prefixes away, and brings them back")
	r.nodes[1].deleteNode()
	r.eventually(func() error { return r.routerHas(r.nodes[1].pods(4)) })
	r.eventually(func() error { return r.routerHas(r.nodes[1].pods(6)) })
	r.eventually(func() error { return r.routerHas(r.nodes[0].pods(4), r.nodes[0].IPv4()) })
	r.nodes[1].createNode()
	r.eventually(func() error { return r.routerHas(r.nodes[1].pods(4), r.nodes[1].IPv4()) })
	r.eventually(func() error { return r.routerHas(r.nodes[1].pods(6), r.nodes[1].IPv6()) })
	r.sessionsUp()
}

func TestLearnedRoutesReachTheKernelOrDoNot(t *testing.T) {
	r := newRig(t, 2)
	r.apply(configuration)
	r.startAll()
	one, two := r.nodes[0], r.nodes[1]
	router := netip.MustParseAddr("192.0.2.1")

	t.Log("the other node's pods, from the mesh")
	r.eventually(func() error { return hasRoute(t.Context(), one.Host, two.pods(4), two.IPv4()) })
	r.eventually(func() error { return hasRoute(t.Context(), one.Host, two.pods(6), two.IPv6()) })

	t.Log("inside the pod CIDRs: installed; outside, and too long: not")
	if err := r.router.Configure(t.Context(), `router bgp 65001
 address-family ipv4 unicast
  network 10.244.200.0/24
  network 10.244.201.128/25
  network 172.31.0.0/16
 exit-address-family
`); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error { return hasRoute(t.Context(), one.Host, "10.244.200.0/24", router) })
	rib, err := one.run("gobgp", "neighbor", "192.0.2.1", "adj-in")
	if err != nil || !strings.Contains(rib, "172.31.0.0/16") || !strings.Contains(rib, "10.244.201.128/25") {
		t.Fatalf("the router's other prefixes have not arrived, so that nothing is shown: %v\n%s", err, rib)
	}
	ours, err := one.Routes(t.Context(), "proto", "219", "type", "unicast")
	if err != nil {
		t.Fatal(err)
	}
	var prefixes []string
	for _, route := range ours {
		prefixes = append(prefixes, route.Dst)
	}
	slices.Sort(prefixes)
	if want := []string{"10.244.2.0/24", "10.244.200.0/24", "fd00:10:244:2::/64"}; !slices.Equal(prefixes, want) {
		t.Errorf("routes of protocol 219 are %v, want %v", prefixes, want)
	}
	for _, prefix := range []string{"172.31.0.0/16", "10.244.201.128/25"} {
		if err := hasRoute(t.Context(), one.Host, prefix); err != nil {
			t.Error(err)
		}
	}

	t.Log("an address of this node's that no pod has: refused here, not sent to the router")
	for _, args := range [][]string{
		{"ip", "route", "get", "10.244.1.99"}, {"ip", "-6", "route", "get", "fd00:10:244:1::99"},
	} {
		if out, err := one.run(args...); err == nil || !strings.Contains(err.Error(), "No route to host") && !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("%v: %s%v", args, out, err)
		}
	}

	t.Log("the real gobgp client")
	for command, want := range map[string]string{
		"gobgp neighbor":                   "192.0.2.12",
		"gobgp global rib":                 "10.244.200.0/24",
		"gobgp global rib -a ipv6":         "fd00:10:244:2::/64",
		"gobgp neighbor 192.0.2.1 adj-out": "10.244.1.0/24",
	} {
		out, err := one.run(strings.Fields(command)...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, no %s in\n%s", command, err, want, out)
		}
	}
	if out, err := one.run("gobgp", "global", "rib", "add", "10.99.0.0/24"); err == nil {
		t.Errorf("a client could change the speaker: %s", out)
	} else if !strings.Contains(err.Error(), "--grpc-writable") {
		t.Errorf("the refusal does not say what to do: %v", err)
	}

	t.Log("the state of the node, as the agent may write it")
	r.eventually(func() error {
		state, err := r.fair.BGPNodeStates().Get(t.Context(), "node-1", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if state.Status.SessionsEstablished != 3 || state.Status.ASN != 64512 || state.Status.Routes.Installed != 5 || len(state.Status.Advertisements) != 2 || state.Status.Advertisements[0].Advertised != 2 {
			return fmt.Errorf("status is %+v", state.Status)
		}
		return nil
	})
}

func TestAnAgentThatStopsOrCrashesLeavesTheRoutes(t *testing.T) {
	r := newRig(t, 2)
	r.apply(configuration)
	r.startAll()
	one, two := r.nodes[0], r.nodes[1]
	r.eventually(func() error { return hasRoute(t.Context(), one.Host, two.pods(4), two.IPv4()) })
	before := routesText(t, one)
	deleted := watchDeletions(t, one)

	t.Log("a crash: the parent starts it again")
	children := one.agent.Children()
	if len(children) != 1 {
		t.Fatalf("the parent has children %v, want one", children)
	}
	if err := kill(children[0]); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error {
		if now := one.agent.Children(); len(now) != 1 || now[0] == children[0] {
			return fmt.Errorf("the parent has children %v", now)
		}
		return nil
	})
	if now := routesText(t, one); now != before {
		t.Errorf("the crash left\n%swant\n%s", now, before)
	}
	r.sessionsUp()
	r.eventually(func() error { return one.metric("fairway_picture_complete 1") })

	t.Log("SIGTERM: silent, and the routes stay")
	if err := one.agent.Stop(t.Context()); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if now := routesText(t, one); now != before {
		t.Errorf("SIGTERM left\n%swant\n%s", now, before)
	}
	if err := r.routerHas(one.pods(4), one.IPv4()); err != nil {
		t.Errorf("the router did not keep what the agent said: %v", err)
	}

	t.Log("a start: what no peer tells any more goes, once the picture is complete, and nothing else")
	const stale = "10.244.77.0/24"
	if _, err := one.run("sh", "-c", "ip route add "+stale+" via 192.0.2.1 dev lan proto 219 metric 2048"); err != nil {
		t.Fatal(err)
	}
	one.startAgent()
	r.sessionsUp()
	r.eventually(func() error { return one.metric("fairway_picture_complete 1") })
	r.eventually(func() error { return hasRoute(t.Context(), one.Host, stale) })
	if now := routesText(t, one); now != before {
		t.Errorf("after the start the routes are\n%swant\n%s", now, before)
	}

	// The kernel tells in order: with this line here, none before it is missing.
	byHand := strings.Fields(before)[0]
	if _, err := one.run("ip", "route", "del", byHand, "proto", "219"); err != nil {
		t.Fatal(err)
	}
	want := []string{stale, byHand}
	r.eventually(func() error {
		if now := deleted(); !slices.Contains(now, byHand) {
			return fmt.Errorf("deleted are %v, want %s among them", now, byHand)
		}
		return nil
	})
	if now := deleted(); !slices.Equal(now, want) {
		t.Errorf("of our routes %v were deleted, want %v: the stale one, and the one by hand", now, want)
	}
}

// watchDeletions records what happens to a node's routes from now on. It returns the
// destinations of those of protocol 219 that have been deleted.
func watchDeletions(t *testing.T, n *node) func() []string {
	t.Helper()
	monitor, err := n.Start(t.Context(), "ip-monitor", "ip", "monitor", "route")
	if err != nil {
		t.Fatal(err)
	}
	said := func() string {
		text, err := monitor.Log()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// It listens when it tells of a change. The first may have come too early.
	n.rig.eventually(func() error {
		for _, prefix := range []string{"198.51.100.0/24", "2001:db8:51::/48"} {
			if _, err := n.run("sh", "-c", "ip route add unreachable "+prefix+" && ip route del unreachable "+prefix); err != nil {
				return err
			}
			if !strings.Contains(said(), "Deleted unreachable "+prefix) {
				return fmt.Errorf("the monitor does not tell of %s yet: %q", prefix, said())
			}
		}
		return nil
	})
	return func() []string {
		out := []string{}
		for line := range strings.Lines(said()) {
			if rest, is := strings.CutPrefix(line, "Deleted "); is && strings.Contains(line, " proto 219 ") {
				out = append(out, strings.Fields(rest)[0])
			}
		}
		return out
	}
}

// TestZebraBesideTheAgent has FRR's zebra and staticd run on a node: they neither copy nor
// sweep a route of ours, and we touch none of theirs.
func TestZebraBesideTheAgent(t *testing.T) {
	r := newRig(t, 2)
	r.apply(configuration)
	r.startAll()
	one, two := r.nodes[0], r.nodes[1]
	r.eventually(func() error { return hasRoute(t.Context(), one.Host, two.pods(4), two.IPv4()) })
	before := routesText(t, one)

	zebra := r.FRRBeside(one.Node, "ip route 172.20.0.0/16 192.0.2.1\n")
	if err := zebra.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error {
		return hasRoute(t.Context(), one.Host, "172.20.0.0/16", netip.MustParseAddr("192.0.2.1"))
	})
	all := func() string {
		out, err := one.run("sh", "-c", "ip route; ip -6 route")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if now := routesText(t, one); now != before {
		t.Errorf("zebra's start left\n%swant\n%s", now, before)
	}
	if n := strings.Count(all(), "10.244.2.0/24"); n != 1 {
		t.Errorf("%d routes to 10.244.2.0/24, want ours alone:\n%s", n, all())
	}
	t.Log("an agent that starts beside zebra touches none of its routes")
	if err := one.agent.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	one.startAgent()
	r.sessionsUp()
	if !strings.Contains(all(), "172.20.0.0/16") {
		t.Errorf("zebra's route has gone:\n%s", all())
	}
	t.Log("a zebra that stops sweeps its own and no other")
	if err := zebra.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error { return hasRoute(t.Context(), one.Host, "172.20.0.0/16") })
	if now := routesText(t, one); now != before {
		t.Errorf("zebra's end left\n%swant\n%s", now, before)
	}
}

// TestServiceReachesTheRouterInTime measures from the request for a new Service to the
// route in the router's own kernel.
func TestServiceReachesTheRouterInTime(t *testing.T) {
	const (
		aim     = 200 * time.Millisecond
		samples = 20
	)
	r := newRig(t, 2)
	r.apply(configuration)
	r.startAll()
	arrivals := r.watchRouter(t)
	var took []time.Duration
	for i := range samples {
		prefix := netip.MustParsePrefix(fmt.Sprintf("10.96.1.%d/32", i+1))
		began := time.Now()
		r.createService(service(fmt.Sprintf("timed-%d", i), prefix.Addr().String(), fmt.Sprintf("fd00:10:96::%x", 0x100+i)))
		deadline := time.NewTimer(patience)
		for found := false; !found; {
			select {
			case a := <-arrivals:
				if found = a.prefix == prefix; found {
					took = append(took, a.at.Sub(began))
				}
			case <-deadline.C:
				t.Fatalf("%s did not reach the router", prefix)
			}
		}
		deadline.Stop()
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Attr("service-to-router", fmt.Sprintf("median %d ms, max %d ms of %d, aim %d ms",
		median.Milliseconds(), took[len(took)-1].Milliseconds(), samples, aim.Milliseconds()))
	if median > 10*aim {
		t.Errorf("a new Service takes %s to reach the router (median), ten times the aim of %s is %s", median, aim, 10*aim)
	}
}

type arrival struct {
	prefix netip.Prefix
	at     time.Time
}

// watchRouter listens to the router's kernel for new IPv4 routes.
func (r *rig) watchRouter(t *testing.T) <-chan arrival {
	t.Helper()
	handle, err := netns.GetFromPath(r.router.NetNS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = handle.Close() })
	updates := make(chan netlink.RouteUpdate, 1024)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	if err := netlink.RouteSubscribeAt(handle, updates, done); err != nil {
		t.Fatal(err)
	}
	out := make(chan arrival, 1024)
	go func() {
		for u := range updates {
			if u.Dst == nil {
				continue
			}
			addr, _ := netip.AddrFromSlice(u.Dst.IP)
			bits, _ := u.Dst.Mask.Size()
			out <- arrival{netip.PrefixFrom(addr.Unmap(), bits), time.Now()}
		}
	}()
	return out
}

// routesText is what `ip route` says of our routes that lead somewhere, in a fixed order.
func routesText(t *testing.T, n *node) string {
	t.Helper()
	out, err := n.run("sh", "-c", "ip route show proto 219 type unicast; ip -6 route show proto 219 type unicast")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }
