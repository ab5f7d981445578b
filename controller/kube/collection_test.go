package kube

import (
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/fairway-bgp/fairway/cow"
)

func TestViewsNeverChange(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var c collection[*int]
	type view struct {
		seen, copied map[string]*int
		version      cow.Map[string, *int]
	}
	var views []view
	model := map[string]int{}
	for range 2000 {
		key, value := strconv.Itoa(random.IntN(8)), random.IntN(3)
		before := maps.Clone(model)
		var changed bool
		switch random.IntN(4) {
		case 0:
			v := c.view()
			views = append(views, view{v, maps.Clone(v), c.version()})
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
			t.Fatalf("holds %v, want %v", c.view(), model)
		}
	}
	if len(views) == 0 {
		t.Fatal("no view was made: nothing was tried")
	}
	for _, v := range views {
		if !maps.Equal(v.seen, v.copied) || !maps.Equal(maps.Collect(v.version.All()), v.copied) {
			t.Fatalf("a view has changed from %v to %v, or is not the version %v", v.copied, v.seen, maps.Collect(v.version.All()))
		}
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
		c.version()
	}
}
