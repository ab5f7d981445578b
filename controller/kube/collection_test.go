package kube

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
)

func TestViewsNeverChange(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var c collection[*int]
	type view struct{ seen, copied map[string]*int }
	var views []view
	model := map[string]int{}
	last := c.view()
	told := 0
	for range 2000 {
		key, value := strconv.Itoa(random.IntN(8)), random.IntN(3)
		before := maps.Clone(model)
		var changed bool
		switch random.IntN(4) {
		case 0:
			v := c.view()
			if from, keys := c.changes(); from != nil && reflect.ValueOf(from).Pointer() == reflect.ValueOf(last).Pointer() {
				told++
				demandSameBut(t, from, v, keys)
			}
			last = v
			views = append(views, view{v, maps.Clone(v)})
			continue
		case 1:
			changed = c.drop(key)
			delete(model, key)
		case 2:
			next := map[string]*int{key: &value}
			changed = c.replace(next)
			model = map[string]int{key: value}
		case 3:
			changed = c.put(key, &value)
			model[key] = value
		}
		if changed == maps.Equal(before, model) {
			t.Fatalf("changed %v: from %v to %v", changed, before, model)
		}
		if !maps.EqualFunc(c.view(), model, func(p *int, n int) bool { return *p == n }) {
			t.Fatalf("holds %v, want %v", c.items, model)
		}
	}
	if len(views) == 0 || told == 0 {
		t.Fatalf("%d views, and %d times what changed between two: nothing was tried", len(views), told)
	}
	for _, v := range views {
		if !maps.Equal(v.seen, v.copied) {
			t.Fatalf("a view has changed from %v to %v", v.copied, v.seen)
		}
	}
}

// demandSameBut demands that two views differ in nothing but these keys.
func demandSameBut(t *testing.T, before, now map[string]*int, keys []string) {
	t.Helper()
	was, is := maps.Clone(before), maps.Clone(now)
	for _, key := range keys {
		delete(was, key)
		delete(is, key)
	}
	if !maps.Equal(was, is) {
		t.Fatalf("from %v to %v there changed more than %v", before, now, keys)
	}
}

func TestChangesThatNobodyViewsTakeNoRoom(t *testing.T) {
	var c collection[*int]
	c.put("a", new(int))
	c.view()
	for i := range 10 * maxTouched {
		c.put("b", &i)
	}
	if before, keys := c.changes(); before != nil || len(keys) > 0 {
		t.Errorf("%d changes are kept", len(keys))
	}
}

func TestEqualValueKeepsItsPointer(t *testing.T) {
	var c collection[*int]
	one, again, other := 1, 1, 2
	c.put("a", &one)
	if c.put("a", &again) || c.view()["a"] != &one {
		t.Error("an equal value was put in place of the old")
	}
	if c.replace(map[string]*int{"a": &again}) || c.view()["a"] != &one {
		t.Error("an equal map was taken for another")
	}
	if !c.replace(map[string]*int{"a": &again, "b": &other}) || c.view()["a"] != &one {
		t.Error("an equal value in another map was put in place of the old")
	}
}

func BenchmarkOneChangeAmongTenThousand(b *testing.B) {
	var c collection[*int]
	values := make([]int, 10_000)
	for i := range values {
		c.put(strconv.Itoa(i), &values[i])
	}
	for i := range b.N {
		c.put("5", &i)
		c.view()
	}
}
