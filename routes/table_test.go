package routes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func changes(t *testing.T, lines string) []Change {
	var list []Change
	for _, r := range parseAll(t, lines) {
		list = append(list, Change{Key: r.Key, Route: &r})
	}
	return list
}

func withdrawal(t *testing.T, prefix string) []Change {
	return []Change{{Key: parse(t, prefix).Key}}
}

func mustHold(t *testing.T, k *kernel, lines string) {
	t.Helper()
	if got, want := k.text(), routesText(parseAll(t, lines)); got != want {
		t.Errorf("the kernel holds\n%s\nwant\n%s\nafter\n%s", got, want, strings.Join(k.log, "\n"))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func kernelWith(t *testing.T, lines string) *kernel {
	k := newKernel()
	for _, r := range parseAll(t, lines) {
		k.ours[r.Key.Normalize()] = r.Normalize()
	}
	return k
}

func TestLeftoversStayUntilThePictureIsComplete(t *testing.T) {
	k := kernelWith(t, "10.8.0.0/16 10.0.0.1@1\n10.9.0.0/16 10.0.0.1@1")
	table := NewTable(k, time.Now)
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")))
	must(t, table.Update(t.Context(), withdrawal(t, "10.9.0.0/16")))
	must(t, table.Reconcile(t.Context(), Desired{Routes: parseAll(t, "10.1.0.0/16 10.0.0.1@1")}))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1\n10.8.0.0/16 10.0.0.1@1\n10.9.0.0/16 10.0.0.1@1")
	if state := table.State(); state.Stale != 2 || state.Complete {
		t.Errorf("state %+v", state)
	}
	must(t, table.Reconcile(t.Context(), Desired{Routes: parseAll(t, "10.1.0.0/16 10.0.0.1@1"), Complete: true}))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1")
	if state := table.State(); state.Stale != 0 || !state.Complete || state.Installed != 1 {
		t.Errorf("state %+v", state)
	}
}

func TestCompleteDeletesLeftoversAndLooksNoFurther(t *testing.T) {
	k := kernelWith(t, "10.8.0.0/16 10.0.0.1@1")
	table := NewTable(k, time.Now)
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1\n10.2.0.0/16 10.0.0.1@1")))
	must(t, table.Reconcile(t.Context(), Desired{Routes: parseAll(t, "10.1.0.0/16 10.0.0.1@1")}))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1\n10.2.0.0/16 10.0.0.1@1\n10.8.0.0/16 10.0.0.1@1")
	dumps := k.dumps
	must(t, table.Complete(t.Context()))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1")
	if state := table.State(); state.Stale != 0 || !state.Complete || k.dumps != dumps {
		t.Errorf("state %+v, and the kernel was read %d times more", state, k.dumps-dumps)
	}
}

func TestCompleteReadsAKernelThatWasNeverRead(t *testing.T) {
	k := kernelWith(t, "10.8.0.0/16 10.0.0.1@1")
	must(t, NewTable(k, time.Now).Complete(t.Context()))
	mustHold(t, k, "")
}

func TestWithdrawalOfWhatWasWantedDeletesBeforeComplete(t *testing.T) {
	k := kernelWith(t, "10.9.0.0/16 10.0.0.1@1")
	table := NewTable(k, time.Now)
	// A leftover that was wanted again counts as wanted; so does what a later picture lacks.
	must(t, table.Update(t.Context(), changes(t, "10.9.0.0/16 10.0.0.1@1\n10.1.0.0/16 10.0.0.1@1")))
	must(t, table.Update(t.Context(), withdrawal(t, "10.9.0.0/16")))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1")
	must(t, table.Reconcile(t.Context(), Desired{}))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1")
	must(t, table.Update(t.Context(), withdrawal(t, "10.1.0.0/16")))
	mustHold(t, k, "")
}

func TestFailedWithdrawalIsTriedAgainByRepair(t *testing.T) {
	k := newKernel()
	table := NewTable(k, time.Now)
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")))
	k.broken[parse(t, "10.1.0.0/16").Key] = true
	err := table.Update(t.Context(), withdrawal(t, "10.1.0.0/16"))
	if !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "deleting 10.1.0.0/16 via 10.0.0.1 link 1") {
		t.Fatalf("got %v", err)
	}
	if state := table.State(); state.Wanted != 0 || state.Stale != 1 || len(state.Failed) != 1 {
		t.Errorf("state %+v", state)
	}
	clear(k.broken)
	must(t, table.Repair(t.Context()))
	mustHold(t, k, "")
}

// The kernel tells of a key only where its route is the best one: that it tells nothing of a
// route that could not be deleted is no word that it is gone.
func TestFailedWithdrawalIsTriedAgainByRetry(t *testing.T) {
	for silent := range 2 {
		k := newKernel()
		table := NewTable(k, time.Now)
		must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")))
		k.broken[parse(t, "10.1.0.0/16").Key] = true
		if err := table.Update(t.Context(), withdrawal(t, "10.1.0.0/16")); !errors.Is(err, errBroken) {
			t.Fatalf("got %v", err)
		}
		clear(k.broken)
		k.finds = silent
		must(t, table.Retry(t.Context()))
		mustHold(t, k, "")
	}
}

func TestForeignRouteIsReportedAndItsKeyTakenOnceFree(t *testing.T) {
	k := newKernel()
	k.foreign[parse(t, "10.1.0.0/16").Key] = true
	table := NewTable(k, time.Now)
	err := table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1\n10.2.0.0/16 10.0.0.1@1"))
	want := "adding 10.1.0.0/16 via 10.0.0.1 link 1 metric 2048 table 254: " +
		"a route that is not ours (protocol 4/static) holds this prefix and metric"
	if err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	mustHold(t, k, "10.2.0.0/16 10.0.0.1@1")
	state := table.State()
	if state.Wanted != 2 || state.Installed != 1 || len(state.Failed) != 1 || state.Failed[0].Err.Error() != want {
		t.Errorf("state %+v", state)
	}
	clear(k.foreign)
	must(t, table.Repair(t.Context()))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1\n10.2.0.0/16 10.0.0.1@1")
}

func TestVanishedRouteIsAddedInsteadOfReplaced(t *testing.T) {
	k := newKernel()
	table := NewTable(k, time.Now)
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")))
	clear(k.ours)
	k.pass()
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.2@1")))
	mustHold(t, k, "10.1.0.0/16 10.0.0.2@1")
	if got := strings.Join(k.log, "; "); got != "replacing 10.1.0.0/16 via 10.0.0.2 link 1 metric 2048 table 254; "+
		"adding 10.1.0.0/16 via 10.0.0.2 link 1 metric 2048 table 254" {
		t.Error(got)
	}
}

func TestInvalidRouteFailsAloneAndKeepsItsPredecessor(t *testing.T) {
	k := newKernel()
	table := NewTable(k, time.Now)
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")))
	err := table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@0\n10.2.0.0/16 10.0.0.1@1"))
	if err == nil || !strings.Contains(err.Error(), "next hop 10.0.0.1 names no link") {
		t.Errorf("got %v", err)
	}
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1\n10.2.0.0/16 10.0.0.1@1")
}

func TestUnreadableKernelIsNotAnEmptyOne(t *testing.T) {
	k := kernelWith(t, "10.9.0.0/16 10.0.0.1@1")
	k.dumpErr = errors.New("interrupted")
	table := NewTable(k, time.Now)
	for _, pass := range []func() error{
		func() error { return table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")) },
		func() error {
			return table.Reconcile(t.Context(), Desired{Routes: parseAll(t, "10.1.0.0/16 10.0.0.1@1"), Complete: true})
		},
	} {
		if err := pass(); !errors.Is(err, k.dumpErr) || !strings.HasPrefix(err.Error(), "reading the kernel's routes: ") {
			t.Errorf("got %v", err)
		}
		if state := table.State(); state.Wanted != 1 || state.Installed != 0 || len(state.Failed) != 1 {
			t.Errorf("state %+v", state)
		}
	}
	mustHold(t, k, "10.9.0.0/16 10.0.0.1@1")
	k.dumpErr = nil
	must(t, table.Repair(t.Context()))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1")
}

func TestCancelledPassReportsWhatItLeftUndone(t *testing.T) {
	k := newKernel()
	table := NewTable(k, time.Now)
	must(t, table.Repair(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Update(ctx, changes(t, "10.1.0.0/16 10.0.0.1@1")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if state := table.State(); state.Installed != 0 || len(state.Failed) != 1 {
		t.Errorf("state %+v", state)
	}
}

type mute struct{ *kernel }

func (mute) Apply(context.Context, []Op) []error { return nil }

func TestMissingResultsCountAsFailures(t *testing.T) {
	table := NewTable(mute{newKernel()}, time.Now)
	if err := table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")); err == nil {
		t.Error("no error")
	}
	if state := table.State(); state.Installed != 0 {
		t.Errorf("state %+v", state)
	}
}

func TestManyFailuresMakeAShortTextAndStayInspectable(t *testing.T) {
	k := newKernel()
	var list []Route
	for i := range 500 {
		r := parse(t, fmt.Sprintf("10.%d.%d.0/24 10.0.0.1@1", i/250, i%250))
		k.broken[r.Key] = true
		list = append(list, r)
	}
	err := NewTable(k, time.Now).Reconcile(t.Context(), Desired{Routes: list})
	if !errors.Is(err, errBroken) || strings.Count(err.Error(), "\n") != maxListed || !strings.HasSuffix(err.Error(), "and 490 more routes") {
		t.Errorf("got %v", err)
	}
}

func TestSuspectedIsOnlyWhatIsWantedOrHeld(t *testing.T) {
	table := NewTable(kernelWith(t, "10.9.0.0/16 10.0.0.1@1"), time.Now)
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")))
	for prefix, want := range map[string]bool{"10.1.0.0/16": true, "10.9.0.0/16": true, "10.2.0.0/16": false, "10.1.0.0/16 77": false} {
		if got := table.Suspect([]Key{parse(t, prefix).Key}); got != want {
			t.Errorf("%s: %t", prefix, got)
		}
	}
}

// The twin of the walk's detectors: each fires on an agent that does wrong.
func TestSimulatedKernelNoticesBreaches(t *testing.T) {
	r := parse(t, "10.1.0.0/16 10.0.0.1@1")
	for name, act := range map[string]func(*kernel){
		"overwriting a foreign route": func(k *kernel) { k.foreign[r.Key] = true; k.Apply(t.Context(), []Op{{Verb: Replace, Route: r}}) },
		"deleting before adding": func(k *kernel) {
			k.Apply(t.Context(), []Op{{Verb: Delete, Route: r}, {Verb: Add, Route: r}})
		},
		"deleting what must stay": func(k *kernel) {
			k.mayGo = func(Key) string { return "it is wanted" }
			k.Apply(t.Context(), []Op{{Verb: Delete, Route: r}})
		},
	} {
		k := newKernel()
		k.ours[r.Key] = r
		act(k)
		if len(k.breaches) == 0 {
			t.Errorf("%s goes unnoticed", name)
		}
	}
}

func TestWantedAgainIsNoLongerWithdrawn(t *testing.T) {
	k := newKernel()
	table := NewTable(k, time.Now)
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")))
	k.broken[parse(t, "10.1.0.0/16").Key] = true
	if err := table.Update(t.Context(), withdrawal(t, "10.1.0.0/16")); err == nil {
		t.Fatal("the delete should fail")
	}
	clear(k.broken)
	must(t, table.Update(t.Context(), changes(t, "10.1.0.0/16 10.0.0.1@1")))
	must(t, table.Reconcile(t.Context(), Desired{}))
	mustHold(t, k, "10.1.0.0/16 10.0.0.1@1")
}
