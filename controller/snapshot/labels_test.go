package snapshot

import (
	"testing"

	"k8s.io/apimachinery/pkg/labels"
)

func TestLabelsAnswerSelectorsAsAMapDoes(t *testing.T) {
	for _, set := range []labels.Set{nil, {"b": "1"}, {"c": "", "a": "x", "b": "1", "d": "2"}} {
		ours := LabelsFrom(set)
		for _, key := range []string{"a", "b", "c", "d", "e", ""} {
			want, there := set.Lookup(key)
			if got, is := ours.Lookup(key); got != want || is != there || ours.Has(key) != there || ours.Get(key) != want {
				t.Errorf("%q of %v is %q, %v; want %q, %v", key, set, got, is, want, there)
			}
		}
		for _, text := range []string{"", "b=1", "b!=1", "c", "!c", "a in (x,y),d", "d>1"} {
			selector, err := labels.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := selector.Matches(ours), selector.Matches(set); got != want {
				t.Errorf("%q selects %v: %v, want %v", text, set, got, want)
			}
		}
	}
}
