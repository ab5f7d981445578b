package kube

import (
	"maps"
	"reflect"

	"github.com/fairway-bgp/fairway/cow"
)

// collection holds the objects of one kind by key. What versions and view returned never
// changes. Values that are equal to those held are dropped, so that the same object keeps the
// same pointer.
type collection[V any] struct {
	items  cow.Draft[string, V]
	viewed map[string]V // what view returns; nil: to be made
}

func (c *collection[V]) put(key string, value V) (changed bool) {
	if old, ok := c.items.Get(key); ok && reflect.DeepEqual(old, value) {
		return false
	}
	c.items.Set(key, value)
	c.viewed = nil
	return true
}

func (c *collection[V]) drop(key string) (changed bool) {
	if _, ok := c.items.Get(key); !ok {
		return false
	}
	c.items.Delete(key)
	c.viewed = nil
	return true
}

// replace makes the collection hold exactly next.
func (c *collection[V]) replace(next map[string]V) (changed bool) {
	for key := range c.items.Map().Keys() {
		if _, still := next[key]; !still {
			changed = c.drop(key) || changed
		}
	}
	for key, value := range next {
		changed = c.put(key, value) || changed
	}
	return changed
}

// version returns the objects.
func (c *collection[V]) version() cow.Map[string, V] { return c.items.Map() }

// view returns the objects as a plain map, for kinds of which there are few or that rarely
// change; never nil.
func (c *collection[V]) view() map[string]V {
	if c.viewed == nil {
		c.viewed = make(map[string]V, c.items.Len())
		maps.Insert(c.viewed, c.items.Map().All())
	}
	return c.viewed
}
