package routes

import "slices"

// State is how far the kernel is as it is wanted, as far as was last seen.
type State struct {
	Wanted    int // routes wanted
	Installed int // of those, routes that the kernel holds just so
	// Stale counts routes of ours in the kernel that nobody wants: leftovers of an earlier
	// process that wait for a complete picture, and those that could not be deleted.
	Stale    int
	Complete bool      // of the last Desired
	Failed   []Failure // sorted by key
	// Contested are routes that something else keeps undoing, in place or not; sorted by key.
	Contested []Contest
}

// State returns how things stood at the end of the last pass. Its cost grows with the
// number of failures.
func (t *Table) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle()
	state := State{Wanted: len(t.wanted), Installed: len(t.wanted), Complete: t.complete, Contested: t.contested()}
	// Every wanted route that is not in place has failed: a pass leaves no third state.
	present := len(t.wanted)
	for key, failure := range t.failed {
		state.Failed = append(state.Failed, failure)
		if _, wanted := t.wanted[key]; !wanted {
			continue
		}
		state.Installed--
		if _, held := t.held[key]; !held {
			present--
		}
	}
	state.Stale = len(t.held) - present
	slices.SortFunc(state.Failed, func(a, b Failure) int { return a.Route.Key.Compare(b.Route.Key) })
	return state
}

// Failing returns how many routes are not as they are wanted, at no cost.
func (t *Table) Failing() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failed)
}
