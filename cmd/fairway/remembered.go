package main

import (
	"slices"
	"sync/atomic"

	"github.com/fairway-bgp/fairway/routes"
)

// remembered is what was made of some routes of others. To read them takes the whole table of the
// kernel, so that is done when news of them has come, and only for whom it concerns.
type remembered[T any] struct {
	stale atomic.Bool // they may have changed since they were read
	// links are those that the routes lead over: one that goes down takes IPv4 routes along without
	// a word. nil: not known.
	links atomic.Pointer[map[int]bool]
	last  T
}

// over reports whether one of the routes leads, or may lead, over one of the links: those of pods
// change nothing.
func (r *remembered[T]) over(links []int) bool {
	known := r.links.Load()
	return len(links) > 0 && (known == nil || slices.ContainsFunc(links, func(link int) bool { return (*known)[link] }))
}

// read returns what derive makes of the routes that list lists.
func (r *remembered[T]) read(list func() ([]routes.Route, error), derive func([]routes.Route) T) (T, error) {
	if stale := r.stale.Swap(false); !stale && r.links.Load() != nil {
		return r.last, nil
	}
	r.links.Store(nil) // what changes while they are read counts
	found, err := list()
	if err != nil {
		var nothing T
		return nothing, err
	}
	links := map[int]bool{}
	for _, route := range found {
		for _, hop := range route.NextHops {
			links[hop.Link] = true
		}
	}
	r.last = derive(found)
	r.links.Store(&links)
	return r.last, nil
}
