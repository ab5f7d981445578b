package routes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// kernel simulates the kernel as a FIB: our routes, routes of others at the same keys, keys
// at which everything fails. It notes as a breach whatever a careful agent never does.
type kernel struct {
	ours    map[Key]Route
	foreign map[Key]bool
	broken  map[Key]bool
	dumpErr error
	dumps   int
	finds   int

	log      []string
	deleted  bool                 // in this pass
	mayGo    func(key Key) string // why a delete is a breach, or ""
	breaches []string
}

var errBroken = errors.New("no buffer space available")

func newKernel() *kernel {
	return &kernel{
		ours: map[Key]Route{}, foreign: map[Key]bool{}, broken: map[Key]bool{},
		mayGo: func(Key) string { return "" },
	}
}

func (k *kernel) Dump(context.Context) ([]Route, error) {
	k.dumps++
	if k.dumpErr != nil {
		return []Route{}, k.dumpErr
	}
	return slices.Collect(maps.Values(k.ours)), nil
}

// Find tells of every second key only, as the kernel does not tell of each.
func (k *kernel) Find(_ context.Context, keys []Key) (found []Route) {
	k.finds++
	for i, key := range keys {
		if r, held := k.ours[key]; held && (i+k.finds)%2 == 0 {
			found = append(found, r)
		}
	}
	return found
}

func (k *kernel) Apply(ctx context.Context, ops []Op) []error {
	results := make([]error, len(ops))
	for i, op := range ops {
		if results[i] = ctx.Err(); results[i] == nil {
			results[i] = k.apply(op)
		}
		k.log = append(k.log, fmt.Sprintf("%s %s", op.Verb, op.Route))
	}
	return results
}

func (k *kernel) apply(op Op) error {
	key := op.Route.Key
	_, held := k.ours[key]
	if op.Verb == Delete {
		k.deleted = true
		if why := k.mayGo(key); why != "" {
			k.breach("%s deleted: %s", op.Route, why)
		}
	} else if k.deleted {
		k.breach("%s put after a delete", op.Route)
	}
	switch {
	case k.broken[key]:
		return errBroken
	case op.Verb == Add && k.foreign[key]:
		return &TakenError{Protocol: 4, Owner: "static"}
	case op.Verb == Add && held:
		return &TakenError{Protocol: 219, Ours: true}
	case op.Verb == Replace && k.foreign[key]:
		k.breach("%s took the place of a foreign route", op.Route)
		return nil
	case op.Verb != Add && !held:
		return ErrVanished
	case op.Verb == Delete:
		delete(k.ours, key)
	default:
		k.ours[key] = op.Route
	}
	return nil
}

func (k *kernel) breach(format string, args ...any) {
	k.breaches = append(k.breaches, fmt.Sprintf(format, args...))
}

// pass begins a new pass: it forgets the log and the deletes of the last.
func (k *kernel) pass() { k.log, k.deleted, k.breaches = nil, false, nil }

// text shows our routes, sorted.
func (k *kernel) text() string { return routesText(slices.Collect(maps.Values(k.ours))) }

func routesText(list []Route) string {
	lines := make([]string, len(list))
	for i, r := range list {
		lines[i] = r.Normalize().String()
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
