package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// fibSite is one node, on which one daemon at a time runs, and the sender next to it.
//
//	sender .1, .3 ---(192.0.2.0/24, 2001:db8::/64)--- .2 node
type fibSite struct {
	lab    *lab.Lab
	sender *lab.Host
	node   *lab.Node
	link   int // index of the node's interface to the sender
	binary string
	starts int // of daemons, for names of logs
}

// raiseFIB builds the agent and the network. Nothing runs there yet.
func raiseFIB(ctx context.Context, dir string, _ *narrator) (_ *fibSite, err error) {
	s := &fibSite{}
	if s.binary, err = lab.Build(ctx); err != nil {
		return nil, err
	}
	if s.lab, err = lab.Start(ctx, lab.Options{Dir: dir}); err != nil {
		return nil, err
	}
	s.sender, s.node = s.lab.Host("sender"), s.lab.Node("node")
	wire := s.lab.Link(s.sender, s.node, "192.0.2.0/24", "2001:db8::/64")
	s.sender.AddAddress(wire.A.Interface, "192.0.2.3/24", "2001:db8::3/64")
	if err := s.lab.Up(ctx); err != nil {
		return nil, errors.Join(err, s.lab.Close())
	}
	err = s.node.Inside(func() error {
		found, err := net.InterfaceByName(wire.B.Interface)
		if err == nil {
			s.link = found.Index
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.lab.Close())
	}
	return s, nil
}

func (s *fibSite) logs() string { return s.lab.Logs(20) }

func (s *fibSite) close() error { return s.lab.Close() }

// dial makes one attempt to reach the daemon of the node, from the address that it knows.
func (s *fibSite) dial(f family) func(context.Context) (net.Conn, error) {
	address := net.JoinHostPort(f.node.String(), "179")
	dialer := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: f.hops[0].AsSlice()}}
	return func(ctx context.Context) (conn net.Conn, err error) {
		entered := s.sender.Inside(func() error {
			conn, err = dialer.DialContext(ctx, "tcp", address)
			return err
		})
		return conn, entered
	}
}

// meter counts the routes of a family in the node's kernel without listing them.
type meter struct {
	file *os.File
	read func(text string) (int, error)
	text [4096]byte
}

// openMeter opens the kernel's own statistics of the node's network namespace.
func (s *fibSite) openMeter(f family) (m *meter, err error) {
	m = &meter{read: triePrefixes}
	path := "/proc/thread-self/net/fib_triestat"
	if f.afi == 2 {
		m.read, path = routeEntries, "/proc/thread-self/net/rt6_stats"
	}
	entered := s.node.Inside(func() error {
		m.file, err = os.Open(path)
		return err
	})
	return m, entered
}

func (m *meter) count() (int, error) {
	n, err := m.file.ReadAt(m.text[:], 0)
	if n == 0 {
		return 0, fmt.Errorf("counting the kernel's routes: %w", err)
	}
	return m.read(string(m.text[:n]))
}

// triePrefixes reads the number of prefixes of the main table, which is merged with the
// local one as long as there are no policy rules.
func triePrefixes(text string) (int, error) {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "Prefixes:" {
			return strconv.Atoi(words[1])
		}
	}
	return 0, errors.New("fib_triestat has no prefixes")
}

// routeEntries reads fib_rt_entries, the fourth of the hexadecimal numbers.
func routeEntries(text string) (int, error) {
	words := strings.Fields(text)
	if len(words) < 4 {
		return 0, fmt.Errorf("rt6_stats reads %q", text)
	}
	n, err := strconv.ParseInt(words[3], 16, 64)
	return int(n), err
}

const (
	// lookPause lies between two looks at the counters: it bounds how exact the times are.
	lookPause = 5 * time.Millisecond
	// stalled is how long a number that does not change is waited for.
	stalled = 5 * time.Second
)

var errStalled = errors.New("the number of routes does not change any more")

// reach waits until the count satisfies done, and returns when that was.
func (m *meter) reach(ctx context.Context, done func(int) bool) (time.Time, error) {
	last, since := -1, time.Now()
	for {
		n, err := m.count()
		now := time.Now()
		switch {
		case err != nil:
			return now, err
		case done(n):
			return now, nil
		case n != last:
			last, since = n, now
		case now.Sub(since) > stalled:
			return now, fmt.Errorf("%w: it is %d", errStalled, n)
		}
		if err := pause(ctx, lookPause); err != nil {
			return now, err
		}
	}
}

// routes lists the routes of the family on the node.
func (s *fibSite) routes(ctx context.Context, f family) ([]lab.Route, error) {
	all, err := s.node.Routes(ctx)
	return slices.DeleteFunc(all, func(r lab.Route) bool {
		dst, err := prefixOf(r.Dst)
		return err != nil || dst.Addr().Is4() != f.pool.Addr().Is4()
	}), err
}

// clear takes out of the node's kernel what a daemon may have left.
func (s *fibSite) clear(ctx context.Context, protocol string) error {
	var errs []error
	for _, flag := range []string{"-4", "-6"} {
		_, err := s.node.Run(ctx, "ip", flag, "route", "flush", "proto", protocol)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// prefixOf reads a destination as ip names it; "default" is none.
func prefixOf(dst string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(dst); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(dst)
}

// compare returns how the routes of a dump differ from the wanted set in prefix, next hop and
// protocol; "" for not at all. before are the routes that were there without the daemon.
func compare(dump, before []lab.Route, want map[netip.Prefix]netip.Addr, protocol string) string {
	known := map[string]bool{}
	for _, r := range before {
		known[r.Dst+" "+r.Protocol] = true
	}
	var wrong []string
	seen := map[netip.Prefix]bool{}
	for _, r := range dump {
		if known[r.Dst+" "+r.Protocol] {
			continue
		}
		prefix, err := prefixOf(r.Dst)
		hop, wanted := want[prefix]
		switch {
		case err != nil || !wanted:
			wrong = append(wrong, fmt.Sprintf("%s is not wanted", r.Dst))
			continue
		case seen[prefix]:
			wrong = append(wrong, fmt.Sprintf("%s is there twice", r.Dst))
		case r.Gateway != hop.String():
			wrong = append(wrong, fmt.Sprintf("%s has the next hop %q, want %s", r.Dst, r.Gateway, hop))
		case r.Protocol != protocol:
			wrong = append(wrong, fmt.Sprintf("%s has the protocol %s, want %s", r.Dst, r.Protocol, protocol))
		}
		seen[prefix] = true
	}
	if missing := len(want) - len(seen); missing > 0 {
		wrong = append(wrong, fmt.Sprintf("%d of %d prefixes are missing", missing, len(want)))
	}
	if more := len(wrong) - 3; more > 0 {
		wrong = append(wrong[:3], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(wrong, "; ")
}
