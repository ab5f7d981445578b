// Package cow has a map whose versions share what is the same in them: to change a few of
// many entries costs a copy of the parts that those are in, and to tell two versions apart costs
// a look at the parts that they do not share.
//
// A [Map] never changes, so that any number of goroutines may read it; a [Draft], which has
// one owner, becomes the next one.
package cow

import (
	"hash/maphash"
	"iter"
	"maps"
)

// parts is so large that a part of tens of thousands of entries is quickly copied, and so small
// that the parts themselves are.
const parts = 256

var seed = maphash.MakeSeed()

// Map is one version. The zero Map is empty. Two that are equal with == have the same entries;
// two that are not may have as well.
type Map[K comparable, V any] struct {
	table *table[K, V] // nil: empty
}

type table[K comparable, V any] struct {
	parts [parts]*part[K, V] // nil: empty
	count int
}

type part[K comparable, V any] struct{ entries map[K]V }

func partOf[K comparable](key K) int { return int(maphash.Comparable(seed, key) % parts) }

func (t *table[K, V]) get(key K) (V, bool) {
	if p := t.parts[partOf(key)]; p != nil {
		value, ok := p.entries[key]
		return value, ok
	}
	var none V
	return none, false
}

// Of returns a Map of the entries of a plain map.
func Of[M ~map[K]V, K comparable, V any](entries M) Map[K, V] {
	d := Make[K, V](len(entries))
	for key, value := range entries {
		d.Set(key, value)
	}
	return d.Map()
}

// Len returns the number of entries.
func (m Map[K, V]) Len() int {
	if m.table == nil {
		return 0
	}
	return m.table.count
}

// Get returns what key stands for, and whether it stands for anything.
func (m Map[K, V]) Get(key K) (V, bool) {
	if m.table == nil {
		var none V
		return none, false
	}
	return m.table.get(key)
}

// All yields the entries, in no particular order.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m.table == nil {
			return
		}
		for _, p := range &m.table.parts {
			if p == nil {
				continue
			}
			for key, value := range p.entries {
				if !yield(key, value) {
					return
				}
			}
		}
	}
}

// Keys yields the keys, in no particular order.
func (m Map[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		m.All()(func(key K, _ V) bool { return yield(key) })
	}
}

// Edit begins a next version.
func (m Map[K, V]) Edit() *Draft[K, V] {
	d := &Draft[K, V]{from: m}
	if m.table != nil {
		d.table = *m.table
	}
	return d
}

// Diff yields the keys that stand for another value in one than in the other, or only in one.
func Diff[K, V comparable](a, b Map[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) {
		if a == b {
			return
		}
		none := &table[K, V]{}
		was, is := a.table, b.table
		if was == nil {
			was = none
		}
		if is == nil {
			is = none
		}
		for i := range parts {
			if !diffParts(was.parts[i], is.parts[i], yield) {
				return
			}
		}
	}
}

func diffParts[K, V comparable](a, b *part[K, V], yield func(K) bool) bool {
	if a == b {
		return true
	}
	var was, is map[K]V
	if a != nil {
		was = a.entries
	}
	if b != nil {
		is = b.entries
	}
	for key, value := range is {
		if old, there := was[key]; (!there || old != value) && !yield(key) {
			return false
		}
	}
	for key := range was {
		if _, still := is[key]; !still && !yield(key) {
			return false
		}
	}
	return true
}

// Draft is a version in the making. The zero Draft is empty.
type Draft[K comparable, V any] struct {
	table   table[K, V]
	own     [parts]bool // parts that no Map has
	changed bool        // since from
	from    Map[K, V]
	size    int // expected, of each part
}

// Make returns an empty Draft with room for that many entries.
func Make[K comparable, V any](size int) *Draft[K, V] {
	return &Draft[K, V]{size: size / parts}
}

// Len returns the number of entries.
func (d *Draft[K, V]) Len() int { return d.table.count }

// Get returns what key stands for, and whether it stands for anything.
func (d *Draft[K, V]) Get(key K) (V, bool) { return d.table.get(key) }

// Set makes key stand for value.
func (d *Draft[K, V]) Set(key K, value V) {
	entries := d.ours(partOf(key))
	before := len(entries)
	entries[key] = value
	d.table.count += len(entries) - before
}

// Delete makes key stand for nothing.
func (d *Draft[K, V]) Delete(key K) {
	if _, there := d.Get(key); !there {
		return
	}
	i := partOf(key)
	entries := d.ours(i)
	delete(entries, key)
	d.table.count--
	if len(entries) == 0 {
		d.table.parts[i] = nil
	}
}

// ours returns the entries of a part, to be changed.
func (d *Draft[K, V]) ours(i int) map[K]V {
	d.changed = true
	switch p := d.table.parts[i]; {
	case p == nil:
		d.table.parts[i] = &part[K, V]{make(map[K]V, d.size)}
	case !d.own[i]:
		d.table.parts[i] = &part[K, V]{maps.Clone(p.entries)}
	}
	d.own[i] = true
	return d.table.parts[i].entries
}

// Map returns the version as it is now, the same one as long as nothing has changed. The Draft
// may be changed further.
func (d *Draft[K, V]) Map() Map[K, V] {
	if !d.changed {
		return d.from
	}
	d.from, d.changed, d.own = Map[K, V]{}, false, [parts]bool{}
	if d.table.count > 0 {
		made := d.table
		d.from.table = &made
	}
	return d.from
}
