package routes

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// walk is a random walk of one table, the kernel under it and the world around. Beside them
// it keeps, in the plainest way, what should be so.
type walk struct {
	kernel *kernel
	table  *Table

	wanted    map[Key]Route
	complete  bool
	was       map[Key]bool // wanted at some time in this process, and not withdrawn since
	withdrawn map[Key]bool // explicitly, after it was wanted
	unseen    map[Key]bool // changed by others since the table last looked
	meddled   map[Key]bool // changed by others since the agent started
	looked    bool
	clock     time.Time
}

// time passes so quickly that nothing that is undone becomes a contest.
func (w *walk) time() time.Time {
	w.clock = w.clock.Add(contestWindow)
	return w.clock
}

func newWalk() *walk {
	w := &walk{kernel: newKernel()}
	w.restart()
	return w
}

// restart is the agent started anew: nothing remembered, the kernel as it was.
func (w *walk) restart() {
	w.table = NewTable(w.kernel, w.time)
	w.wanted, w.was, w.withdrawn = map[Key]Route{}, map[Key]bool{}, map[Key]bool{}
	w.unseen, w.meddled, w.looked, w.complete = map[Key]bool{}, map[Key]bool{}, false, false
	w.kernel.mayGo = func(key Key) string {
		if _, wanted := w.wanted[key]; wanted {
			return "it is wanted"
		}
		if !w.complete && !w.withdrawn[key] {
			return "the picture is incomplete, and nobody withdrew it"
		}
		return ""
	}
}

var forms = []string{"10.0.0.1@1", "10.0.0.2@1", "10.0.0.2@1 10.0.0.1@1", "10.0.0.2@1*3 10.0.0.1@1", "@2", ""}

func drawRoute(t *rapid.T) Route {
	n := rapid.IntRange(0, 5).Draw(t, "key")
	return parse(t, fmt.Sprintf("10.%d.0.0/16 %d %s", n/2, 2048+n%2, rapid.SampledFrom(forms).Draw(t, "form")))
}

func drawKey(t *rapid.T) Key { return drawRoute(t).Key }

func (w *walk) want(r Route) {
	r = r.Normalize()
	w.wanted[r.Key] = r
	w.was[r.Key] = true
	delete(w.withdrawn, r.Key)
}

// Update changes what is wanted at some keys.
func (w *walk) Update(t *rapid.T) {
	var changes []Change
	touched := map[Key]bool{}
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		r := drawRoute(t)
		touched[r.Key] = true
		if rapid.Bool().Draw(t, "withdraw") {
			changes = append(changes, Change{Key: r.Key})
			delete(w.wanted, r.Key)
			if w.was[r.Key] {
				w.withdrawn[r.Key] = true
				delete(w.was, r.Key)
			}
			continue
		}
		changes = append(changes, Change{Key: r.Key, Route: &r})
		w.want(r)
	}
	mayLook := !w.looked
	w.kernel.pass()
	dumps := w.kernel.dumps
	err := w.table.Update(t.Context(), changes)
	if !mayLook && w.kernel.dumps != dumps {
		t.Fatal("Update read the whole kernel")
	}
	if mayLook && w.kernel.dumpErr == nil {
		w.looked = true
		clear(w.unseen)
	}
	failed := w.failedKeys()
	for key := range touched {
		if !w.looked {
			continue
		}
		if !w.unseen[key] && !w.kernel.broken[key] && !w.kernel.foreign[key] {
			w.mustBeDone(t, key)
		}
		if failed[key] && err == nil {
			t.Fatalf("%v failed and Update says nothing", key)
		}
	}
	w.mustKeepTheLaws(t)
}

// Reconcile gives a whole new wanted state.
func (w *walk) Reconcile(t *rapid.T) {
	want := Desired{Complete: rapid.Bool().Draw(t, "complete")}
	w.wanted, w.complete = map[Key]Route{}, want.Complete
	for range rapid.IntRange(0, 6).Draw(t, "routes") {
		r := drawRoute(t)
		want.Routes = append(want.Routes, r)
		w.want(r)
	}
	w.kernel.pass()
	w.fullPass(t, w.table.Reconcile(t.Context(), want))
}

// Repair compares everything once more.
func (w *walk) Repair(t *rapid.T) {
	w.kernel.pass()
	w.fullPass(t, w.table.Repair(t.Context()))
}

// Mend looks at the keys at which others were at work, as the kernel tells of them.
func (w *walk) Mend(t *rapid.T) {
	keys := slices.Collect(maps.Keys(w.unseen))
	w.kernel.pass()
	dumps := w.kernel.dumps
	if !w.table.Suspect(keys) {
		return
	}
	if err := w.table.Mend(t.Context()); err != nil && w.kernel.dumps > dumps {
		w.mustKeepTheLaws(t)
		return // the kernel may be unreadable
	}
	w.looked = w.looked || w.kernel.dumps > dumps
	for _, key := range keys {
		if _, wanted := w.wanted[key]; wanted && !w.kernel.broken[key] && !w.kernel.foreign[key] {
			w.mustBeDone(t, key)
			delete(w.unseen, key)
		}
	}
	w.mustKeepTheLaws(t)
}

// Retry tries again what failed: what nothing stands in the way of any more is done.
func (w *walk) Retry(t *rapid.T) {
	failed := w.failedKeys()
	w.kernel.pass()
	dumps := w.kernel.dumps
	err := w.table.Retry(t.Context())
	w.mustKeepTheLaws(t)
	if w.kernel.dumps > dumps { // it had not looked yet
		w.fullPass(t, err)
		return
	}
	for key := range failed {
		if !w.unseen[key] && !w.kernel.broken[key] && !w.kernel.foreign[key] {
			w.mustBeDone(t, key)
		}
	}
}

