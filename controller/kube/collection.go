package kube

import (
	"maps"
	"reflect"
)

// collection holds the objects of one kind by key. What view returned never changes: the
// first change after it is made on a copy of the map, so that any number of changes between
// two views cost one copy. Values that are equal to those held are dropped, so that the same
// object keeps the same pointer.
type collection[V any] struct {
	items  map[string]V
	shared bool // view has handed items out
}

func (c *collection[V]) put(key string, value V) (changed bool) {
	if old, ok := c.items[key]; ok && reflect.DeepEqual(old, value) {
		return false
	}
	c.own()
	c.items[key] = value
	return true
}

func (c *collection[V]) drop(key string) (changed bool) {
	if _, ok := c.items[key]; !ok {
		return false
	}
	c.own()
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
		c.items, c.shared = next, false
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

func (c *collection[V]) own() {
	switch {
	case c.items == nil:
		c.items = map[string]V{}
	case c.shared:
		c.items = maps.Clone(c.items)
	}
	c.shared = false
}
