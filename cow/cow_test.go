package cow_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fairway-bgp/fairway/cow"
)

// version is a Map and what it has to hold.
type version struct {
	is   cow.Map[int, int]
	want map[int]int
}

// TestVersionsNeverChange edits versions at random, old ones too, and demands that each holds
// what a plain map does, for good, and that Diff tells what differs between any two.
func TestVersionsNeverChange(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	versions := []version{{want: map[int]int{}}}
	for range 300 {
		from := versions[r.IntN(len(versions))]
		draft, model := from.is.Edit(), maps.Clone(from.want)
		for range r.IntN(4) { // Maps of one draft
			for range r.IntN(30) {
				change(r, draft, model)
			}
			versions = append(versions, version{draft.Map(), maps.Clone(model)})
		}
	}
	for _, v := range versions {
		demand(t, v)
		other := versions[r.IntN(len(versions))]
		if got, want := slices.Sorted(cow.Diff(v.is, other.is)), differing(v.want, other.want); !slices.Equal(got, want) {
			t.Fatalf("from %v to %v there differ %v, want %v", v.want, other.want, got, want)
		}
	}
}

func change(r *rand.Rand, draft *cow.Draft[int, int], model map[int]int) {
	key, value := r.IntN(40)*r.IntN(40), r.IntN(3)
	if r.IntN(3) > 0 {
		draft.Set(key, value)
		model[key] = value
		return
	}
	draft.Delete(key)
	delete(model, key)
}

func demand(t *testing.T, v version) {
	t.Helper()
	if got := maps.Collect(v.is.All()); !maps.Equal(got, v.want) || v.is.Len() != len(v.want) {
		t.Fatalf("a version holds %v and tells of %d, want %v", got, v.is.Len(), v.want)
	}
	for key := range 100 {
		want, wanted := v.want[key]
		if got, there := v.is.Get(key); got != want || there != wanted {
			t.Fatalf("%d is %d, %v; want %d, %v", key, got, there, want, wanted)
		}
	}
}

func differing(a, b map[int]int) []int {
	var keys []int
	for key := range 1600 {
		was, had := a[key]
		if is, has := b[key]; was != is || had != has {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestADraftThatChangesNothingIsTheSameVersion(t *testing.T) {
	m := cow.Of(map[string]int{"a": 1})
	d := m.Edit()
	d.Delete("b")
	if d.Map() != m {
		t.Error("it is another one")
	}
	d.Set("a", 2)
	next := d.Map()
	if next == m || d.Map() != next {
		t.Error("a changed draft is the old version, or a new one each time")
	}
	d.Delete("a")
	if d.Map() != (cow.Map[string, int]{}) {
		t.Error("what has no entry is not the zero Map")
	}
}

func TestLoopsOverAMapCanEndEarly(t *testing.T) {
	m := cow.Of(map[int]int{1: 1, 2: 2, 3: 3})
	for range m.All() {
		break
	}
	for range m.Keys() {
		break
	}
	for range cow.Diff(m, cow.Map[int, int]{}) {
		break
	}
	for range cow.Diff(cow.Map[int, int]{}, m) {
		break
	}
}

func BenchmarkOneChangeAmongTwentyThousand(b *testing.B) {
	d := cow.Make[int, int](20_000)
	for i := range 20_000 {
		d.Set(i, i)
	}
	m := d.Map()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d := m.Edit()
		d.Set(i%20_000, -i)
		next := d.Map()
		for range cow.Diff(m, next) {
		}
		m = next
	}
}
