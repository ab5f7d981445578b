package routes

import (
	"context"
	"maps"
	"slices"
)

// Retry tries again what failed, but for contested routes that have to wait. Its cost grows with
// the number of failures.
func (t *Table) Retry(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	keys := slices.SortedFunc(maps.Keys(t.failed), Key.Compare)
	keys = slices.DeleteFunc(keys, func(key Key) bool { return t.heldBack(key, now) != nil })
	if !t.looked || len(keys) > maxSuspects {
		return t.repair(ctx)
	}
	if len(keys) == 0 {
		return nil
	}
	// What is unwanted is deleted as it was last seen: that the kernel names another route is no word that it is gone.
	t.lookAt(ctx, slices.DeleteFunc(slices.Clone(keys), t.unwanted), nil)
	return t.carryOut(ctx, keys)
}
