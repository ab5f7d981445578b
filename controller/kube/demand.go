package kube

import (
	"context"
	"sync"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// demanded is a kind that is followed only while the configuration asks for it: a thousand
// agents that each hear of what none of them needs are a load of their own. The source's mutex
// guards it.
type demanded struct {
	*watched
	needed func() bool
	forget func()             // drops what has been read
	stop   context.CancelFunc // ends the watch; nil while it does not run
}

func (s *Source) demand(w *watched, needed func() bool, forget func()) *watched {
	w.idle = true
	s.demands = append(s.demands, &demanded{watched: w, needed: needed, forget: forget})
	return w
}

// demandOf returns what a watch is demanded by; nil for one that always runs.
func (s *Source) demandOf(w *watched) *demanded {
	for _, d := range s.demands {
		if d.watched == w {
			return d
		}
	}
	return nil
}

// weigh asks again what is needed.
func (s *Source) weigh() {
	for _, d := range s.demands {
		d.idle = !d.needed()
	}
}

// followDemands begins to follow what is needed, and ends to follow what is not any more.
func (s *Source) followDemands(ctx context.Context, running *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.demands {
		switch {
		case !d.idle && d.stop == nil:
			var own context.Context
			own, d.stop = context.WithCancel(ctx)
			running.Go(func() { d.run(own, s) })
		case d.idle && d.stop != nil:
			d.stop()
			d.stop = nil
			d.seen, d.trouble = false, trouble{}
			d.forget()
			s.dirty = true // a snapshot on the way may still have had them
			s.settle()
		}
	}
}

// needsOthers reports whether the plan asks for other Nodes: for sessions with them, in a mesh
// or by way of reflectors, for their pod CIDRs where no speaker says what belongs to the cluster, or for
// their addresses, which no Service must draw away from them.
func needsOthers(speakers map[string]*v1alpha1.BGPSpeaker, advertisements map[string]*v1alpha1.BGPAdvertisement) bool {
	if needsEndpoints(advertisements) {
		return true
	}
	for _, s := range speakers {
		if s.Spec.Topology.Type != v1alpha1.TopologyNone || len(s.Spec.Cluster.PodCIDRs) == 0 {
			return true
		}
	}
	return false
}

// needsEndpoints reports whether addresses of Services are announced, which depends on where
// their endpoints are.
func needsEndpoints(advertisements map[string]*v1alpha1.BGPAdvertisement) bool {
	for _, a := range advertisements {
		if a.Spec.Services != nil {
			return true
		}
	}
	return false
}

// needsNamespaces reports whether Services are chosen by the labels of their namespaces.
func needsNamespaces(advertisements map[string]*v1alpha1.BGPAdvertisement) bool {
	for _, a := range advertisements {
		if a.Spec.Services != nil && a.Spec.Services.NamespaceSelector != nil {
			return true
		}
	}
	return false
}
