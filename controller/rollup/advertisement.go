package rollup

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// told is what became of the prefixes of one BGPAdvertisement.
type told struct {
	advertised, rejected int
	reasons              []v1alpha1.RefusedCount
	silent               []string // nodes whose agents have not reported
	mute                 []string // nodes whose agents have, and do not speak of this object
}

func (r *roll) advertisement(a *v1alpha1.BGPAdvertisement) v1alpha1.BGPAdvertisementStatus {
	selected := r.selected(a.Spec.NodeSelector)
	nodes := r.speakingAmong(selected)
	faults := r.faultsOf(v1alpha1.KindBGPAdvertisement, a)
	t := r.toldBy(nodes, a.Name)
	return v1alpha1.BGPAdvertisementStatus{
		PrefixesAdvertised: count(t.advertised),
		PrefixesRejected:   count(t.rejected),
		Rejected:           t.reasons,
		Conditions: r.conditions(a.Status.Conditions,
			accepted(a.Generation, faults),
			programmed(a.Generation, advertisementMisses(selected, nodes, t, faults))),
	}
}

// toldBy sums over the nodes. Pod CIDRs add up, as each node has its own. Of what any number
// of nodes may tell, such as addresses of Services, the node that tells most counts: the same
// prefix is not counted twice, and what it rejects nobody tells.
func (r *roll) toldBy(nodes []string, name string) told {
	var t told
	reasons := map[string]int{}
	most := map[v1alpha1.AdvertisedSource]Advertised{}
	for _, node := range nodes {
		state := r.States[node]
		if state == nil {
			t.silent = append(t.silent, node)
			continue
		}
		said := false
		for _, row := range state.Advertisements {
			if row.Name != name {
				continue
			}
			said = true
			if row.Source == v1alpha1.AdvertisedFromPodCIDRs {
				t.add(row, reasons)
			} else if best, ok := most[row.Source]; !ok || tellsMore(row, best) {
				most[row.Source] = row
			}
		}
		if !said {
			t.mute = append(t.mute, node)
		}
	}
	for _, row := range most {
		t.add(withoutLacking(row), reasons)
	}
	t.reasons = mostFrequent(reasons)
	return t
}

func (t *told) add(row Advertised, reasons map[string]int) {
	t.advertised += row.Advertised
	t.rejected += row.rejected()
	for _, rejected := range row.Rejected {
		reasons[rejected.Reason] += int(rejected.Count)
	}
}

// withoutLacking leaves out the prefixes that a node has no route to, where it advertises others:
// which ones is not known, so that another node may advertise those.
func withoutLacking(row Advertised) Advertised {
	if row.Source == v1alpha1.AdvertisedFromPrefixes && row.Advertised > 0 {
		row.Rejected = slices.DeleteFunc(slices.Clone(row.Rejected), func(r v1alpha1.RefusedCount) bool { return r.Reason == v1alpha1.ReasonNoRoute })
	}
	return row
}

func tellsMore(a, b Advertised) bool {
	return cmp.Or(cmp.Compare(a.Advertised, b.Advertised), cmp.Compare(a.rejected(), b.rejected())) > 0
}

func (a Advertised) rejected() int {
	sum := 0
	for _, r := range a.Rejected {
		sum += int(r.Count)
	}
	return sum
}

// mostFrequent returns the reasons, the most frequent first; those beyond the bound are left out.
func mostFrequent(reasons map[string]int) []v1alpha1.RefusedCount {
	var rows []v1alpha1.RefusedCount
	for reason, n := range reasons {
		rows = append(rows, v1alpha1.RefusedCount{Reason: reason, Count: count(n)})
	}
	slices.SortFunc(rows, func(a, b v1alpha1.RefusedCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return rows[:min(len(rows), maxReasons)]
}

// maxReasons is how many reasons the status of a BGPAdvertisement holds.
const maxReasons = 16

func advertisementMisses(selected, nodes []string, t told, faults []fault) fault {
	switch {
	case invalid(faults):
		return notAccepted
	case len(selected) == 0:
		return selectsNone
	case len(nodes) == 0:
		return withoutSpeaker(selected)
	case t.rejected > 0:
		return fault{v1alpha1.ReasonPrefixesRejected, fmt.Sprintf(
			"%d of %d prefixes are not advertised: %s", t.rejected, t.rejected+t.advertised, someReasons(t.reasons))}
	case len(t.silent) > 0:
		return silent(t.silent)
	case len(t.mute) > 0:
		return fault{v1alpha1.ReasonPending, "the agents of these nodes have not said what they advertise of it: " + some(t.mute)}
	case t.advertised == 0:
		return fault{v1alpha1.ReasonNothingToAdvertise, "no prefix is what this object asks for"}
	}
	return fault{}
}

func someReasons(reasons []v1alpha1.RefusedCount) string {
	texts := make([]string, len(reasons))
	for i, r := range reasons {
		texts[i] = fmt.Sprintf("%s %d", r.Reason, r.Count)
	}
	return some(texts)
}
