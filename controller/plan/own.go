package plan

import (
	"math"

	"github.com/fairway-bgp/fairway/routes"
)

// Own returns the routes that this node wants for its own pod CIDRs: unreachable, in the
// main table, at a metric worse than any other. Whatever the CNI plugin puts there wins; an
// address that no pod has is refused here, and does not go to a router by a default route
// and come back until its hop limit is used up.
func (im *Importer) Own() []routes.Route {
	if im.kernel == (Kernel{}) {
		return nil // without a speaker nobody is told that the pods are here
	}
	var out []routes.Route
	for _, prefix := range im.ownPods {
		out = append(out, routes.Route{
			Key:  routes.Key{Table: routes.MainTable, Prefix: prefix, Metric: math.MaxUint32},
			Kind: routes.Unreachable,
		})
	}
	return out
}