func (w *walk) fullPass(t *rapid.T, err error) {
	w.mustKeepTheLaws(t)
	state := w.table.State()
	if (err != nil) != (len(state.Failed) > 0 || w.kernel.dumpErr != nil) {
		t.Fatalf("error %v with %d failures", err, len(state.Failed))
	}
	if w.kernel.dumpErr != nil {
		if !errors.Is(err, w.kernel.dumpErr) {
			t.Fatalf("got %v", err)
		}
		return
	}
	w.looked = true
	clear(w.unseen)
	installed, stale := 0, len(w.kernel.ours)
	for key, want := range w.wanted {
		have, held := w.kernel.ours[key]
		if held {
			stale--
		}
		if held && sameNormalized(have, want) {
			installed++
		} else if !w.kernel.broken[key] && !w.kernel.foreign[key] {
			t.Fatalf("%s is wanted, and the kernel has %t %s", want, held, have)
		}
	}
	for key := range w.kernel.ours {
		if w.mustGo(key) && !w.kernel.broken[key] {
			t.Fatalf("%v is left over", key)
		}
	}
	if state.Wanted != len(w.wanted) || state.Installed != installed || state.Stale != stale {
		t.Fatalf("state %+v, want %d wanted, %d installed, %d stale", state, len(w.wanted), installed, stale)
	}
}

// mustGo reports whether what is held at key must be deleted now. What went after its
// withdrawal and was brought back by someone is a leftover like any other.
func (w *walk) mustGo(key Key) bool {
	return w.kernel.mayGo(key) == "" && (w.complete || !w.meddled[key])
}

func (w *walk) mustBeDone(t *rapid.T, key Key) {
	have, held := w.kernel.ours[key]
	want, wanted := w.wanted[key]
	if wanted && !(held && sameNormalized(have, want)) {
		t.Fatalf("%s is wanted, and the kernel has %t %s", want, held, have)
	}
	if !wanted && held && w.mustGo(key) {
		t.Fatalf("%s is left over", have)
	}
}

func (w *walk) mustKeepTheLaws(t *rapid.T) {
	if len(w.kernel.breaches) > 0 {
		t.Fatalf("%s\nin\n%s", strings.Join(w.kernel.breaches, "\n"), strings.Join(w.kernel.log, "\n"))
	}
	state := w.table.State()
	if !slices.IsSortedFunc(state.Failed, func(a, b Failure) int { return a.Route.Key.Compare(b.Route.Key) }) {
		t.Fatalf("failures are not sorted: %v", state.Failed)
	}
}

func (w *walk) failedKeys() map[Key]bool {
	keys := map[Key]bool{}
	for _, failure := range w.table.State().Failed {
		keys[failure.Route.Key] = true
	}
	return keys
}

// Disturb is someone else at work on the kernel.
func (w *walk) Disturb(t *rapid.T) {
	r := drawRoute(t).Normalize()
	w.unseen[r.Key], w.meddled[r.Key] = true, true
	switch rapid.SampledFrom([]string{"removes ours", "changes ours", "goes", "comes"}).Draw(t, "someone") {
	case "removes ours":
		delete(w.kernel.ours, r.Key)
	case "changes ours":
		if !w.kernel.foreign[r.Key] {
			w.kernel.ours[r.Key] = r
		}
	case "goes":
		delete(w.kernel.foreign, r.Key)
	case "comes":
		// It takes the key, ours or not. The kernel cannot tell us before our next replace
		// except by the watch, which leads to a repair.
		delete(w.kernel.ours, r.Key)
		w.kernel.foreign[r.Key] = true
		w.kernel.dumpErr = nil
		w.Repair(t)
	}
}

// Break makes a key fail, or mends it.
func (w *walk) Break(t *rapid.T) {
	key := drawKey(t)
	if w.kernel.broken[key] = !w.kernel.broken[key]; !w.kernel.broken[key] {
		delete(w.kernel.broken, key)
	}
}

// BreakDump makes the kernel unreadable, or readable again.
func (w *walk) BreakDump(t *rapid.T) {
	if w.kernel.dumpErr = nil; rapid.Bool().Draw(t, "unreadable") {
		w.kernel.dumpErr = errors.New("interrupted")
	}
}

// Restart starts the agent anew over the same kernel.
func (w *walk) Restart(*rapid.T) { w.restart() }

func TestTableKeepsTheLawsFromAnyStateToAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWalk()
		t.Repeat(rapid.StateMachineActions(actions{w}))
		// However it went: once nothing is broken, one complete pass sets all right.
		w.kernel.dumpErr = nil
		clear(w.kernel.broken)
		clear(w.kernel.foreign)
		w.kernel.pass()
		want := Desired{Routes: slices.Collect(maps.Values(w.wanted)), Complete: true}
		w.complete = true
		if err := w.table.Reconcile(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		w.mustKeepTheLaws(t)
		if got, want := w.kernel.text(), routesText(want.Routes); got != want {
			t.Fatalf("the kernel holds\n%s\nwant\n%s", got, want)
		}
	})
}

// actions gives rapid the exported methods of walk and nothing to check between them: each
// checks after itself.
type actions struct{ *walk }

func (actions) Check(*rapid.T) {}
