package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second // for what takes milliseconds on an idle machine

func TestTwoLabsWithEqualNamesDoNotMeet(t *testing.T) {
	build := func() (*Lab, *Host) {
		l := New(t)
		node, host := l.Node("node-1"), l.Host("client")
		l.Switch("lan")
		l.Link(node, host, "10.0.0.0/24", "fd00::/64")
		return l, host
	}
	first, client := build()
	second, _ := build()
	for _, addr := range []string{"10.0.0.1", "fd00::1"} {
		if _, err := client.Run(t.Context(), "ping", "-nqc1", "-W1", addr); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(t.Context(), client.IPv4()); err != nil {
		t.Errorf("closing one lab disturbed the other: %v", err)
	}
	if first.Pid() == second.Pid() {
		t.Error("both labs have one keeper")
	}
}

func TestHostsOnASwitchReachEachOther(t *testing.T) {
	l := New(t)
	lan := l.Switch("lan")
	a, b := l.Host("a"), l.Node("b")
	lan.Attach(a, "10.0.0.1/24", "fd00::a/64")
	link := lan.Attach(b, "10.0.0.2/24", "fd00::b/64")
	if got := b.IPv4().String() + " " + b.IPv6().String(); got != "10.0.0.2 fd00::b" {
		t.Errorf("b has %s", got)
	}
	if link.A.Interface != "lan" || link.A.Addrs[1] != b.IPv6() {
		t.Errorf("the link says %+v", link.A)
	}
	if err := errors.Join(a.Ping(t.Context(), b.IPv4()), a.Ping(t.Context(), b.IPv6())); err != nil {
		t.Error(err)
	}
	if err := a.Ping(t.Context(), b.IPv4().Next()); err == nil {
		t.Error("an address that nobody has answers")
	}
}

func TestPodsReachEachOtherThroughTheirNode(t *testing.T) {
	l := New(t)
	node := l.Node("node-1")
	one := node.Pod("10.244.1.10/24", "fd00:10:244:1::10/64")
	two := node.Pod("10.244.1.11/24", "fd00:10:244:1::11/64")
	host := l.Host("host")
	l.Link(node, host, "10.0.0.0/31", "fd00::/127")
	host.Default("10.0.0.0", "fd00::")
	for _, from := range []*Host{two, host} {
		if err := errors.Join(from.Ping(t.Context(), one.IPv4()), from.Ping(t.Context(), one.IPv6())); err != nil {
			t.Error(err)
		}
	}
	routes, err := node.Routes(t.Context(), "proto", "kernel")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(routes, func(r Route) bool { return r.Dst == "10.244.1.0/24" && r.Dev == "cni0" }) ||
		!slices.ContainsFunc(routes, func(r Route) bool { return r.Dst == "fd00:10:244:1::/64" && r.Dev == "cni0" }) {
		t.Errorf("the node has no route to its pods: %+v", routes)
	}
}

func TestRoutesShowsMultipath(t *testing.T) {
	l := New(t)
	client, a, b := l.Host("client"), l.Node("a"), l.Node("b")
	l.Link(client, a, "10.0.1.0/31")
	l.Link(client, b, "10.0.2.0/31")
	client.Default("10.0.1.1", "10.0.2.1")
	routes, err := client.Routes(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) != 1 || len(routes[0].NextHops) != 2 || routes[0].NextHops[1].Dev != "b" {
		t.Errorf("routes are %+v", routes)
	}
}

func TestCutTakesCarrierFromBothEndsAndMendGivesItBack(t *testing.T) {
	l := New(t)
	a, b := l.Host("a"), l.Host("b")
	link := l.Link(a, b, "10.0.0.0/31")
	carrier := func(want string) {
		t.Helper()
		for _, end := range []End{link.A, link.B} {
			Eventually(t, patience, func() error { return hasFlag(t, end, want) })
			if err := hasFlag(t, end, "UP"); err != nil { // set down, routes would go
				t.Error(err)
			}
		}
	}
	carrier("LOWER_UP")
	if err := link.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	carrier("NO-CARRIER")
	if err := a.Ping(t.Context(), b.IPv4()); err == nil {
		t.Error("a cut link carries packets")
	}
	if err := link.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	carrier("LOWER_UP")
	Eventually(t, patience, func() error { return a.Ping(t.Context(), b.IPv4()) })
}

func hasFlag(t *testing.T, end End, want string) error {
	t.Helper()
	out, err := end.Host.Run(t.Context(), "ip", "-j", "link", "show", "dev", end.Interface)
	if err != nil {
		return err
	}
	var devices []struct{ Flags []string }
	if err := json.Unmarshal([]byte(out), &devices); err != nil || len(devices) != 1 {
		return fmt.Errorf("ip link says %q: %w", out, err)
	}
	if !slices.Contains(devices[0].Flags, want) {
		return fmt.Errorf("%s of %s has flags %v, without %s", end.Interface, end.Host.Name(), devices[0].Flags, want)
	}
	return nil
}

func TestASecondLinkBetweenTwoHostsGetsItsOwnName(t *testing.T) {
	l := New(t)
	a, b := l.Host("a"), l.Host("b")
	l.Link(a, b)
	second := l.Link(a, b, "10.0.0.0/24")
	if second.A.Interface != "b-2" || second.B.Interface != "a-2" {
		t.Errorf("interfaces are %s and %s", second.A.Interface, second.B.Interface)
	}
	if a.IPv4().String() != "10.0.0.1" || b.IPv4().String() != "10.0.0.2" {
		t.Errorf("addresses are %s and %s", a.IPv4(), b.IPv4())
	}
}

func TestFlowMeasuresAnOutage(t *testing.T) {
	l := New(t)
	a, b := l.Host("a"), l.Host("b")
	link := l.Link(a, b, "10.0.0.0/31")
	flow, err := a.Flow(t.Context(), b.IPv4(), 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	Eventually(t, patience, func() error { return hasFlag(t, link.A, "NO-CARRIER") })
	least := time.Since(cut)
	if err := link.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	Eventually(t, patience, func() error { return a.Ping(t.Context(), b.IPv4()) })
	report, err := flow.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v, the link was cut for at least %s", report, least)
	if report.Outage < least || report.Received == 0 || report.Received > report.Sent {
		t.Errorf("%+v, and the link was cut for at least %s", report, least)
	}
}

func TestReadFlowCountsSilenceUntilTheEnd(t *testing.T) {
	const log = `PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.
[100.000000] 64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.05 ms
[100.250000] 64 bytes from 10.0.0.1: icmp_seq=2 ttl=64 time=0.05 ms
[100.300000] From 10.0.0.2 icmp_seq=3 Destination Host Unreachable
[100.350000] 64 bytes from 10.0.0.1: icmp_seq=4 ttl=64 time=0.05 ms

--- 10.0.0.1 ping statistics ---
7 packets transmitted, 3 received, +1 errors, 57% packet loss, time 9ms
`
	for end, want := range map[int64]time.Duration{
		100_400: 250 * time.Millisecond,
		102_350: 2 * time.Second,
	} {
		got, err := readFlow(log, time.UnixMilli(end))
		if err != nil {
			t.Fatal(err)
		}
		if want := (FlowReport{Sent: 7, Received: 3, Lost: 3, Outage: want}); got != want {
			t.Errorf("until %d: got %+v, want %+v", end, got, want)
		}
	}
	// One that is missing in the middle is lost, whatever becomes of the last one.
	gap := strings.Replace(strings.Replace(log, "icmp_seq=4 ", "icmp_seq=7 ", 1), "7 packets transmitted, 3 received", "7 packets transmitted, 6 received", 1)
	if got, err := readFlow(gap, time.UnixMilli(100_400)); err != nil || got.Lost != 1 {
		t.Errorf("got %+v, %v, want one lost", got, err)
	}
	if _, err := readFlow("ping: connect: Network is unreachable\n", time.UnixMilli(0)); err == nil {
		t.Error("a log without summary was read")
	}
}

func TestFirstErrorOfADeclarationIsKept(t *testing.T) {
	NeedRoot(t)
	for want, declare := range map[string]func(*Lab){
		"already":               func(l *Lab) { l.Node("a"); l.Host("a") },
		"interface name":        func(l *Lab) { l.Host("vf") },
		"needs to match":        func(l *Lab) { l.Switch("Much_too_long_a_name") },
		"not a subnet":          func(l *Lab) { l.Link(l.Host("a"), l.Host("b"), "10.0.0.1/32") },
		"address of a:":         func(l *Lab) { l.Switch("lan").Attach(l.Host("a"), "10.0.0.1") },
		"address of a pod of a": func(l *Lab) { l.Node("a").Pod("10.0.0.1") },
		"default route of a":    func(l *Lab) { l.Host("a").Default("10.0.0.0/8") },
		"invalid gateway":       func(l *Lab) { l.Host("a").Default("10.0.0.1") },
	} {
		l, err := Start(t.Context(), Options{Dir: t.TempDir()})
		if err != nil {
			giveUp(t, err)
		}
		declare(l)
		first := l.Err()
		if first == nil || !strings.Contains(first.Error(), want) {
			t.Errorf("got error %v, want one with %q", first, want)
		}
		l.Host("b").AddAddress("lo", "nonsense")
		if err := l.Up(t.Context()); !errors.Is(err, first) {
			t.Errorf("Up says %v after %v", err, first)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStartRefusesAFolderThatItWouldHide(t *testing.T) {
	if _, err := Start(t.Context(), Options{Dir: "/run/lab"}); err == nil || !strings.Contains(err.Error(), "choose another") &&
		!errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestRunTellsWhatAFailingProgramSaid(t *testing.T) {
	h := New(t).Host("a")
	_, err := h.Run(t.Context(), "sh", "-c", "echo out; echo no luck >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("got %v", err)
	}
}

func TestEnterIsACommandLineForPeople(t *testing.T) {
	l := New(t)
	l.Host("a").AddAddress("lo", "10.9.9.9/32")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", l.Enter("a")+" ip -o addr show dev lo").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "10.9.9.9") {
		t.Errorf("got %s (%v)", out, err)
	}
}

func TestRunEndsTheProgramAtItsDeadline(t *testing.T) {
	l := New(t)
	h := l.Host("a")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.Run(ctx, "sleep", "4711"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	Eventually(t, patience, func() error {
		if out, err := h.Run(t.Context(), "pgrep", "-fax", "sleep 4711"); err == nil {
			return fmt.Errorf("it still runs: %s", out)
		}
		return nil
	})
}

func TestProcessFreezesGoesOnAndEndsAsAsked(t *testing.T) {
	h := New(t).Host("a")
	const counter = `trap 'echo bye; exit 7' TERM; while :; do echo tick; sleep 0.01; done`
	p, err := h.Start(t.Context(), "counter", "sh", "-c", counter)
	if err != nil {
		t.Fatal(err)
	}
	ticks := func() int {
		log, err := p.Log()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(log, "tick")
	}
	more := func() {
		t.Helper()
		before := ticks()
		Eventually(t, patience, func() error {
			if ticks() == before {
				return errors.New("it does not tick")
			}
			return nil
		})
	}
	more()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	Eventually(t, patience, func() error {
		if state := stateOf(p.Pid); state != "T" {
			return fmt.Errorf("state is %s", state)
		}
		return nil
	})
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	more()
	if err := p.Stop(t.Context()); err == nil || err.Error() != "exit status 7" {
		t.Errorf("Stop says %v", err)
	}
	if log, _ := p.Log(); !strings.HasSuffix(log, "bye\n") {
		t.Errorf("the log ends with %q", lastLines(log, 2))
	}
	if err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a process that has ended took a signal")
	}
}

func TestKillWorksOnAStoppedProcessAndCloseToo(t *testing.T) {
	l := New(t)
	h := l.Host("a")
	for _, end := range []func(*Process) error{
		(*Process).Kill,
		func(*Process) error { return l.Close() },
	} {
		p, err := h.Start(t.Context(), "sleep", "sleep", "1000")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := end(p); err != nil {
			t.Error(err)
		}
		if err := p.Wait(t.Context()); err == nil || err.Error() != "signal: killed" {
			t.Errorf("it ended with %v", err)
		}
		if stateOf(p.Pid) != "" {
			t.Errorf("it is still there, in state %s", stateOf(p.Pid))
		}
	}
	if _, err := h.Start(t.Context(), "late", "true"); err == nil {
		t.Error("a process was started in a closed lab")
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	h := New(t).Host("a")
	p, err := h.Start(t.Context(), "deaf", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, patience, func() error {
		if log, err := p.Log(); err != nil || log == "" {
			return fmt.Errorf("not ready: %w", err)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err == nil || !strings.Contains(err.Error(), "did not end on SIGTERM") {
		t.Errorf("got %v", err)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	h := New(t).Host("a")
	if _, err := h.Run(t.Context(), "sh", "-c", "(sleep 0.01 &) >/dev/null 2>&1"); err != nil {
		t.Fatal(err)
	}
	Eventually(t, patience, func() error {
		if out, err := h.Run(t.Context(), "pgrep", "-x", "sleep"); err == nil {
			return fmt.Errorf("still there: %s", out)
		}
		return nil
	})
}
