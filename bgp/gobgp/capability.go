package gobgp

import (
	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-bgp/fairway/bgp"
)

// offered is what the OPEN message of a peer offers.
type offered struct {
	families        []bgp.Family
	gracefulRestart bool
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
		case "apipb.GracefulRestartCapability":
			o.gracefulRestart = true
		}
	}
	if len(o.families) == 0 {
		o.families = []bgp.Family{bgp.IPv4Unicast}
	}
	return o
}
