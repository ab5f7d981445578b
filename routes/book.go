package routes

import (
	"encoding/binary"
	"maps"
	"slices"
)

// way is all of a normalized route but its key. It is never changed: routes share it.
type way struct {
	kind Kind
	hops []NextHop
}

// sameWay reports whether two routes at one key are the same; none is like no route.
func sameWay(a, b *way) bool {
	return a == b || (a != nil && b != nil && a.kind == b.kind && slices.Equal(a.hops, b.hops))
}

// book is a set of normalized routes in little memory: 100,000 of them go a handful of ways.
type book map[Key]*way

// route returns the route at key. It shares memory with all others that go the same way.
func (b book) route(key Key) (Route, bool) {
	w, ok := b[key]
	if !ok {
		return Route{}, false
	}
	return Route{Key: key, Kind: w.kind, NextHops: w.hops}, true
}

// ways keep one way of those that are the same, and so make books small. To forget some
// costs nothing but memory.
type ways struct {
	known map[string]*way
	text  []byte
	links map[int]bool // over which any of all those ever made leads
}

// maxWays bounds what is remembered of ways that may long be out of use.
const maxWays = 4096

// of returns the way of a normalized route. It shares no memory with it.
func (w *ways) of(r Route) *way {
	w.text = append(w.text[:0], byte(r.Kind))
	for _, hop := range r.NextHops {
		w.text, _ = hop.Gateway.AppendBinary(w.text) // of no length but 0, 4 and 16, and never an error
		w.text = binary.NativeEndian.AppendUint64(w.text, uint64(hop.Link))
		w.text = append(w.text, hop.Weight, byte(hop.Gateway.BitLen()))
	}
	if known, ok := w.known[string(w.text)]; ok {
		return known
	}
	if w.known == nil || len(w.known) >= maxWays {
		w.known = map[string]*way{}
	}
	if w.links == nil {
		w.links = map[int]bool{}
	}
	for _, hop := range r.NextHops {
		w.links[hop.Link] = true
	}
	made := &way{kind: r.Kind, hops: slices.Clone(r.NextHops)}
	w.known[string(w.text)] = made
	return made
}

// byKey normalizes a wanted list: the last of several counts.
func (w *ways) byKey(list []Route) book {
	out := make(book, len(list))
	for _, route := range list {
		route = route.Normalize()
		out[route.Key] = w.of(route)
	}
	return out
}

// dumped normalizes a list read from the kernel: of several routes of ours at one key, as
// only an IPv4 append by hand can make them, the first is the one the kernel uses and would
// replace. The others show themselves once the first is deleted.
func (w *ways) dumped(list []Route) book {
	out := make(book, len(list))
	for _, route := range list {
		route = route.Normalize()
		if _, taken := out[route.Key]; !taken {
			out[route.Key] = w.of(route)
		}
	}
	return out
}

// union returns the keys of both, sorted.
func union(a, b book) []Key {
	keys := make([]Key, 0, max(len(a), len(b)))
	keys = slices.AppendSeq(keys, maps.Keys(a))
	for key := range b {
		if _, both := a[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, Key.Compare)
	return keys
}
