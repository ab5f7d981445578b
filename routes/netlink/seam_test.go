package netlink

import (
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
)

// pressed is a conn to a kernel under pressure: answer is called for every request and
// returns what receive then gives, datagrams or errnos; after that EAGAIN.
type pressed struct {
	answer func(seq uint32) []any
	queue  func([]byte) (int, error)
	sends  int
}

func (p *pressed) send(b []byte) error {
	p.sends++
	h, _, _, err := nextMessage(b)
	p.queue = script(p.answer(h.seq)...)
	return err
}

func (p *pressed) receive(b []byte) (int, error) { return p.queue(b) }
func (p *pressed) port() uint32                  { return 1 }
func (p *pressed) close() error                  { return nil }

func message(kind, flags uint16, seq uint32, payload ...byte) []byte {
	return finish(append(appendHeader(nil, kind, flags, seq), payload...), 0)
}

func done(seq uint32) []byte { return message(unix.NLMSG_DONE, 0, seq, 0, 0, 0, 0) }

func refused(seq uint32, errno unix.Errno) []byte {
	return message(unix.NLMSG_ERROR, 0, seq, native.AppendUint32(nil, uint32(-int32(errno)))...)
}

func shown(seq uint32, flags uint16, r routes.Route) []byte {
	return finish(appendRoute(appendHeader(nil, unix.RTM_NEWROUTE, flags, seq), r, DefaultProtocol), 0)
}

func sample(prefix string) routes.Route {
	return routes.Route{
		Key:      routes.Key{Table: routes.MainTable, Prefix: netip.MustParsePrefix(prefix), Metric: 2048},
		NextHops: []routes.NextHop{{Link: 1}},
	}
}

