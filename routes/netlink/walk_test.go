package netlink

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// walker goes at random from state to state of a Table over the real kernel, among others
// that write there too, on links that go down and up, over a socket on which things go
// wrong. Beside them it keeps, in the plainest way, what should be so.
type walker struct {
	t     *testing.T
	rand  *rand.Rand
	steps []string // what was done, the newest last
	taken int      // steps

	fault *faulty
	fib   routes.FIB
	table *routes.Table
	clock time.Time

	twin   *FIB // somebody who writes under our own number
	others *FIB // somebody with a number of their own

	forms    map[routes.Key][]routes.Route // what can be wanted
	keys     []routes.Key
	wanted   map[routes.Key]routes.Route
	complete bool
	// stays are ours in the kernel that nobody wants and that may not go yet; dropped are those
	// of them that were wanted in this process.
	stays   map[routes.Key]routes.Route
	dropped map[routes.Key]bool
	foreign map[routes.Key]routes.Route
	down    map[string]bool
}

const foreignProtocol = 77

func newWalker(t *testing.T, seed uint64) *walker {
	fib := inNamespace(t)
	for _, setting := range []string{"all/keep_addr_on_down", "one/keep_addr_on_down", "two/keep_addr_on_down"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+setting, []byte("1"), 0); err != nil {
			namespace.Unavailable(t, err.Error())
		}
	}
	// Foreign routes lead over a link that stays, for those go with their link, too.
	namespace.IP(t, "link add three type veth peer name threefar\nlink set three up\nlink set threefar up\n"+
		"addr add 10.0.3.1/24 dev three\naddr add fd00:3::1/64 dev three nodad")
	w := &walker{
		t: t, rand: rand.New(rand.NewPCG(seed, seed)), fault: &faulty{conn: fib.conn}, fib: fib,
		clock: time.Unix(1000, 0), forms: map[routes.Key][]routes.Route{},
		foreign: map[routes.Key]routes.Route{}, down: map[string]bool{},
	}
	fib.conn = w.fault
	w.twin, w.others = w.open(DefaultProtocol), w.open(foreignProtocol)
	w.drawForms()
	w.restart()
	return w
}

func (w *walker) open(protocol uint8) *FIB {
	conn, err := open()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.close() })
	return newFIB(protocol, conn)
}

// drawForms makes the routes that can be wanted: each form at each key.
func (w *walker) drawForms() {
	hops := map[string][][]string{
		"4": {{"10.0.1.2@one"}, {"10.0.1.3@one"}, {"10.0.2.2@two"}, {"10.0.1.2@one", "10.0.2.2@two"}, {"10.0.1.2@one*3", "10.0.2.2@two"},
			{"10.0.1.2@one", "10.0.1.3@one*200", "fe80::2@two"}, {"fe80::2@one"}, {"fd00:1::2@one*2", "10.0.2.2@two*5"}, {"@two"}, {}},
		"6": {{"fd00:1::2@one"}, {"fd00:1::3@one"}, {"fd00:2::2@two"}, {"fd00:1::2@one", "fd00:2::2@two"}, {"fd00:1::2@one*3", "fd00:2::2@two"},
			{"fd00:1::2@one", "fd00:1::3@one*200", "fe80::2@two"}, {"fe80::2@one"}, {"@two"}, {}},
	}
	for prefix, family := range map[string]string{
		"10.1.0.0/16": "4", "10.1.2.0/24": "4", "10.1.2.3/32": "4", "172.16.0.0/12": "4",
		"fd10::/32": "6", "fd10::/64": "6", "fd10::1/128": "6", "fd20::/16": "6",
	} {
		for _, place := range []routes.Key{{Table: 254, Metric: 2048}, {Table: 254, Metric: 4294967295}, {Table: 5000, Metric: 2048}} {
			for _, form := range hops[family] {
				r := route(w.t, prefix, form...)
				r.Table, r.Metric = place.Table, place.Metric
				r = r.Normalize()
				w.forms[r.Key] = append(w.forms[r.Key], r)
			}
		}
	}
	w.keys = slices.SortedFunc(maps.Keys(w.forms), routes.Key.Compare)
}

func (w *walker) key() routes.Key { return w.keys[w.rand.IntN(len(w.keys))] }
func (w *walker) form(key routes.Key) routes.Route {
	return w.forms[key][w.rand.IntN(len(w.forms[key]))]
}
func (w *walker) say(format string, a ...any)         { w.steps = append(w.steps, fmt.Sprintf(format, a...)) }
func (w *walker) ours() map[routes.Key]routes.Route   { return readAlone(w.t, DefaultProtocol) }
func (w *walker) theirs() map[routes.Key]routes.Route { return readAlone(w.t, foreignProtocol) }

