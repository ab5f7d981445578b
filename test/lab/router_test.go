package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const frrConfig = `
frr defaults datacenter
ip route 10.244.1.0/24 10.1.0.1
ipv6 route fd00:10:244:1::/64 fd00:1::1
bfd
exit
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 neighbor 10.0.0.2 remote-as 65002
 neighbor 10.0.0.2 timers connect 1
 neighbor fd00::2 remote-as 65002
 neighbor fd00::2 timers connect 1
 address-family ipv4 unicast
  network 10.244.1.0/24
 exit-address-family
 address-family ipv6 unicast
  neighbor fd00::2 activate
  network fd00:10:244:1::/64
 exit-address-family
`

const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol kernel { ipv4 { export all; }; merge paths on; }
protocol kernel { ipv6 { export all; }; merge paths on; }
protocol static { ipv4; route 10.244.2.0/24 via 10.2.0.1; }
protocol static { ipv6; route fd00:10:244:2::/64 via fd00:2::1; }
template bgp frr { local as 65002; connect retry time 1; connect delay time 0; error wait time 1, 2; }
protocol bgp frr4 from frr { neighbor 10.0.0.1 as 65001; ipv4 { import all; export all; }; }
protocol bgp frr6 from frr { neighbor fd00::1 as 65001; ipv6 { import all; export all; }; }
`

// pod — node-1 — tor-a (FRR) — lan — tor-b (BIRD) — node-2 — pod
func TestFRRAndBIRDExchangeRoutesAndCarryPods(t *testing.T) {
	started := time.Now()
	l := New(t)
	t.Logf("empty lab: %s", time.Since(started))
	declared := time.Now()
	lan := l.Switch("lan")
	torA, torB := l.FRR("tor-a", frrConfig), l.BIRD("tor-b", birdConfig)
	node1, node2 := l.Node("node-1"), l.Node("node-2")
	lan.Attach(torA, "10.0.0.1/24", "fd00::1/64")
	lan.Attach(torB, "10.0.0.2/24", "fd00::2/64")
	l.Link(torA, node1, "10.1.0.0/31", "fd00:1::/127")
	l.Link(torB, node2, "10.2.0.0/31", "fd00:2::/127")
	node1.Default("10.1.0.0", "fd00:1::")
	node2.Default("10.2.0.0", "fd00:2::")
	pod1 := node1.Pod("10.244.1.10/24", "fd00:10:244:1::10/64")
	pod2 := node2.Pod("10.244.2.10/24", "fd00:10:244:2::10/64")
	t.Logf("six hosts, a switch, four cables, two pods: %s", time.Since(declared))

	up := time.Now()
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("FRR and BIRD answer and are configured: %s", time.Since(up))
	for _, prefix := range []string{"10.244.2.0/24", "fd00:10:244:2::/64"} {
		Eventually(t, patience, func() error { return frrHas(t, torA, prefix) })
	}
	for _, prefix := range []string{"10.244.1.0/24", "fd00:10:244:1::/64"} {
		Eventually(t, patience, func() error { return birdHas(t, torB, prefix) })
	}
	t.Logf("routes exchanged: %s after", time.Since(up))
	if s, err := torA.Session(t.Context(), "10.0.0.2"); err != nil || !s.Up() || s.Ups != 1 || s.Since == 0 || s.Messages.Updates == 0 {
		t.Errorf("FRR says of its session %+v, %v", s, err)
	}
	if s, err := torA.Session(t.Context(), "10.0.0.9"); err == nil {
		t.Errorf("FRR has a session with nobody: %+v", s)
	}
	if err := torA.JSON(t.Context(), new(any), "show bgp nonsense json"); err == nil || !strings.Contains(err.Error(), "Unknown command") {
		t.Errorf("a question that bgpd does not understand: %v", err)
	}
	for _, addr := range []netip.Addr{pod2.IPv4(), pod2.IPv6()} {
		Eventually(t, patience, func() error { return pod1.Ping(t.Context(), addr) })
	}
	t.Logf("pods reach each other: %s after", time.Since(up))
	if torA.Daemon("bfdd") == nil || torA.Daemon("staticd") == nil || torA.Daemon("ospfd") != nil {
		t.Error("FRR runs other daemons than its configuration asks for")
	}
}

func TestRoutersGoDownCrashAndComeBack(t *testing.T) {
	l := New(t)
	lan := l.Switch("lan")
	frr, bird := l.FRR("tor-a", frrConfig), l.BIRD("tor-b", birdConfig)
	lan.Attach(frr, "10.0.0.1/24", "fd00::1/64")
	lan.Attach(bird, "10.0.0.2/24", "fd00::2/64")
	frr.AddAddress("lo", "10.1.0.0/31", "fd00:1::/127")
	bird.AddAddress("lo", "10.2.0.0/31", "fd00:2::/127")
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	const fromBIRD = "10.244.2.0/24"
	Eventually(t, patience, func() error { return frrHas(t, frr, fromBIRD) })

	if err := bird.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	Eventually(t, patience, func() error {
		if frrHas(t, frr, fromBIRD) == nil {
			return errors.New("FRR keeps the route of a router that went down")
		}
		return nil
	})
	if err := bird.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	Eventually(t, patience, func() error { return frrHas(t, frr, fromBIRD) })

	if err := frr.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := frr.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	Eventually(t, patience, func() error { return frrHas(t, frr, fromBIRD) })
	if err := errors.Join(frr.Down(t.Context()), bird.Crash()); err != nil {
		t.Error(err)
	}
}

func TestConfigurationCanBeChanged(t *testing.T) {
	l := New(t)
	frr, bird := l.FRR("tor-a", frrConfig), l.BIRD("tor-b", birdConfig)
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := frr.Configure(t.Context(), "router bgp 65001\n neighbor 10.0.0.2 description seen\n"); err != nil {
		t.Fatal(err)
	}
	if out, err := frr.VTYSH(t.Context(), "show running-config"); err != nil || !strings.Contains(out, "description seen") {
		t.Errorf("FRR says %s (%v)", out, err)
	}
	if err := bird.Configure(t.Context(), "router id 9.9.9.9;\nprotocol device {}\n"); err != nil {
		t.Fatal(err)
	}
	if out, err := bird.Birdc(t.Context(), "show", "protocols"); err != nil || strings.Contains(out, "BGP") {
		t.Errorf("BIRD says %s (%v)", out, err)
	}
	if err := frr.Configure(t.Context(), "\nrouter bgp 65001\n neighbr 1.2.3.4\n"); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("FRR says %v to a typing mistake", err)
	}
	if err := bird.Configure(t.Context(), "\nprotocol dvice {}\n"); err == nil || !strings.Contains(err.Error(), "bird.conf:2") {
		t.Errorf("BIRD says %v to a typing mistake", err)
	}
}

func TestUpTellsWhatIsWrongWithAConfiguration(t *testing.T) {
	for want, declare := range map[string]func(*Lab){
		"line 2":      func(l *Lab) { l.FRR("tor", "router bgp 65001\n neighbr 1.2.3.4\n") },
		"bird.conf:2": func(l *Lab) { l.BIRD("tor", "\nprotocol dvice {}\n") },
		"bgpd.conf:3": func(l *Lab) { l.OpenBGPD("tor", "AS 65001\nneighbr 1.2.3.4\n") }, // behind the socket's line
		"invalid keys": func(l *Lab) {
			l.GoBGP("tor", "[global.config]\n as = 65001\n router-id = \"10.0.0.1\"\n nonsense = 1\n")
		},
	} {
		l := New(t)
		declare(l)
		if err := l.Up(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %q", err, want)
		}
	}
}

func frrHas(t *testing.T, r *FRR, prefix string) error {
	t.Helper()
	family := "ipv4"
	if strings.Contains(prefix, ":") {
		family = "ipv6"
	}
	var routes struct{ Routes map[string]any }
	if err := r.JSON(t.Context(), &routes, "show bgp "+family+" unicast json"); err != nil {
		return err
	}
	if _, ok := routes.Routes[prefix]; !ok {
		return fmt.Errorf("%s does not know %s", r.Name(), prefix)
	}
	return nil
}

func birdHas(t *testing.T, r *BIRD, prefix string) error {
	t.Helper()
	out, err := r.Birdc(t.Context(), "show", "route", "for", prefix)
	if err == nil && !strings.Contains(out, prefix) {
		err = fmt.Errorf("%s does not know %s: %s", r.Name(), prefix, out)
	}
	return err
}

const gobgpConfig = `
[global.config]
 as = 65003
 router-id = "10.0.0.3"