func TestInterruptedDumpIsBegunAgain(t *testing.T) {
	for name, spoil := range map[string]func(seq uint32) []any{
		"the kernel says so": func(seq uint32) []any { return []any{message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, seq, 0, 0, 0, 0)} },
		"a message was lost": func(seq uint32) []any { return []any{unix.ENOBUFS, done(seq)} },
	} {
		conn := &pressed{}
		conn.answer = func(seq uint32) []any {
			if conn.sends <= 2 {
				return append([]any{shown(seq, 0, sample("10.1.0.0/24"))}, spoil(seq)...)
			}
			return []any{shown(seq-1, 0, sample("10.9.0.0/24")), shown(seq, 0, sample("10.2.0.0/24")), done(seq)}
		}
		got, err := newFIB(DefaultProtocol, conn).Dump(t.Context())
		if err != nil || text(got) != sample("10.2.0.0/24").Normalize().String() {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestDumpThatStaysInterruptedIsAnError(t *testing.T) {
	conn := &pressed{answer: func(seq uint32) []any {
		return []any{shown(seq, unix.NLM_F_DUMP_INTR, sample("10.1.0.0/24")), done(seq)}
	}}
	got, err := newFIB(DefaultProtocol, conn).Dump(t.Context())
	if !errors.Is(err, errInterrupted) || got != nil || conn.sends != dumpAttempts {
		t.Errorf("%v, %v after %d attempts", got, err, conn.sends)
	}
}

func TestDumpErrorsAreNeverAnEmptyKernel(t *testing.T) {
	for name, answer := range map[string]func(seq uint32) []any{
		"refused": func(seq uint32) []any { return []any{refused(seq, unix.ENOMEM)} },
		"failed midway": func(seq uint32) []any {
			return []any{message(unix.NLMSG_DONE, 0, seq, native.AppendUint32(nil, uint32(0xfffffff4))...)}
		},
		"no answer":  func(uint32) []any { return nil },
		"unreadable": func(seq uint32) []any { return []any{message(unix.RTM_NEWROUTE, 0, seq, 2, 24), done(seq)} },
		"no IPv4":    func(seq uint32) []any { return []any{refused(seq, unix.EAFNOSUPPORT)} },
	} {
		if got, err := newFIB(DefaultProtocol, &pressed{answer: answer}).Dump(t.Context()); err == nil {
			t.Errorf("%s: got %v and no error", name, got)
		}
	}
}

func TestKernelWithoutIPv6HasNoIPv6Routes(t *testing.T) {
	for name, answer6 := range map[string]func(seq uint32) []any{
		"refused":           func(seq uint32) []any { return []any{refused(seq, unix.EAFNOSUPPORT)} },
		"answers with IPv4": func(seq uint32) []any { return []any{shown(seq, 0, sample("10.1.0.0/24")), done(seq)} },
	} {
		conn := &pressed{}
		conn.answer = func(seq uint32) []any {
			if conn.sends == 1 {
				return []any{shown(seq, 0, sample("10.1.0.0/24")), done(seq)}
			}
			return answer6(seq)
		}
		got, err := newFIB(DefaultProtocol, conn).Dump(t.Context())
		if err != nil || text(got) != sample("10.1.0.0/24").Normalize().String() {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestLostAnswersAreFailuresAndLateOnesNobodys(t *testing.T) {
	ops := []routes.Op{add(sample("10.1.0.0/24")), add(sample("10.2.0.0/24")), add(sample("10.3.0.0/24"))}
	conn := &pressed{answer: func(seq uint32) []any {
		return []any{refused(seq-1, unix.EINVAL), refused(seq+1, unix.ENOMEM), unix.ENOBUFS, refused(seq+2, 0)}
	}}
	results := newFIB(DefaultProtocol, conn).Apply(t.Context(), ops)
	if !errors.Is(results[0], errLost) || !errors.Is(results[1], unix.ENOMEM) || results[2] != nil {
		t.Errorf("overflow: %v", results)
	}
	conn.answer = func(uint32) []any { return nil }
	for i, err := range newFIB(DefaultProtocol, conn).Apply(t.Context(), ops) {
		if err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("silence: op %d: %v", i, err)
		}
	}
}

func TestRouteMessagesReadBackAsWritten(t *testing.T) {
	for _, r := range []routes.Route{
		sample("10.1.0.0/24"),
		{Key: sample("fd00::/64").Key, Kind: routes.Unreachable},
		{Key: sample("10.0.0.0/8").Key, NextHops: []routes.NextHop{
			{Gateway: netip.MustParseAddr("10.9.9.9"), Link: 3, Weight: 255}, {Gateway: netip.MustParseAddr("fe80::1"), Link: 4, Weight: 2},
		}},
	} {
		p, err := parseRoute(appendRoute(nil, r, DefaultProtocol))
		if err != nil || !p.route.Equal(r) || p.protocol != DefaultProtocol {
			t.Errorf("%s: read back as %s, %v", r, p.route, err)
		}
	}
}

func FuzzParseRoute(f *testing.F) {
	f.Add(appendRoute(nil, sample("10.1.0.0/24"), DefaultProtocol))
	f.Add(appendRoute(nil, routes.Route{Key: sample("fd00::/64").Key, NextHops: []routes.NextHop{
		{Gateway: netip.MustParseAddr("fe80::1"), Link: 3, Weight: 2}, {Gateway: netip.MustParseAddr("fe80::2"), Link: 3, Weight: 1},
	}}, DefaultProtocol))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseRoute(b)
		if err == nil && !p.route.Equal(p.route.Normalize()) {
			t.Errorf("%+v is not normalized", p.route)
		}
	})
}

func TestProtocolNumbersOfOthersAreRefusedByName(t *testing.T) {
	for n, want := range map[int]string{
		-1: "is not between 5 and 255", 0: "is not between 5 and 255", 2: "belongs to kernel", 4: "belongs to static",
		9: "belongs to router advertisements", 11: "belongs to FRR zebra", 12: "belongs to BIRD", 16: "belongs to dhcp",
		186: "belongs to FRR bgp", 187: "belongs to FRR isis", 196: "belongs to FRR static", 199: "belongs to FRR", 256: "is not between 5 and 255",
		512 + 219: "is not between 5 and 255",
	} {
		err := ValidateProtocol(n)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "219") {
			t.Errorf("%d: %v, want %q and the advice to take 219", n, err, want)
		}
	}
	for n := 186; n <= 199; n++ {
		if ValidateProtocol(n) == nil {
			t.Errorf("%d is FRR's and allowed", n)
		}
	}
	for _, n := range []int{5, 200, 210, DefaultProtocol, 255} {
		if err := ValidateProtocol(n); err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
	if _, err := New(Options{Protocol: 186}); err == nil {
		t.Error("New takes FRR's protocol number")
	}
}

func TestMissingPermissionIsOneLineThatSaysHowToMendIt(t *testing.T) {
	fib := inNamespace(t)
	if err := CheckPermission(); err != nil {
		t.Fatalf("with the capability: %v", err)
	}
	drop(t, unix.CAP_NET_ADMIN)
	want := "may not change the kernel's routes: CAP_NET_ADMIN is missing: run as root, or add NET_ADMIN to the container's securityContext.capabilities.add"
	if err := CheckPermission(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	// What a route then fails with says the same.
	conn, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	results := newFIB(DefaultProtocol, conn).Apply(t.Context(), []routes.Op{add(route(t, "10.1.0.0/24", "10.0.1.2@one"))})
	if !errors.Is(results[0], unix.EPERM) || !strings.Contains(results[0].Error(), permissionHint) {
		t.Errorf("got %v", results)
	}
	mustHold(t, fib)
}

// drop takes a capability from this thread, which is the test's own for good.
func drop(t *testing.T, capability int) {
	t.Helper()
	runtime.LockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
}