// step does one thing, lets the table do what it would do then, and compares.
func (w *walker) step() {
	w.taken++
	w.clock = w.clock.Add(11 * time.Second) // so that nothing becomes a contest
	faulted := w.rand.IntN(5) == 0
	if faulted {
		w.say("from here %s", w.fault.arm(w.rand))
	}
	var err error
	whole := true // every key was looked at
	switch n := w.rand.IntN(20); {
	case n < 8:
		err, whole = w.update(), false
	case n < 12:
		err = w.reconcile()
	case n < 13:
		w.disturb()
		err = w.table.Repair(w.t.Context())
	case n < 17:
		if key, did := w.disturb(); did && w.table.Suspect([]routes.Key{key}) {
			w.say("mend")
			err, whole = w.table.Mend(w.t.Context()), false
			break
		}
		// What is neither wanted nor known is found when all is compared again.
		err = w.table.Repair(w.t.Context())
	case n < 19:
		w.flap()
		err = w.table.Repair(w.t.Context())
	default:
		w.restart()
		err = w.reconcile()
	}
	if struck := w.fault.disarm(); struck {
		w.mustNameWhatIsAmiss(err)
		w.say("repair")
		err, whole = w.table.Repair(w.t.Context()), true
	}
	if failed := len(w.table.State().Failed); err != nil && failed == 0 || err == nil && failed > 0 && whole {
		w.fail("%d failures, and the error is %v", failed, err)
	}
	w.mustBeAsWanted(err)
}

// update changes what is wanted at some keys.
func (w *walker) update() error {
	var changes []routes.Change
	present, touched := w.ours(), map[routes.Key]bool{}
	for range 1 + w.rand.IntN(6) {
		key := w.key()
		if touched[key] {
			continue
		}
		touched[key] = true
		if w.rand.IntN(3) > 0 {
			r := w.form(key)
			if have, held := present[key]; held && have.String() != r.String() && !w.over(r, w.down) && w.rand.IntN(4) == 0 {
				w.say("before anybody notices that %v was deleted:", key)
				w.do(w.twin, routes.Op{Verb: routes.Delete, Route: have})
				delete(present, key)
			}
			w.say("want %s", r)
			changes = append(changes, routes.Change{Key: key, Route: &r})
			w.want(r)
			continue
		}
		w.say("withdraw %v", key)
		changes = append(changes, routes.Change{Key: key})
		if _, wanted := w.wanted[key]; wanted || w.dropped[key] {
			delete(w.stays, key) // news, not a gap: it goes at once
		}
		delete(w.wanted, key)
		delete(w.dropped, key)
	}
	return w.table.Update(w.t.Context(), changes)
}

func (w *walker) want(r routes.Route) {
	w.wanted[r.Key] = r
	delete(w.stays, r.Key)
	delete(w.dropped, r.Key)
}

// reconcile gives a whole new wanted state, much of it as it was.
func (w *walker) reconcile() error {
	before, present := w.wanted, w.ours()
	w.complete = w.rand.IntN(2) == 0
	w.wanted = map[routes.Key]routes.Route{}
	want := routes.Desired{Complete: w.complete}
	for _, key := range w.keys {
		r, had := before[key]
		if !had || w.rand.IntN(4) == 0 {
			r = w.form(key)
		}
		if w.rand.IntN(3) == 0 {
			continue
		}
		w.want(r)
		want.Routes = append(want.Routes, r)
	}
	for key := range before {
		_, still := w.wanted[key]
		if have, held := present[key]; held && !still {
			w.stays[key], w.dropped[key] = have, true
		}
	}
	if w.complete {
		clear(w.stays)
		clear(w.dropped)
	}
	w.say("reconcile %d routes, complete %t", len(want.Routes), w.complete)
	return w.table.Reconcile(w.t.Context(), want)
}

// disturb is somebody else at work on the kernel, at a key.
func (w *walker) disturb() (key routes.Key, did bool) {
	key = w.key()
	_, theirs := w.foreign[key]
	_, held := w.ours()[key]
	switch n := w.rand.IntN(7); {
	case n == 5:
		return w.narrow(key)
	case theirs && n < 3: // one who took a key leaves it
		w.say("the foreign route %v goes", key)
		w.do(w.others, routes.Op{Verb: routes.Delete, Route: w.foreign[key]})
		delete(w.foreign, key)
	case theirs:
	case n == 0 && held:
		w.say("somebody deletes our %v", key)
		w.do(w.twin, routes.Op{Verb: routes.Delete, Route: routes.Route{Key: key}})
		w.lose(key)
	case n == 6:
		return key, w.alter(key)
	case n == 1:
		r := w.form(key)
		if w.over(r, w.down) {
			return key, false
		}
		w.say("somebody writes %s under our number", r)
		verb := routes.Add
		if held {
			verb = routes.Replace
		}
		w.do(w.twin, routes.Op{Verb: verb, Route: r})
		if _, wanted := w.wanted[key]; !wanted && !w.complete {
			w.stays[key] = r
		}
	default:
		verb := routes.Add
		if held {
			verb = routes.Replace
		}
		w.say("a foreign route comes to %v, %s", key, verb)
		r := routes.Route{Key: key, NextHops: []routes.NextHop{{Link: link(w.t, "three")}}}.Normalize()
		w.do(w.others, routes.Op{Verb: verb, Route: r})
		w.foreign[key] = r
		w.lose(key)
	}
	return key, true
}

