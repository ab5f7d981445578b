package routes

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
)

// suspects are keys at which others may have changed something since the last look.
type suspects struct {
	mu sync.Mutex
	suspicion
}

// suspicion says where to look.
type suspicion struct {
	// keys to look at. Those that are true were named: somebody else changed something there,
	// while at the others the kernel itself may have.
	keys map[Key]bool
	all  bool // anywhere
}

// maxSuspects bounds the keys that are looked at one by one: past it, to read everything is
// no dearer.
const maxSuspects = 1024

// SuspectAll notes that others may have changed anything. Mend then reads the whole kernel.
func (t *Table) SuspectAll() { t.suspects.add(suspicion{all: true}) }

// Suspect notes that somebody else changed something at these keys, and reports whether any
// of them is a reason to Mend: one that the table wants or last saw as ours, and at which it
// would not wait before it puts anything. What is amiss there counts as a contest.
func (t *Table) Suspect(keys []Key) bool { return t.suspect(keys, true) }

// SuspectFallen is Suspect for keys at which the kernel itself removed a route, as in IPv6
// those over a link that goes down. That is no contest.
func (t *Table) SuspectFallen(keys []Key) bool { return t.suspect(keys, false) }

func (t *Table) suspect(keys []Key, named bool) bool {
	concerning := map[Key]bool{}
	for _, key := range t.concerning(keys) {
		concerning[key] = named
	}
	t.suspects.add(suspicion{keys: concerning})
	return len(concerning) > 0
}

// SuspectLinks notes that these links or their addresses changed, by which the kernel may
// have removed routes over them, in IPv4 without a word, and may now take some that it
// refused. It reports whether any route that the table wants or last saw goes over one.
func (t *Table) SuspectLinks(links []int) bool {
	over := t.over(links)
	if len(over) > maxSuspects {
		t.SuspectAll()
		return true
	}
	t.suspects.add(suspicion{keys: over})
	return len(over) > 0
}

// over returns the keys of routes over one of the links. Of more than maxSuspects it returns
// some.
func (t *Table) over(links []int) map[Key]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ours := slices.DeleteFunc(slices.Clone(links), func(link int) bool { return !t.ways.links[link] })
	if len(ours) == 0 {
		return nil // as for the links of pods
	}
	out := map[Key]bool{}
	for _, b := range []book{t.wanted, t.held} {
		for key, w := range b {
			if len(out) > maxSuspects {
				return out
			}
			if slices.ContainsFunc(w.hops, func(hop NextHop) bool { return slices.Contains(ours, hop.Link) }) {
				out[key] = false
			}
		}
	}
	return out
}

// add takes more suspicion in. Past maxSuspects all are suspected, and of later keys it is
// not remembered that they were named.
func (s *suspects) add(more suspicion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = s.all || more.all
	for key, named := range more.keys {
		_, known := s.keys[key]
		if !known && len(s.keys) >= maxSuspects {
			s.all = true
			continue
		}
		if s.keys == nil {
			s.keys = map[Key]bool{}
		}
		s.keys[key] = named || s.keys[key]
	}
}

func (s *suspects) take() suspicion {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.suspicion
	s.suspicion = suspicion{}
	return taken
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

// Mend does for what is suspected what Repair does for all. Its cost grows with the number
// of suspected keys, unless that does not tell enough.
func (t *Table) Mend(ctx context.Context) error {
	suspected := t.suspects.take()
	if !suspected.all && len(suspected.keys) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(suspected.keys), Key.Compare)
	if suspected.all || !t.looked || slices.ContainsFunc(keys, t.unwanted) {
		t.suspects.add(suspected) // for that look
		return t.repair(ctx)
	}
	silent := t.lookAt(ctx, keys, suspected.keys)
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
func (t *Table) lookAt(ctx context.Context, keys []Key, named map[Key]bool) (silent []Key) {
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
	t.noticeUndone(before, named)
	return silent
}
