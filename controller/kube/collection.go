package kube

import (
	"maps"
	"reflect"
	"slices"
)

// collection holds the objects of one kind by key. What view returned never changes: the
// first change after it is made on a copy of the map, so that any number of changes between
// two views cost one copy. Values that are equal to those held are dropped, so that the same
// object keeps the same pointer.
type collection[V any] struct {
	items  map[string]V
	shared bool // view has handed items out

	before  map[string]V // what view handed out before items; nil: not known
	touched []string     // the keys that may differ since
}

// maxTouched bounds the memory for changes that nobody views. With more of them it is no
// slower to compare everything.
const maxTouched = 1000

func (c *collection[V]) put(key string, value V) (changed bool) {
	if old, ok := c.items[key]; ok && reflect.DeepEqual(old, value) {
		return false
	}
	c.own(key)
	c.items[key] = value
	return true
}

func (c *collection[V]) drop(key string) (changed bool) {
	if _, ok := c.items[key]; !ok {
		return false
	}
	c.own(key)
	delete(c.items, key)
	return true
}

// replace makes the collection hold exactly next, which it takes over.
func (c *collection[V]) replace(next map[string]V) (changed bool) {
	changed = len(next) != len(c.items)
	for key, value := range next {
		if old, ok := c.items[key]; ok && reflect.DeepEqual(old, value) {
			next[key] = old
		} else {
			changed = true
		}
	}
	if changed {
		c.items, c.shared, c.before, c.touched = next, false, nil, nil
	}
	return changed
}

// view returns the objects; never nil.
func (c *collection[V]) view() map[string]V {
	if c.items == nil {
		c.items = map[string]V{}
	}
	c.shared = true
	return c.items
}

// changes returns the keys in which what view returns may differ from what it returned
// before, and that; nil when it is not known.
func (c *collection[V]) changes() (before map[string]V, keys []string) {
	return c.before, slices.Clone(c.touched)
}

// own makes items ours alone, to change what key stands for.
func (c *collection[V]) own(key string) {
	switch {
	case c.items == nil:
		c.items = map[string]V{}
	case c.shared:
		c.before, c.touched = c.items, nil
		c.items = maps.Clone(c.items)
	}
	c.shared = false
	if c.before != nil {
		c.touched = append(c.touched, key)
	}
	if len(c.touched) > maxTouched {
		c.before, c.touched = nil, nil
	}
}
