package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// One route of a batch is refused, whatever the reason: it is named with its prefix and the
// errno, the others are installed, and it follows as soon as the kernel takes it.
func TestOneRefusedRouteOfABatchFailsAloneAndByName(t *testing.T) {
	fib := inNamespace(t)
	seam := &faulty{conn: fib.conn}
	fib.conn = seam
	for i, errno := range []unix.Errno{
		unix.EEXIST, unix.ESRCH, unix.ENETUNREACH, unix.EINVAL, unix.ENOBUFS, unix.EINTR, unix.EPERM, unix.ENOMEM, unix.EAGAIN,
	} {
		table := routes.NewTable(fib, time.Now)
		want := routes.Desired{Complete: true}
		for n := range 5 {
			want.Routes = append(want.Routes, route(t, fmt.Sprintf("10.%d.%d.0/24", 100+i, n), "10.0.1.2@one"))
		}
		seam.armed, seam.errno = routeRefused, errno
		err := table.Reconcile(t.Context(), want)
		if !seam.disarm() {
			t.Fatal("nothing was refused")
		}
		failed := table.State().Failed
		if len(failed) != 1 || failed[0].Route.Prefix != want.Routes[2].Prefix {
			t.Fatalf("%s: %v", unix.ErrnoName(errno), failed)
		}
		// EEXIST has a meaning of its own: somebody holds the key.
		words := errno.Error()
		if errno == unix.EEXIST {
			words = "a route that is not ours holds this prefix and metric"
		}
		for _, part := range []string{"adding ", want.Routes[2].Prefix.String(), words} {
			if err == nil || !strings.Contains(err.Error(), part) || failed[0].Err.Error() != err.Error() {
				t.Errorf("%s: %v, want %q in it", unix.ErrnoName(errno), err, part)
			}
		}
		if errno != unix.EEXIST && !errors.Is(err, errno) {
			t.Errorf("%s cannot be found in %v", unix.ErrnoName(errno), err)
		}
		mustHold(t, fib, append(want.Routes[:2:2], want.Routes[3:]...)...)
		if err := table.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustHold(t, fib, want.Routes...)
		if err := table.Reconcile(t.Context(), routes.Desired{Complete: true}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinkThatVanishesBetweenPlanAndWriteFailsItsRoutesAlone(t *testing.T) {
	fib := inNamespace(t)
	table := routes.NewTable(fib, time.Now)
	namespace.IP(t, "link add three type veth peer name threefar\nlink set three up\nlink set threefar up\naddr add 10.0.3.1/24 dev three\naddr add fd00:3::1/64 dev three nodad")
	stays := route(t, "10.1.0.0/24", "10.0.1.2@one")
	goes := []routes.Route{
		route(t, "10.3.0.0/24", "10.0.3.2@three"), route(t, "fd30::/64", "fd00:3::2@three"),
		route(t, "10.4.0.0/24", "10.0.1.2@one", "10.0.3.2@three"), route(t, "fd40::/64", "fd00:1::2@one", "fd00:3::2@three"),
	}
	namespace.IP(t, "link del three")
	err := table.Reconcile(t.Context(), routes.Desired{Routes: append(goes, stays), Complete: true})
	for _, r := range goes {
		if err == nil || !strings.Contains(err.Error(), "adding "+r.Prefix.String()) {
			t.Errorf("%s is not named in %v", r.Prefix, err)
		}
	}
	if state := table.State(); len(state.Failed) != len(goes) || state.Installed != 1 {
		t.Errorf("%+v", state)
	}
	mustHold(t, fib, stays)
	// The next plan knows it under its new number.
	namespace.IP(t, "link add three type veth peer name threefar\nlink set three up\nlink set threefar up\naddr add 10.0.3.1/24 dev three\naddr add fd00:3::1/64 dev three nodad")
	again := []routes.Route{stays, route(t, "10.4.0.0/24", "10.0.1.2@one", "10.0.3.2@three"), route(t, "fd30::/64", "fd00:3::2@three")}
	if err := table.Reconcile(t.Context(), routes.Desired{Routes: again, Complete: true}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib, again...)
}

// Another daemon's full table costs neither memory nor its routes.
func TestLargeForeignTableIsLeftAloneAndCostsNoMemory(t *testing.T) {
	fib := inNamespace(t)
	conn, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	var ops []routes.Op
	for i := range 100_000 {
		addr := netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0})
		ops = append(ops, add(routes.Route{
			Key:      routes.Key{Table: routes.MainTable, Prefix: netip.PrefixFrom(addr, 24), Metric: 2048},
			NextHops: []routes.NextHop{{Gateway: netip.MustParseAddr("10.0.1.9"), Link: link(t, "one")}},
		}))
	}
	apply(t, newFIB(foreignProtocol, conn), ops...)
	table := routes.NewTable(fib, time.Now)
	want := routes.Desired{Complete: true, Routes: []routes.Route{
		route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one"),
		route(t, ops[5000].Route.Prefix.String(), "10.0.1.2@one"), // theirs
	}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = table.Reconcile(t.Context(), want)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes were allocated on the way", used)
	}
	if err == nil || !strings.Contains(err.Error(), want.Routes[2].Prefix.String()) || !strings.Contains(err.Error(), fmt.Sprintf("protocol %d", foreignProtocol)) {
		t.Errorf("got %v", err)
	}
	mustHold(t, fib, want.Routes[:2]...)
	if err := table.Reconcile(t.Context(), routes.Desired{Complete: true}); err != nil {
		t.Fatal(err)
	}
	mustHold(t, fib)
	if theirs, err := newFIB(foreignProtocol, conn).Dump(t.Context()); err != nil || len(theirs) != len(ops) {
		t.Errorf("%d of %d foreign routes are left, %v", len(theirs), len(ops), err)
	}
}

// A signal that comes while an answer is waited for is no answer, and none is lost. With a
// receive timeout the kernel does not begin the call again by itself.
func TestSignalsInterruptNothing(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	s := &socket{fd: pair[0]}
	defer s.close()
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		n   int
		err error
	}
	thread, got := make(chan int, 1), make(chan answer, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		n, err := s.receive(make([]byte, 16))
		got <- answer{n, err}
	}()
	tid := <-thread
	for range 200 {
		if err := unix.Tgkill(os.Getpid(), tid, unix.SIGURG); err != nil { // the runtime's own: it ignores it
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if _, err := unix.Write(pair[1], []byte("answer")); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.err != nil || a.n != 6 {
		t.Errorf("got %+v", a)
	}
}
