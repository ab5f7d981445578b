package netlink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/routes"
)

// over reports whether a route leads over one of the links.
func (w *walker) over(r routes.Route, links map[string]bool) bool {
	return slices.ContainsFunc(r.NextHops, func(hop routes.NextHop) bool {
		for name, is := range links {
			if is && hop.Link == link(w.t, name) {
				return true
			}
		}
		return false
	})
}

// amiss lists the keys at which the kernel does not hold what it should.
func (w *walker) amiss(have map[routes.Key]routes.Route) map[routes.Key]string {
	out := map[routes.Key]string{}
	for key, want := range w.wanted {
		if got, held := have[key]; !held || got.String() != want.String() {
			out[key] = fmt.Sprintf("%s is wanted, the kernel has %t %s", want, held, got)
		}
	}
	for key, got := range have {
		_, wanted := w.wanted[key]
		if was, stays := w.stays[key]; !wanted && (!stays || was.String() != got.String()) {
			out[key] = fmt.Sprintf("%s is in the kernel; that it stays is %t", got, stays)
		}
	}
	for key, want := range w.stays {
		if _, held := have[key]; !held {
			out[key] = fmt.Sprintf("%s has gone, though the picture is incomplete", want)
		}
	}
	return out
}

func (w *walker) failures() map[routes.Key]error {
	out := map[routes.Key]error{}
	for _, f := range w.table.State().Failed {
		out[f.Route.Key] = f.Err
	}
	return out
}

// mustNameWhatIsAmiss holds after something went wrong: whatever is not as it should be is a
// failure that is told of, by prefix, or the kernel could not be read at all.
func (w *walker) mustNameWhatIsAmiss(err error) {
	w.t.Helper()
	if err != nil && strings.HasPrefix(err.Error(), "reading the kernel's routes: ") {
		return
	}
	failed := w.failures()
	for key, what := range w.amiss(w.ours()) {
		if failed[key] == nil || !strings.Contains(failed[key].Error(), key.Prefix.String()) {
			w.fail("%s, and of that nothing is told: %v", what, err)
		}
	}
	w.mustLeaveOthersAlone()
}

// mustBeAsWanted holds at rest: all is as it should be but for what cannot be, of which the
// table tells, too.
func (w *walker) mustBeAsWanted(err error) {
	w.t.Helper()
	have, failed := w.ours(), w.failures()
	for key, what := range w.amiss(have) {
		_, taken := errors.AsType[*routes.TakenError](failed[key])
		_, theirs := w.foreign[key]
		dead := w.over(w.wanted[key], w.down)
		if failed[key] == nil || !(taken && theirs || dead) {
			w.fail("%s, failure %v, error %v", what, failed[key], err)
		}
		delete(failed, key)
	}
	if len(failed) > 0 {
		w.fail("failures without cause: %v", failed)
	}
	state := w.table.State()
	if state.Wanted != len(w.wanted) || len(state.Contested) > 0 {
		w.fail("state %+v, error %v", state, err)
	}
	w.mustLeaveOthersAlone()
	if w.taken%stepsByIP == 0 {
		if byIP := readByIP(w.t); routesText(byIP) != routesText(have) {
			w.fail("ip shows\n%s\nand the library\n%s", routesText(byIP), routesText(have))
		}
	}
}

// stepsByIP is after how many steps ip-route(8) is asked, too, which takes its time.
const stepsByIP = 16

func (w *walker) mustLeaveOthersAlone() {
	w.t.Helper()
	if got := w.theirs(); routesText(got) != routesText(w.foreign) {
		w.fail("the foreign routes are\n%s\nwant\n%s", routesText(got), routesText(w.foreign))
	}
}

func routesText(m map[routes.Key]routes.Route) string { return text(slices.Collect(maps.Values(m))) }

// fail ends the walk.
func (w *walker) fail(format string, a ...any) {
	panic(wrong(fmt.Sprintf(format, a...) + "\nafter\n" + strings.Join(w.steps[max(0, len(w.steps)-40):], "\n")))
}

// wrong is what a walk ends with that found something.
type wrong string

// walk takes the steps and returns what was found, "" for nothing.
func (w *walker) walk(steps uint64) (found wrong) {
	defer func() {
		if end := recover(); end != nil {
			found = end.(wrong) // anything else is a panic of its own
		}
	}()
	for range steps {
		w.step()
	}
	return ""
}

// TestKernelHoldsWhatIsWantedFromAnyStateToAnyOther walks for as many steps as FAIRWAY_STEPS
// says. FAIRWAY_SEED walks the same way again.
func TestKernelHoldsWhatIsWantedFromAnyStateToAnyOther(t *testing.T) {
	seed, steps := uint64(time.Now().UnixNano()), uint64(4000)
	for name, into := range map[string]*uint64{"FAIRWAY_SEED": &seed, "FAIRWAY_STEPS": &steps} {
		if text := os.Getenv(name); text != "" {
			var err error
			if *into, err = strconv.ParseUint(text, 10, 64); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	t.Logf("%d steps; the same again with FAIRWAY_SEED=%d", steps, seed)
	if found := newWalker(t, seed).walk(steps); found != "" {
		t.Error(found)
	}
}

// spoilt is a FIB with a mistake in it.
type spoilt struct {
	routes.FIB
	spoil func(ops []routes.Op, apply func([]routes.Op) []error) []error
}

func (s spoilt) Apply(ctx context.Context, ops []routes.Op) []error {
	return s.spoil(ops, func(ops []routes.Op) []error { return s.FIB.Apply(ctx, ops) })
}

// The walk is no better than what it finds.
func TestWalkFindsMistakes(t *testing.T) {
	for name, spoil := range map[string]func(ops []routes.Op, apply func([]routes.Op) []error) []error{
		"one op in a batch is forgotten": func(ops []routes.Op, apply func([]routes.Op) []error) []error {
			return append(apply(ops[:len(ops)-1]), nil)
		},
		"weights are lost": func(ops []routes.Op, apply func([]routes.Op) []error) []error {
			ops = slices.Clone(ops)
			for i := range ops {
				ops[i].Route.NextHops = slices.Clone(ops[i].Route.NextHops)
				for j := range ops[i].Route.NextHops {
					ops[i].Route.NextHops[j].Weight = 1
				}
			}
			return apply(ops)
		},
		"what narrows a route is lost": func(ops []routes.Op, apply func([]routes.Op) []error) []error {
			ops = slices.Clone(ops)
			for i := range ops {
				ops[i].Route.Key = ops[i].Route.WithSelector(routes.Selector{})
			}
			return apply(ops)
		},
		"foreign routes are overwritten": func(ops []routes.Op, apply func([]routes.Op) []error) []error {
			results := apply(ops)
			for i, op := range ops {
				if taken, ok := errors.AsType[*routes.TakenError](results[i]); ok && !taken.Ours {
					op.Verb = routes.Replace
					results[i] = apply([]routes.Op{op})[0]
				}
			}
			return results
		},
		"an error is not told": func(ops []routes.Op, apply func([]routes.Op) []error) []error {
			_ = apply(ops)
			return make([]error, len(ops))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWalker(t, 1)
			w.fib = spoilt{w.fib, spoil}
			w.restart()
			found := w.walk(1000)
			if found == "" {
				t.Error("nothing was found")
			}
			first, _, _ := strings.Cut(string(found), "\n")
			t.Logf("found after %d steps: %s", len(w.steps), first)
		})
	}
}
