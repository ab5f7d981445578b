package routes

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// fight is a table, the kernel, a clock, and somebody who works against the table.
type fight struct {
	kernel *kernel
	table  *Table
	clock  time.Time
	puts   int // of the contested route, by the table
}

const (
	mine    = "10.1.0.0/16 2048 10.0.0.1@1"
	another = "10.2.0.0/16 2048 10.0.0.1@1"
)

func newFight(t *testing.T) *fight {
	t.Helper()
	f := &fight{kernel: newKernel(), clock: time.Unix(1000, 0)}
	f.table = NewTable(f.kernel, func() time.Time { return f.clock })
	must(t, f.table.Reconcile(t.Context(), Desired{Routes: []Route{parse(t, mine), parse(t, another)}, Complete: true}))
	return f
}

// round lets somebody do something and the table repair a moment later.
func (f *fight) round(t *testing.T, undo func(key Key)) error {
	t.Helper()
	undo(parse(t, mine).Key)
	f.table.Suspect([]Key{parse(t, mine).Key}) // as the kernel tells that somebody did it
	f.clock = f.clock.Add(100 * time.Millisecond)
	f.kernel.pass()
	err := f.table.Repair(t.Context())
	f.puts += len(f.kernel.log)
	return err
}

func (f *fight) remove(key Key) { delete(f.kernel.ours, key) }

// contested brings the fight to its back-off.
func contested(t *testing.T) *fight {
	t.Helper()
	f := newFight(t)
	for range contestRepairs {
		must(t, f.round(t, f.remove))
	}
	var held *ContestedError
	if err := f.round(t, f.remove); !errors.As(err, &held) {
		t.Fatalf("after %d repairs within %s: %v", contestRepairs, f.clock.Sub(time.Unix(1000, 0)), err)
	}
	return f
}

func (f *fight) mustBe(t *testing.T, contests int, lines string) {
	t.Helper()
	if got := f.table.State().Contested; len(got) != contests {
		t.Errorf("contests: %v, want %d", got, contests)
	}
	mustHold(t, f.kernel, lines)
}

func TestContestedRouteIsLeftAloneAndNoOther(t *testing.T) {
	f := contested(t)
	f.mustBe(t, 1, another)
	puts := f.puts
	for range 50 { // whoever it is goes on, and takes another one too
		err := f.round(t, func(key Key) { f.remove(key); f.remove(parse(t, another).Key) })
		if err == nil || !strings.Contains(err.Error(), "adding 10.1.0.0/16") || !strings.Contains(err.Error(), "something deletes it; tried again 10s after") {
			t.Fatalf("got %v", err)
		}
		f.clock = f.clock.Add(3 * time.Second / 50)
	}
	if got := f.kernel.text(); got != "" && !strings.HasPrefix(got, "10.2.") {
		t.Errorf("the kernel holds %s", got)
	}
	if strings.Contains(strings.Join(f.kernel.log, "\n"), "10.1.0.0/16") || f.puts == puts {
		t.Errorf("%d puts, of the last pass: %v", f.puts-puts, f.kernel.log)
	}
}

func TestBackOffGrowsToItsBoundAndEndsWithTheContest(t *testing.T) {
	f := contested(t)
	var waits []time.Duration
	for range 8 {
		wait := f.table.State().Contested[0].Wait
		waits = append(waits, wait)
		f.clock = f.clock.Add(wait)
		must(t, f.table.Repair(t.Context())) // it is tried, and undone at once
		if err := f.round(t, f.remove); err == nil {
			t.Fatal("it was put back a second time")
		}
	}
	want := []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, lastWait, lastWait, lastWait}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	f.clock = f.clock.Add(lastWait)
	must(t, f.table.Repair(t.Context()))
	f.mustBe(t, 1, mine+"\n"+another) // in place, but for how long?
	f.clock = f.clock.Add(contestWindow + 1)
	f.mustBe(t, 0, mine+"\n"+another)
	// All is forgotten: the next one counts from the beginning.
	must(t, f.round(t, f.remove))
}

func TestSlowRepairsAreNoContest(t *testing.T) {
	f := newFight(t)
	for range 50 {
		f.clock = f.clock.Add(contestWindow / contestRepairs)
		must(t, f.round(t, f.remove))
	}
	f.mustBe(t, 0, mine+"\n"+another)
}

