package routes

import (
	"fmt"
	"slices"
	"time"
)

const (
	// A route that was put back contestRepairs times within contestWindow and is undone once
	// more is contested: to go on would be a fight at the speed of the kernel.
	contestRepairs = 5
	contestWindow  = 10 * time.Second
	// The wait before a contested route is put back again doubles between these.
	firstWait, lastWait = 10 * time.Second, 5 * time.Minute
)

// Contest is a wanted route that something else keeps taking away.
type Contest struct {
	Key  Key
	By   string        // what happens to it: a sentence that names who does it, as far as that is known
	Wait time.Duration // before it is put back the next time
}

// ContestedError is why a route of ours that was undone is not put back yet.
type ContestedError struct{ Contest Contest }

// Error implements error.
func (e *ContestedError) Error() string {
	return fmt.Sprintf("contested: %s; tried again %s after the last time", e.Contest.By, e.Contest.Wait)
}

// contest is what is remembered of a key at which somebody undid what we had put.
type contest struct {
	repairs []time.Time // within the window, the newest last
	undone  bool        // since the last repair
	by      string
	wait    time.Duration // 0: put back at once
	until   time.Time     // nothing is put before
}

// What can be seen of who undoes a route. Only one that puts its own there shows its number.
const (
	byDeleting = "something deletes it"
	byChanging = "something changes it, under our own protocol number"
)

// noticeUndone compares what was held with what is held now, and remembers where a route
// that was as it is wanted no longer is. Only keys that are named count, at which the kernel
// told of somebody else: a link or an address that comes and goes takes routes along, too.
func (t *Table) noticeUndone(before book, named map[Key]bool) {
	now := t.now()
	for key, c := range t.contests {
		if c.undone && sameWay(t.held[key], t.wanted[key]) {
			c.undone = false // somebody else has put it back
		}
	}
	for key, is := range named {
		want, wanted := t.wanted[key]
		if !is || !wanted || !sameWay(before[key], want) {
			continue
		}
		have, held := t.held[key]
		switch {
		case !held:
			t.undone(key, byDeleting, now)
		case !sameWay(have, want):
			t.undone(key, byChanging, now)
		}
	}
}

func (t *Table) undone(key Key, by string, now time.Time) {
	c := t.contests[key]
	if c == nil {
		c = &contest{}
		t.contests[key] = c
	}
	c.forgetBefore(now.Add(-contestWindow))
	c.undone = true
	if c.by == "" || by != byDeleting { // that a route is gone says less than what was seen before
		c.by = by
	}
	switch {
	case c.wait > 0:
		c.wait = min(2*c.wait, lastWait)
	case len(c.repairs) >= contestRepairs:
		c.wait = firstWait
	}
	c.until = now.Add(c.wait)
}

func (c *contest) forgetBefore(start time.Time) {
	c.repairs = slices.DeleteFunc(c.repairs, func(at time.Time) bool { return at.Before(start) })
}

// judge takes the result of a put into what is known of a contest. A failure that is
// nobody's doing, as of a link that is down, explains why the route was gone.
func (t *Table) judge(key Key, taken *TakenError, err error) {
	c := t.contests[key]
	switch {
	case c == nil || !c.undone:
	case err == nil:
		c.undone = false
		c.repairs = append(c.repairs, t.now())
	case taken == nil:
		c.undone = false
	case !taken.Ours:
		c.by = taken.who() + " takes its place"
	}
}

// heldBack returns the contest over key while nothing may be put there, else nil.
func (t *Table) heldBack(key Key, now time.Time) *contest {
	if c := t.contests[key]; c != nil && c.undone && now.Before(c.until) {
		return c
	}
	return nil
}

// patient records the puts that have to wait as failed, and returns the others.
func (t *Table) patient(puts []Op) []Op {
	if len(t.contests) == 0 {
		return puts
	}
	now := t.now()
	return slices.DeleteFunc(puts, func(op Op) bool {
		key := op.Route.Key
		c := t.heldBack(key, now)
		if c != nil {
			t.fail(op, &ContestedError{c.tell(key)})
		}
		return c != nil
	})
}

// settle forgets contests that are over: whose route is no longer wanted, or has stayed in
// place since it was put back.
func (t *Table) settle() {
	now := t.now()
	for key, c := range t.contests {
		c.forgetBefore(now.Add(-contestWindow))
		if _, wanted := t.wanted[key]; !wanted || (!c.undone && len(c.repairs) == 0) {
			delete(t.contests, key)
		}
	}
}

// contested returns the contests that go on, sorted.
func (t *Table) contested() []Contest {
	var list []Contest
	for key, c := range t.contests {
		if c.wait > 0 {
			list = append(list, c.tell(key))
		}
	}
	slices.SortFunc(list, func(a, b Contest) int { return a.Key.Compare(b.Key) })
	return list
}

func (c *contest) tell(key Key) Contest {
	return Contest{Key: key, By: c.by, Wait: c.wait}
}
