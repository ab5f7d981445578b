package rollup

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

func (r *roll) speaker(s *v1alpha1.BGPSpeaker) v1alpha1.BGPSpeakerStatus {
	nodes := r.speakers[s.Name]
	var known []fault
	if len(nodes.lost) > 0 {
		known = append(known, fault{v1alpha1.ReasonConflicted, fmt.Sprintf(
			"%s: already served by the older BGPSpeaker %s; make the nodeSelectors disjoint", some(nodes.lost), nodes.to)})
	}
	faults := r.faultsOf(v1alpha1.KindBGPSpeaker, s, known...)
	var notReady []string
	for _, node := range nodes.served {
		if state := r.States[node]; state == nil || !state.Ready {
			notReady = append(notReady, node)
		}
	}
	return v1alpha1.BGPSpeakerStatus{
		Nodes:         count(len(nodes.served)),
		NodesReady:    count(len(nodes.served) - len(notReady)),
		NotReadyNodes: firstNames(notReady),
		Conditions: r.largeMesh(s, r.conditions(s.Status.Conditions,
			accepted(s.Generation, faults),
			programmed(s.Generation, r.speakerMisses(nodes, notReady, faults)))),
	}
}

func (r *roll) speakerMisses(nodes *speakerNodes, notReady []string, faults []fault) fault {
	switch {
	case invalid(faults):
		return notAccepted
	case len(nodes.served) == 0 && len(nodes.lost) > 0:
		return fault{v1alpha1.ReasonNoNodes, "older BGPSpeakers serve every node that nodeSelector selects"}
	case len(nodes.served) == 0:
		return selectsNone
	case len(notReady) == 0:
		return fault{}
	}
	why := make([]string, 0, len(notReady))
	quiet := true
	for _, node := range notReady {
		reason := "no report"
		if state := r.States[node]; state != nil {
			reason, quiet = state.Reason, false
		}
		why = append(why, fmt.Sprintf("%s (%s)", node, reason))
	}
	if quiet {
		return silent(notReady)
	}
	return fault{v1alpha1.ReasonNodesNotReady, fmt.Sprintf("%d of %d nodes are not ready: %s", len(notReady), len(nodes.served), some(why))}
}

var selectsNone = fault{v1alpha1.ReasonNoNodes, "nodeSelector selects no node"}

// largeMesh adds the condition of that name to a BGPSpeaker that makes a full mesh, and takes
// it from others.
func (r *roll) largeMesh(s *v1alpha1.BGPSpeaker, conditions []metav1.Condition) []metav1.Condition {
	t := s.Spec.Topology.Type
	if t != v1alpha1.TopologyFullMesh && t != v1alpha1.TopologyFullMeshAndReflectors {
		meta.RemoveStatusCondition(&conditions, v1alpha1.ConditionLargeMesh)
		return conditions
	}
	size := 0
	for _, node := range r.speakers[s.Name].served {
		if state := r.States[node]; state != nil && state.MeshNodes > 0 {
			size = max(size, state.MeshNodes+1)
		}
	}
	large, f := size > v1alpha1.LargeMeshNodes, fault{reason: v1alpha1.ReasonFewNodes}
	if large {
		f = fault{v1alpha1.ReasonManyNodes, fmt.Sprintf("more than %d nodes each have a session with every other one; "+
			"route reflectors need fewer: set topology.reflectors, then topology.type FullMeshAndReflectors, and when all sessions with the reflectors are up and have brought the other nodes' prefixes, RouteReflectors",
			v1alpha1.LargeMeshNodes)}
	}
	return r.conditions(conditions, condition(v1alpha1.ConditionLargeMesh, s.Generation, large, f))
}
