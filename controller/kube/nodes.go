package kube

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// nodes are the Nodes that are followed: always this agent's own, the others only while some
// speaker needs them.
type nodes struct {
	own    *watched
	others *watched // all Nodes, this one among them

	mine, all collection[*snapshot.Node]
}

func (s *Source) newNodes() nodes {
	convert := func(o *corev1.Node) (*snapshot.Node, bool) { return snapshot.NodeFrom(o), true }
	n := nodes{
		own:    newWatched(s, resource{name: "nodes", one: s.node}, s.core.Nodes(), &s.nodes.mine, convert),
		others: newStreamed(s, resource{name: "nodes"}, s.core.RESTClient(), s.core.Nodes(), &s.nodes.all, convert),
	}
	s.demand(n.others, func() bool { return needsOthers(s.speakers.view(), s.advertisements.view()) }, func() { s.nodes.all = collection[*snapshot.Node]{} })
	n.own.selector = fields.OneTermEqualSelector("metadata.name", s.node).String()
	return n
}

// view returns the Nodes that are known.
func (n *nodes) view() map[string]*snapshot.Node {
	if !n.others.idle {
		return n.all.view()
	}
	return n.mine.view()
}
