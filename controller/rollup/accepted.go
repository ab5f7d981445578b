package rollup

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// object is what every configuration object has.
type object interface {
	metav1.Object
	Validate() field.ErrorList
	NotImplemented() []string
}

// fault is one reason why an object is not used as it is written.
type fault struct{ reason, message string }

// refusing are the reasons that the condition Accepted has, the worst first; what agents
// report with another one is no refusal of the object, and stands in Programmed.
var refusing = []string{
	v1alpha1.ReasonInvalid,
	v1alpha1.ReasonConflicted,
	v1alpha1.ReasonASNUnknown,
	v1alpha1.ReasonRouterIDConflict,
	v1alpha1.ReasonPasswordUnavailable,
	v1alpha1.ReasonNoAddress,
	v1alpha1.ReasonClusterCIDRsUnknown,
	v1alpha1.ReasonNotImplemented,
}

// faultsOf returns what is wrong with an object, one fault for each reason, the worst first:
// what it shows by itself, what is known here, and what its nodes say.
func (r *roll) faultsOf(kind string, o object, known ...fault) []fault {
	faults := known
	if errs := o.Validate(); len(errs) > 0 {
		faults = append(faults, fault{v1alpha1.ReasonInvalid, errs.ToAggregate().Error() + "; nodes that know an earlier valid form keep it"})
	}
	if paths := o.NotImplemented(); len(paths) > 0 {
		faults = append(faults, fault{v1alpha1.ReasonNotImplemented, "without effect in this release: " + strings.Join(paths, ", ")})
	}
	faults = append(faults, r.reported(ref{kind, o.GetName()}, func(reason string) bool { return slices.Contains(refusing, reason) })...)
	slices.SortStableFunc(faults, func(a, b fault) int {
		return slices.Index(refusing, a.reason) - slices.Index(refusing, b.reason)
	})
	return slices.CompactFunc(faults, func(a, b fault) bool { return a.reason == b.reason })
}

// reported returns what nodes say against an object, one fault for each wanted reason, in
// the words of the first node that gives it.
func (r *roll) reported(of ref, wanted func(reason string) bool) []fault {
	nodes, first := map[string][]string{}, map[string]string{}
	var reasons []string
	for _, p := range r.problems[of] {
		if !wanted(p.reason) {
			continue
		}
		said, known := nodes[p.reason]
		if !known {
			reasons, first[p.reason] = append(reasons, p.reason), p.message
		}
		if n := len(said); n == 0 || said[n-1] != p.node { // they come by node
			nodes[p.reason] = append(said, p.node)
		}
	}
	faults := make([]fault, 0, len(reasons))
	for _, reason := range reasons {
		faults = append(faults, fault{reason, fmt.Sprintf("on %s: %s", some(nodes[reason]), first[reason])})
	}
	return faults
}

// accepted is the condition of that name.
func accepted(generation int64, faults []fault) metav1.Condition {
	if len(faults) == 0 {
		return condition(v1alpha1.ConditionAccepted, generation, true, fault{reason: v1alpha1.ReasonAccepted})
	}
	worst := faults[0]
	if more := faults[1:]; len(more) > 0 {
		also := make([]string, len(more))
		for i, f := range more {
			also[i] = f.reason
		}
		worst.message += "; also " + strings.Join(also, ", ")
	}
	return condition(v1alpha1.ConditionAccepted, generation, false, worst)
}

// programmed is the condition of that name: True when nothing is missing.
func programmed(generation int64, missing fault) metav1.Condition {
	if missing.reason == "" {
		missing.reason = v1alpha1.ReasonProgrammed
	}
	return condition(v1alpha1.ConditionProgrammed, generation, missing.reason == v1alpha1.ReasonProgrammed, missing)
}

func condition(kind string, generation int64, is bool, f fault) metav1.Condition {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{
		Type: kind, Status: status, ObservedGeneration: generation,
		Reason: f.reason, Message: cut(f.message, v1alpha1.MaxMessageLength),
	}
}

// conditions returns prev with the new ones in their place.
func (r *roll) conditions(prev []metav1.Condition, next ...metav1.Condition) []metav1.Condition {
	out := slices.Clone(prev)
	for _, c := range next {
		c.LastTransitionTime = r.now
		meta.SetStatusCondition(&out, c)
	}
	return out
}

// invalid reports whether the worst fault is one that keeps the whole object out of use.
func invalid(faults []fault) bool {
	return len(faults) > 0 && faults[0].reason == v1alpha1.ReasonInvalid
}

var notAccepted = fault{v1alpha1.ReasonNotAccepted, "the condition Accepted says why"}

// silent is what is missing while the agents of some nodes have not reported.
func silent(nodes []string) fault {
	return fault{v1alpha1.ReasonPending, "the agents of these nodes have not reported: " + some(nodes)}
}

// some names up to three and counts the rest.
func some(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// maxNames is how many names of nodes a status holds.
const maxNames = 16

func firstNames(names []string) []string { return slices.Clone(names[:min(len(names), maxNames)]) }