func TestNewsOfAContestedRouteIsTriedAtOnce(t *testing.T) {
	f := contested(t)
	other := "10.1.0.0/16 2048 10.0.0.9@1"
	must(t, f.table.Update(t.Context(), changes(t, other)))
	f.mustBe(t, 1, other+"\n"+another)
	if err := f.round(t, f.remove); err == nil || f.table.State().Contested[0].Wait != 2*firstWait {
		t.Errorf("%v, %v", err, f.table.State())
	}
}

func TestContestedRouteThatIsWithdrawnGoesAtOnce(t *testing.T) {
	f := contested(t)
	f.clock = f.clock.Add(firstWait)
	must(t, f.table.Repair(t.Context()))
	must(t, f.table.Update(t.Context(), withdrawal(t, "10.1.0.0/16")))
	f.mustBe(t, 0, another)
}

func TestContestNamesWhoIsSeen(t *testing.T) {
	for want, undo := range map[string]func(f *fight, key Key){
		"something deletes it": func(f *fight, key Key) { f.remove(key) },
		"something changes it, under our own protocol number": func(f *fight, key Key) {
			changed := f.kernel.ours[key]
			changed.NextHops = []NextHop{{Link: 7, Weight: 1}}
			f.kernel.ours[key] = changed
		},
		"a route that is not ours (protocol 4/static) takes its place": func(f *fight, key Key) {
			f.remove(key)
			f.kernel.foreign[key] = true
			f.table.Suspect([]Key{key})
			if err := f.table.Repair(t.Context()); err == nil {
				t.Error("the foreign route was overwritten")
			}
			delete(f.kernel.foreign, key)
		},
	} {
		f := newFight(t)
		for range contestRepairs + 1 {
			_ = f.round(t, func(key Key) { undo(f, key) })
		}
		if got := f.table.State().Contested; len(got) != 1 || got[0].By != want {
			t.Errorf("%v, want one %q", got, want)
		}
	}
}

func TestRouteThatWaitsForItsLinkIsNoContest(t *testing.T) {
	f := newFight(t)
	key := parse(t, mine).Key
	for range 3 * contestRepairs {
		f.kernel.broken[key] = true // the link goes down and takes the route along
		if err := f.round(t, f.remove); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		delete(f.kernel.broken, key)
		must(t, f.round(t, func(Key) {}))
	}
	f.mustBe(t, 0, mine+"\n"+another)
	if len(f.table.contests) != 0 {
		t.Errorf("remembered: %v", f.table.contests)
	}
}

// What goes with a link or an address is back as soon as the kernel takes it, however often.
func TestLinksAndAddressesThatComeAndGoAreNoContest(t *testing.T) {
	key := parse(t, mine).Key
	for name, suspect := range map[string]func(table *Table){
		"links":                func(table *Table) { table.SuspectLinks([]int{1}) },
		"removed by itself":    func(table *Table) { table.SuspectFallen([]Key{key}) },
		"everything":           func(table *Table) { table.SuspectAll() },
		"everything, and keys": func(table *Table) { table.SuspectAll(); table.SuspectFallen([]Key{key}) },
	} {
		f := newFight(t)
		for range 5 * contestRepairs {
			f.remove(key)
			f.clock = f.clock.Add(100 * time.Millisecond)
			suspect(f.table)
			if err := f.table.Mend(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		f.mustBe(t, 0, mine+"\n"+another)
	}
}

// The same strokes, seen in a look at everything: what names their key counts all the same.
func TestContestIsSeenInALookAtEverything(t *testing.T) {
	f := newFight(t)
	key := parse(t, mine).Key
	var err error
	for range contestRepairs + 1 {
		f.remove(key)
		f.table.Suspect([]Key{key})
		f.table.SuspectFallen([]Key{key})
		f.table.SuspectAll()
		f.kernel.dumpErr = errBroken
		if f.table.Mend(t.Context()) == nil {
			t.Fatal("a dump that failed is no error")
		}
		f.kernel.dumpErr = nil
		err = f.table.Mend(t.Context())
	}
	if held := (*ContestedError)(nil); !errors.As(err, &held) {
		t.Errorf("got %v", err)
	}
}

func TestNewsOfAContestedRouteIsNoReasonToRepair(t *testing.T) {
	f := contested(t)
	key := parse(t, mine).Key
	if f.table.Suspect([]Key{key}) {
		t.Error("each stroke of the other side costs a whole comparison")
	}
	if !f.table.Suspect([]Key{key, parse(t, another).Key}) {
		t.Error("another route was forgotten about")
	}
	f.clock = f.clock.Add(firstWait)
	if !f.table.Suspect([]Key{key}) {
		t.Error("the time to wait is over")
	}
}
