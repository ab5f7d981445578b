package kube

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// nodes are the Nodes that are followed: always this agent's own, the others only while some
// speaker needs them. A thousand agents that each hear of every Node are a load of their own.
type nodes struct {
	own    *watched
	others *watched // all Nodes, this one among them

	stop context.CancelFunc // ends the watch of the others; nil while it does not run

	mine, all collection[*snapshot.Node]
}

func (s *Source) newNodes() nodes {
	convert := func(o *corev1.Node) (*snapshot.Node, bool) { return snapshot.NodeFrom(o), true }
	n := nodes{
		own:    newWatched(s, resource{name: "nodes", one: s.node}, s.core.Nodes(), &s.nodes.mine, convert),
		others: newStreamed(s, resource{name: "nodes"}, s.core.RESTClient(), s.core.Nodes(), &s.nodes.all, convert),
	}
	n.others.idle = true
	n.own.selector = fields.OneTermEqualSelector("metadata.name", s.node).String()
	return n
}

// needsOthers reports whether the plan asks for other Nodes: for sessions with them, in a mesh
// or by way of reflectors, or for their pod CIDRs where no speaker says what belongs to the cluster.
func needsOthers(speakers map[string]*v1alpha1.BGPSpeaker) bool {
	for _, s := range speakers {
		if s.Spec.Topology.Type != v1alpha1.TopologyNone || len(s.Spec.Cluster.PodCIDRs) == 0 {
			return true
		}
	}
	return false
}

// view returns the Nodes that are known.
func (n *nodes) view() map[string]*snapshot.Node {
	if !n.others.idle {
		return n.all.view()
	}
	return n.mine.view()
}

// followNodes begins or ends to follow the other Nodes.
func (s *Source) followNodes(ctx context.Context, running *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.nodes.others.idle && s.nodes.stop == nil:
		var own context.Context
		own, s.nodes.stop = context.WithCancel(ctx)
		others := s.nodes.others
		running.Go(func() { others.run(own, s) })
	case s.nodes.others.idle && s.nodes.stop != nil:
		s.nodes.stop()
		s.nodes.stop = nil
		s.nodes.others.seen, s.nodes.others.trouble = false, trouble{}
		s.nodes.all = collection[*snapshot.Node]{}
	}
}