[[neighbors]]
 [neighbors.config]
  neighbor-address = "10.0.0.1"
  peer-as = 65001
 [neighbors.timers.config]
  connect-retry = 1
`

const openBGPDConfig = `
AS 65004
router-id 10.0.0.4
connect-retry 1
network 10.244.4.0/24
neighbor 10.0.0.1 {
	remote-as 65001
}
allow from any
allow to any
`

func TestGoBGPAndOpenBGPDExchangeRoutesCrashAndComeBack(t *testing.T) {
	l := New(t)
	frr := l.FRR("tor-a", frrConfig+" neighbor 10.0.0.3 remote-as 65003\n neighbor 10.0.0.4 remote-as 65004\n")
	gobgp, openbgpd := l.GoBGP("tor-c", gobgpConfig), l.OpenBGPD("tor-d", openBGPDConfig)
	lan := l.Switch("lan")
	lan.Attach(frr, "10.0.0.1/24")
	lan.Attach(gobgp, "10.0.0.3/24")
	lan.Attach(openbgpd, "10.0.0.4/24")
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := func() error {
		if _, err := gobgp.Client(t.Context(), "global", "rib", "add", "10.244.3.0/24", "nexthop", "10.0.0.3"); err != nil {
			return err
		}
		return errors.Join(frrHas(t, frr, "10.244.3.0/24"), frrHas(t, frr, "10.244.4.0/24"))
	}
	Eventually(t, patience, told)
	if err := errors.Join(gobgp.Crash(), openbgpd.Crash()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(gobgp.UpAfterCrash(t.Context()), openbgpd.Up(t.Context())); err != nil {
		t.Fatal(err)
	}
	Eventually(t, patience, told)
	if err := errors.Join(gobgp.Down(t.Context()), openbgpd.Down(t.Context())); err != nil {
		t.Error(err)
	}
	Eventually(t, patience, func() error {
		if frrHas(t, frr, "10.244.3.0/24") == nil || frrHas(t, frr, "10.244.4.0/24") == nil {
			return errors.New("FRR keeps a route of a router that went down")
		}
		return nil
	})
}
