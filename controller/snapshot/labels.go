package snapshot

import (
	"cmp"
	"slices"
	"strings"
	"unique"

	"k8s.io/apimachinery/pkg/labels"
)

// Labels are those of an object, sorted by key. A map of a few entries for each of thousands of
// objects would take several times the memory.
type Labels []Label

// Label is one of them.
type Label struct{ Key, Value string }

var _ labels.Labels = Labels{} // what selectors ask

// LabelsFrom copies labels. The originals lie scattered among all that is dropped of thousands of
// objects, and would keep that memory from being used for anything else; and most keys and
// many values are the same in all of them.
func LabelsFrom(in map[string]string) Labels {
	if len(in) == 0 {
		return nil
	}
	out := make(Labels, 0, len(in))
	for key, value := range in {
		out = append(out, Label{shared(key), shared(value)})
	}
	slices.SortFunc(out, func(a, b Label) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// Lookup returns the value of a label, and whether it is there.
func (l Labels) Lookup(key string) (value string, exists bool) {
	i, exists := slices.BinarySearchFunc(l, key, func(have Label, key string) int { return strings.Compare(have.Key, key) })
	if !exists {
		return "", false
	}
	return l[i].Value, true
}

// Has reports whether a label is there.
func (l Labels) Has(key string) bool {
	_, exists := l.Lookup(key)
	return exists
}

// Get returns the value of a label; "" when it is not there.
func (l Labels) Get(key string) string {
	value, _ := l.Lookup(key)
	return value
}

// shared returns the one copy of a string that everybody has who asks for it at about the same time.
func shared(s string) string { return unique.Make(s).Value() }
