// Package rollup sums up, over all nodes, what the agents say of the configuration objects:
// from the BGPNodeStates to the status of each BGPSpeaker, BGPPeer and BGPAdvertisement.
//
// It is pure and it keeps one thing true: what nobody has reported is not claimed. A node
// whose agent says nothing counts as one that has yet to do what it should.
package rollup

import (
	"cmp"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// Cluster is what there is, by name. The configuration objects have their defaults and
// their last status.
type Cluster struct {
	Speakers       map[string]*v1alpha1.BGPSpeaker
	Peers          map[string]*v1alpha1.BGPPeer
	Advertisements map[string]*v1alpha1.BGPAdvertisement
	Nodes          map[string]*Node
	// States may hold some whose Node is gone; they are ignored.
	States map[string]*NodeState
}

// Node is what selectors look at.
type Node struct {
	Labels map[string]string
}

// Statuses are what the status of each configuration object should be, by name.
type Statuses struct {
	Speakers       map[string]v1alpha1.BGPSpeakerStatus
	Peers          map[string]v1alpha1.BGPPeerStatus
	Advertisements map[string]v1alpha1.BGPAdvertisementStatus
}

// Build sums up. A condition keeps the time of its last transition while its status is that
// of the object's last one; else it is now. The result shares nothing with the cluster.
func Build(c *Cluster, now time.Time) *Statuses {
	r := &roll{
		Cluster:  c,
		now:      metav1.NewTime(now.Truncate(time.Second)), // as the API keeps it
		speaking: map[string]string{},
		speakers: map[string]*speakerNodes{},
		problems: map[ref][]nodeProblem{},
	}
	r.assignSpeakers()
	r.gatherProblems()
	out := &Statuses{
		Speakers:       make(map[string]v1alpha1.BGPSpeakerStatus, len(c.Speakers)),
		Peers:          make(map[string]v1alpha1.BGPPeerStatus, len(c.Peers)),
		Advertisements: make(map[string]v1alpha1.BGPAdvertisementStatus, len(c.Advertisements)),
	}
	for name, s := range c.Speakers {
		out.Speakers[name] = r.speaker(s)
	}
	for name, p := range c.Peers {
		out.Peers[name] = r.peer(p)
	}
	for name, a := range c.Advertisements {
		out.Advertisements[name] = r.advertisement(a)
	}
	return out
}

// roll is what the steps of one Build share.
type roll struct {
	*Cluster
	now      metav1.Time
	nodes    []string          // all, by name
	speaking map[string]string // the BGPSpeaker that counts, by node
	speakers map[string]*speakerNodes
	problems map[ref][]nodeProblem
}

// ref names a configuration object.
type ref struct{ kind, name string }

// nodeProblem is what one node says against an object.
type nodeProblem struct{ node, reason, message string }

// speakerNodes are the nodes that a BGPSpeaker selects, by name.
type speakerNodes struct {
	served []string
	// lost are those that an older BGPSpeaker serves, to is the first of these.
	lost []string
	to   string
}

// assignSpeakers finds the BGPSpeaker that counts for each node, as each agent does for its
// own: the oldest valid one that selects it.
func (r *roll) assignSpeakers() {
	r.nodes = slices.Sorted(maps.Keys(r.Nodes))
	valid := make([]*v1alpha1.BGPSpeaker, 0, len(r.Speakers))
	for name, s := range r.Speakers {
		r.speakers[name] = &speakerNodes{}
		if len(s.Validate()) == 0 {
			valid = append(valid, s)
		}
	}
	slices.SortFunc(valid, func(a, b *v1alpha1.BGPSpeaker) int {
		return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, s := range valid {
		own := r.speakers[s.Name]
		for _, node := range r.selected(s.Spec.NodeSelector) {
			switch older := r.speaking[node]; {
			case older == "":
				r.speaking[node] = s.Name
				own.served = append(own.served, node)
			default:
				own.lost, own.to = append(own.lost, node), cmp.Or(own.to, older)
			}
		}
	}
}

// gatherProblems sorts what the nodes complain of by object; within one by node.
func (r *roll) gatherProblems() {
	for _, node := range r.nodes {
		state := r.States[node]
		if state == nil {
			continue
		}
		for _, p := range state.Problems {
			key := ref{p.Kind, p.Name}
			r.problems[key] = append(r.problems[key], nodeProblem{node, p.Reason, p.Message})
		}
	}
}

// selected returns the names of the nodes that a selector selects; absent: all. One that
// cannot be read, which validation refuses, selects none.
func (r *roll) selected(selector *metav1.LabelSelector) []string {
	if selector == nil {
		return r.nodes
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	switch {
	case err != nil:
		return nil
	case s.Empty():
		return r.nodes
	}
	var names []string
	for _, node := range r.nodes {
		if s.Matches(labels.Set(r.Nodes[node].Labels)) {
			names = append(names, node)
		}
	}
	return names
}

// speakingAmong returns those of the nodes that have a BGPSpeaker.
func (r *roll) speakingAmong(nodes []string) []string {
	var out []string
	for _, node := range nodes {
		if r.speaking[node] != "" {
			out = append(out, node)
		}
	}
	return out
}
