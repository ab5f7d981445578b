package gobgp

import (
	"slices"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-bgp/fairway/bgp"
)

// offered is what the OPEN message of a peer offers.
type offered struct {
	families        []bgp.Family
	gracefulRestart bool
	extendedNextHop bool // IPv6 ones for IPv4 unicast (RFC 8950, section 4)
}

// capabilities reads the ones that matter. A peer without the multiprotocol capability speaks
// IPv4 unicast (RFC 4760, section 8).
func capabilities(list []*anypb.Any) offered {
	var o offered
	for _, packed := range list {
		switch packed.MessageName() {
		case "apipb.MultiProtocolCapability":
			var c api.MultiProtocolCapability
			if packed.UnmarshalTo(&c) == nil {
				o.families = append(o.families, familyOf(c.GetFamily()))
			}
		case "apipb.ExtendedNexthopCapability":
			var c api.ExtendedNexthopCapability
			if packed.UnmarshalTo(&c) == nil {
				o.extendedNextHop = o.extendedNextHop || slices.ContainsFunc(c.GetTuples(), lendsToIPv4)
			}
		case "apipb.GracefulRestartCapability":
			o.gracefulRestart = true
		}
	}
	if len(o.families) == 0 {
		o.families = []bgp.Family{bgp.IPv4Unicast}
	}
	return o
}

func lendsToIPv4(t *api.ExtendedNexthopCapabilityTuple) bool {
	return familyOf(t.GetNlriFamily()) == bgp.IPv4Unicast && t.GetNexthopFamily().GetAfi() == api.Family_AFI_IP6
}
