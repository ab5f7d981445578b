package netlink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// watch starts Watch in the test's own namespace and returns its events. At the end of the
// test Watch must have ended without error.
func watch(t *testing.T, fib *FIB) <-chan Event {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan Event, 1000)
	ended := namespace.Go(t, func() error { return fib.Watch(ctx, func(e Event) { events <- e }) })
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
		goleak.VerifyNone(t, goleak.IgnoreCurrent())
	})
	if first := next(t, events); !first.Resync {
		t.Fatalf("the first event is %+v, want Resync", first)
	}
	return events
}

// teller returns what demands that a script is told of by an event that is so, or is not.
func teller(t *testing.T, fib *FIB, is func(Event) bool) func(what, script string, want bool) {
	t.Helper()
	events, markers := watch(t, fib), 0
	return func(what, script string, want bool) {
		t.Helper()
		namespace.IP(t, script)
		// The marker, a route of ours, comes after whatever the script caused.
		markers++
		marker := fmt.Sprintf("10.201.%d.0/24", markers)
		namespace.IP(t, "route add "+marker+" via 10.0.1.2 proto 219")
		told := false
		for marked := false; !marked; {
			e := next(t, events)
			told, marked = told || is(e), slices.ContainsFunc(e.Routes, func(k routes.Key) bool { return k.Prefix.String() == marker })
		}
		if told != want {
			t.Errorf("%s: told %t, want %t", what, told, want)
		}
	}
}

func next(t *testing.T, events <-chan Event) Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 s")
		return Event{}
	}
}

// mustTell reads events up to the first that is about routes: it must be about key alone.
func mustTell(t *testing.T, events <-chan Event, key routes.Key) {
	t.Helper()
	var told []routes.Key
	for len(told) == 0 {
		told = next(t, events).Routes
	}
	if !slices.Equal(told, []routes.Key{key}) {
		t.Fatalf("told of %v, want only %v", told, key)
	}
}

func TestWatchTellsOfOthersChangesToOurRoutesAlone(t *testing.T) {
	fib := inNamespace(t)
	events := watch(t, fib)
	v4, v6 := route(t, "10.1.0.0/24", "10.0.1.2@one"), route(t, "fd10::/64", "fd00:1::2@one", "fd00:2::2@two")

	apply(t, fib, add(v4), add(v6), replace(v4), del(v6), add(v6))
	namespace.IP(t, "route add 10.200.0.0/24 via 10.0.1.2 proto static\nroute del 10.200.0.0/24")
	namespace.IP(t, "route del 10.1.0.0/24 proto 219")
	mustTell(t, events, v4.Key)

	apply(t, fib, add(v4))
	namespace.IP(t, "route replace 10.1.0.0/24 via 10.0.1.9 metric 2048 proto static")
	mustTell(t, events, v4.Key)

	namespace.IP(t, "-6 route replace fd10::/64 via fd00:1::9 metric 2048 proto static")
	mustTell(t, events, v6.Key)
}

func TestWatchTellsOfLinksAndAddresses(t *testing.T) {
	fib := inNamespace(t)
	events := watch(t, fib)
	for _, change := range []string{
		"addr add 10.0.3.1/24 dev one", "addr del 10.0.3.1/24 dev one",
		"addr add fd00:3::1/64 dev one nodad", "link set two down", "link add three type bridge", "link del three",
	} {
		// What is left of the change before comes before news of this route.
		namespace.IP(t, "route add 10.201.0.0/24 via 10.0.1.2 proto 219")
		for len(next(t, events).Routes) == 0 {
			t.Logf("still about the host, before %s", change)
		}
		namespace.IP(t, "route del 10.201.0.0/24 proto 219")
		for len(next(t, events).Routes) == 0 {
			t.Logf("still about the host, before %s", change)
		}
		about := slices.IndexFunc(strings.Fields(change), func(word string) bool { return word == "one" || word == "two" })
		want := 0
		if about >= 0 {
			want = link(t, strings.Fields(change)[about])
		}
		namespace.IP(t, change)
		for {
			e := next(t, events)
			if e.Host && len(e.Links) > 0 && (want == 0 || slices.Contains(e.Links, want)) {
				break
			}
			t.Logf("not about the link, after %s: %+v", change, e)
		}
	}
}

// In IPv6 the kernel tells of routes that go with their link. That is nobody's doing.
func TestWatchTellsRoutesThatFallFromThoseThatSomebodyTakes(t *testing.T) {
	fib := inNamespace(t)
	events := watch(t, fib)
	v6 := route(t, "fd10::/64", "fd00:1::2@one")
	apply(t, fib, add(v6))
	namespace.IP(t, "link set one down")
	var fallen []routes.Key
	for len(fallen) == 0 {
		e := next(t, events)
		if fallen = e.Fallen; len(e.Routes) > 0 {
			t.Errorf("somebody is said to have taken %v", e.Routes)
		}
	}
	if !slices.Equal(fallen, []routes.Key{v6.Key}) {
		t.Errorf("fallen are %v", fallen)
	}
	namespace.IP(t, "link set one up\naddr replace fd00:1::1/64 dev one nodad")
	apply(t, fib, add(v6))
	namespace.IP(t, "-6 route del fd10::/64 proto 219")
	mustTell(t, events, v6.Key)
}

