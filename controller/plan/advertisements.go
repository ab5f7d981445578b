package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// loadAdvertisements finds the usable ones, those of other nodes too.
func (b *builder) loadAdvertisements() {
	for _, name := range slices.Sorted(maps.Keys(b.snap.Advertisements)) {
		ad, ok := usable(b, "BGPAdvertisement", b.snap.Advertisements[name], b.prev.Advertisements, b.fallback.Advertisements)
		if ok {
			b.plan.Accepted.Advertisements[name] = ad
		}
	}
}

// advertisements returns the usable ones that select this node, the highest precedence first,
// then the oldest.
func (b *builder) advertisements() []*v1alpha1.BGPAdvertisement {
	var out []*v1alpha1.BGPAdvertisement
	for _, ad := range b.plan.Accepted.Advertisements {
		if selects(ad.Spec.NodeSelector, b.node.Labels) {
			b.judge(Ref{"BGPAdvertisement", ad.Name}, ad.Generation, ad.NotImplemented())
			out = append(out, ad)
		}
	}
	oldestFirst(out)
	slices.SortStableFunc(out, func(a, b *v1alpha1.BGPAdvertisement) int {
		return cmp.Compare(precedence(b), precedence(a))
	})
	return out
}

func precedence(a *v1alpha1.BGPAdvertisement) int32 {
	if a.Spec.Precedence == nil {
		return 0
	}
	return *a.Spec.Precedence
}

// judge accepts an object, or names the fields of it that have no effect yet.
func (b *builder) judge(ref Ref, generation int64, without []string) {
	if len(without) > 0 {
		b.verdictIfValid(ref, generation, v1alpha1.ReasonNotImplemented, fmt.Sprintf(
			"not implemented yet: %s; the rest of the object is at work", strings.Join(without, ", ")))
	}
	b.verdictIfValid(ref, generation, v1alpha1.ReasonAccepted, "")
}
