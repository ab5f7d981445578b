package routes

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// suspects are keys at which others may have changed something since the last look.
type suspects struct {
	mu   sync.Mutex
	keys []Key
	all  bool // anywhere
}

// maxSuspects bounds the keys that are looked at one by one: past it, to read everything is
// no dearer.
const maxSuspects = 1024

// SuspectAll notes that others may have changed anything. Mend then reads the whole kernel.
func (t *Table) SuspectAll() {
	t.suspects.mu.Lock()
	defer t.suspects.mu.Unlock()
	t.suspects.keys, t.suspects.all = nil, true
}

// Suspect notes that others changed something at these keys, and reports whether any of them
// is a reason to Mend: one that the table wants or last saw as ours, and at which it would
// not wait before it puts anything.
func (t *Table) Suspect(keys []Key) bool {
	concerning := t.concerning(keys)
	t.suspects.mu.Lock()
	defer t.suspects.mu.Unlock()
	if t.suspects.keys = append(t.suspects.keys, concerning...); len(t.suspects.keys) > maxSuspects {
		t.suspects.all = true
	}
	if t.suspects.all {
		t.suspects.keys = nil
	}
	return len(concerning) > 0
}

func (t *Table) concerning(keys []Key) []Key {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var out []Key
	for _, key := range keys {
		key = key.Normalize()
		_, wanted := t.wanted[key]
		_, held := t.held[key]
		if (wanted || held) && t.heldBack(key, now) == nil {
			out = append(out, key)
		}
	}
	return out
}

func (s *suspects) take() (keys []Key, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, all = s.keys, s.all
	s.keys, s.all = nil, false
	slices.SortFunc(keys, Key.Compare)
	return slices.Compact(keys), all
}

// Mend does for what is suspected what Repair does for all. Its cost grows with the number
// of suspected keys, unless that does not tell enough.
func (t *Table) Mend(ctx context.Context) error {
	keys, all := t.suspects.take()
	if !all && len(keys) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if all || !t.looked || slices.ContainsFunc(keys, t.unwanted) {
		return t.repair(ctx)
	}
	silent := t.lookAt(ctx, keys)
	err := t.carryOut(ctx, keys)
	if slices.ContainsFunc(silent, t.inTheDark) {
		return t.repair(ctx)
	}
	return err
}

// inTheDark reports whether it is not known what the kernel holds at a key of which it did
// not tell: to add there failed, and not because of a foreign route.
func (t *Table) inTheDark(key Key) bool {
	failure, failed := t.failed[key]
	taken, isTaken := errors.AsType[*TakenError](failure.Err)
	return failed && !(isTaken && taken.Protocol != 0 && !taken.Ours)
}

func (t *Table) unwanted(key Key) bool {
	_, wanted := t.wanted[key]
	return !wanted
}

// lookAt is look for a few keys. Where the kernel tells of nothing there is taken to be
// nothing: to add is then the way to find out. It returns those keys.
func (t *Table) lookAt(ctx context.Context, keys []Key) (silent []Key) {
	found := t.ways.dumped(t.fib.Find(ctx, keys))
	before := make(book, len(keys))
	for _, key := range keys {
		if had, held := t.held[key]; held {
			before[key] = had
		}
		delete(t.held, key)
		if have, held := found[key]; held {
			t.held[key] = have
		} else {
			silent = append(silent, key)
		}
	}
	t.noticeUndone(before)
	return silent
}