func TestWatchTellsWhenForwardingIsSwitched(t *testing.T) {
	fib := inNamespace(t)
	events := watch(t, fib)
	for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		for _, value := range []string{"1", "0"} { // it may be 1 already
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
				namespace.Unavailable(t, err.Error())
			}
		}
		for !next(t, events).Host {
			t.Logf("not about the host, after %s", name)
		}
	}
}

func TestOneBurstIsOneEvent(t *testing.T) {
	w := &watcher{protocol: DefaultProtocol, self: 1, following: &following{}, in: make([]byte, datagram)}
	if !w.drain(script(routeNews(1, 7), routeNews(1, 7), linkNews(), routeNews(2, 7), routeNews(3, 0), linkNews(), unix.EAGAIN)) {
		t.Fatal("nothing to tell")
	}
	got := w.take()
	if got.Resync || !got.Host || fmt.Sprint(got.Links) != "[0]" || fmt.Sprint(got.Fallen) != "[10.0.3.0/24 metric 2048 table 254]" ||
		fmt.Sprint(got.Routes) != "[10.0.1.0/24 metric 2048 table 254 10.0.2.0/24 metric 2048 table 254]" {
		t.Errorf("got %+v", got)
	}
	if w.drain(script(unix.EINTR, routeNews(3, w.self), unix.EAGAIN)) {
		t.Errorf("told of our own change: %+v", w.take())
	}
}

func TestLostOrUnreadableMessagesMeanResync(t *testing.T) {
	flood := make([]any, maxKeys+1)
	for i := range flood {
		flood[i] = routeNews(byte(i), 0)
	}
	for name, steps := range map[string][]any{
		"overflow":   {linkNews(), unix.ENOBUFS, unix.EAGAIN},
		"cut header": {[]byte{1, 2, 3}, unix.EAGAIN},
		"cut route":  {routeNews(1, 0)[:20], unix.EAGAIN},
		"cut link":   {finish(append(appendHeader(nil, unix.RTM_NEWLINK, 0, 0), 0, 0, 0, 0), 0), unix.EAGAIN},
	} {
		w := &watcher{protocol: DefaultProtocol, self: 1, following: &following{}, in: make([]byte, datagram)}
		if !w.drain(script(steps...)) || !w.take().Resync {
			t.Errorf("%s: not told to resync", name)
		}
	}
	w := &watcher{protocol: DefaultProtocol, self: 1, following: &following{}, in: make([]byte, datagram)}
	if !w.drain(script(flood...)) || len(w.pending.Routes) > maxKeys {
		t.Errorf("a flood is not told of in parts: %d pending", len(w.pending.Routes))
	}
	w.pending.Routes = make([]routes.Key, maxKeys+1)
	for i := range w.pending.Routes {
		w.pending.Routes[i] = routes.Key{Metric: uint32(i), Prefix: netip.MustParsePrefix("10.0.0.0/8")}
	}
	if got := w.take(); !got.Resync || got.Routes != nil {
		t.Errorf("too many keys: got %+v", got)
	}
	if w.drain(script(unix.EBADF)); !errors.Is(w.broken, unix.EBADF) {
		t.Errorf("a dead socket goes unnoticed: %v", w.broken)
	}
}

// script returns a receive that gives the steps one by one: a datagram or an errno.
func script(steps ...any) func([]byte) (int, error) {
	return func(b []byte) (int, error) {
		if len(steps) == 0 {
			return 0, unix.EAGAIN
		}
		step := steps[0]
		steps = steps[1:]
		if errno, ok := step.(unix.Errno); ok {
			return 0, errno
		}
		return copy(b, step.([]byte)), nil
	}
}

func linkNews() []byte {
	return finish(append(appendHeader(nil, unix.RTM_NEWLINK, 0, 0), make([]byte, unix.SizeofIfInfomsg)...), 0)
}

// routeNews says that a route of ours, 10.0.n.0/24, was deleted at the request of port.
func routeNews(n byte, port uint32) []byte {
	key := routes.Key{Table: routes.MainTable, Metric: 2048, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n, 0}), 24)}
	b := appendHeader(nil, unix.RTM_DELROUTE, 0, 0)
	native.PutUint32(b[12:], port)
	return finish(appendRtMsg(b, key, DefaultProtocol, 0, unix.RTN_UNICAST), 0)
}