// alter has somebody put a route with an MTU under our number at key.
func (w *walker) alter(key routes.Key) (did bool) {
	r := w.form(key)
	if r.Kind != routes.Unicast || w.over(r, w.down) {
		return false
	}
	w.say("somebody writes %s under our number with an MTU", r)
	w.write(r, 1300)
	if _, wanted := w.wanted[key]; !wanted && !w.complete {
		w.stays[key] = routes.Route{Key: key, Kind: routes.Other}
	}
	return true
}

// narrow has somebody put a route for one type of service under our number beside key.
func (w *walker) narrow(key routes.Key) (narrowed routes.Key, did bool) {
	r := w.form(key)
	if r.Kind != routes.Unicast || w.over(r, w.down) || key.Prefix.Addr().Is6() {
		return key, false
	}
	r.Key = key.WithSelector(routes.Selector{TOS: 0x10})
	w.say("somebody writes %s under our number", r)
	w.write(r, 0)
	if !w.complete {
		w.stays[r.Key] = r
	}
	return r.Key, true
}

// write puts a route under our number by another library.
func (w *walker) write(r routes.Route, mtu int) {
	out := netlink.Route{
		Dst:   &net.IPNet{IP: r.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(r.Prefix.Bits(), r.Prefix.Addr().BitLen())},
		Table: int(r.Table), Priority: int(r.Metric), Protocol: DefaultProtocol, Tos: int(r.Selector().TOS), MTU: mtu,
	}
	for _, hop := range r.NextHops {
		to := &netlink.NexthopInfo{LinkIndex: hop.Link, Hops: int(hop.Weight) - 1}
		switch {
		case !hop.Gateway.IsValid():
		case hop.Gateway.Is4() == r.Prefix.Addr().Is4():
			to.Gw = hop.Gateway.AsSlice()
		default:
			to.Via = &netlink.Via{AddrFamily: unix.AF_INET6, Addr: hop.Gateway.AsSlice()}
		}
		out.MultiPath = append(out.MultiPath, to)
	}
	if len(out.MultiPath) == 1 { // in IPv6 no route on the link may be a multipath of one
		only := out.MultiPath[0]
		out.MultiPath, out.LinkIndex, out.Gw, out.Via = nil, only.LinkIndex, only.Gw, only.Via
	}
	if out.Dst.IP.To4() != nil && out.LinkIndex > 0 && out.Gw == nil && out.Via == nil {
		out.Scope = netlink.SCOPE_LINK
	}
	if err := netlink.RouteReplace(&out); err != nil {
		w.fail("the disturbance itself: %s with MTU %d: %v", r, mtu, err)
	}
}

// lose forgets what was to stay at key.
func (w *walker) lose(key routes.Key) {
	delete(w.stays, key)
	delete(w.dropped, key)
}

func (w *walker) do(fib *FIB, op routes.Op) {
	w.t.Helper()
	if err := fib.Apply(w.t.Context(), []routes.Op{op})[0]; err != nil {
		w.fail("the disturbance itself: %s %s: %v", op.Verb, op.Route, err)
	}
}

// flap takes a link down, or up again.
func (w *walker) flap() {
	name := []string{"one", "two"}[w.rand.IntN(2)]
	device, err := netlink.LinkByName(name)
	if err != nil {
		w.t.Fatal(err)
	}
	set := netlink.LinkSetUp
	if w.down[name] = !w.down[name]; w.down[name] {
		set = netlink.LinkSetDown
	}
	w.say("%s down %t", name, w.down[name])
	if err := set(device); err != nil {
		w.t.Fatal(err)
	}
	// What leads nowhere else goes with the link; the kernel decides.
	present := w.ours()
	for key := range w.stays {
		if _, held := present[key]; !held {
			w.lose(key)
		}
	}
}

// restart is the agent started anew: nothing remembered, the kernel as it is.
func (w *walker) restart() {
	w.say("restart")
	w.table = routes.NewTable(w.fib, func() time.Time { return w.clock })
	w.wanted, w.dropped, w.complete = map[routes.Key]routes.Route{}, map[routes.Key]bool{}, false
	w.stays = w.ours()
}
