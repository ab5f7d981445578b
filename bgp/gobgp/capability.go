package gobgp

import (
	"slices"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-bgp/fairway/bgp"
)

// offered is what the OPEN message of a peer offers.
type offered struct {
	families        []bgp.Family
	gracefulRestart bool
	extendedNextHop bool // IPv6 ones for IPv4 unicast (RFC 8950, section 4)

	sendsPaths, receivesPaths []bgp.Family // several to a prefix (RFC 7911, section 4)
	names                     []string     // as in capabilityNames
}

// capabilityNames are what the API calls the ones that it shows when both sides have announced
// them. ADD-PATH is none: what one side sends matters only where the other receives it.
var capabilityNames = map[protoreflect.FullName]string{
	"apipb.MultiProtocolCapability":            "multiprotocol",
	"apipb.RouteRefreshCapability":             "route-refresh",
	"apipb.FourOctetASNCapability":             "4-octet-as",
	"apipb.GracefulRestartCapability":          "graceful-restart",
	"apipb.LongLivedGracefulRestartCapability": "long-lived-graceful-restart",
	"apipb.ExtendedNexthopCapability":          "extended-next-hop",
	"apipb.FqdnCapability":                     "fqdn",
	"apipb.SoftwareVersionCapability":          "software-version",
}

// sharedNames are those of what both sides announced, sorted.
func sharedNames(local, remote offered, families []bgp.FamilySession) []string {
	var names []string
	for _, name := range remote.names {
		if slices.Contains(local.names, name) {
			names = append(names, name)
		}
	}
	for _, f := range families {
		if f.ReceivesPaths {
			names = append(names, "add-path receive")
		}
		if f.SendsPaths {
			names = append(names, "add-path send")
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// capabilities reads the ones that matter. A peer without the multiprotocol capability speaks
// IPv4 unicast (RFC 4760, section 8).
func capabilities(list []*anypb.Any) offered {
	var o offered
	for _, packed := range list {
		if name, shown := capabilityNames[packed.MessageName()]; shown {
			o.names = append(o.names, name)
		}
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
		case "apipb.AddPathCapability":
			var c api.AddPathCapability
			if packed.UnmarshalTo(&c) == nil {
				o.readAddPath(c.GetTuples())
			}
		}
	}
	if len(o.families) == 0 {
		o.families = []bgp.Family{bgp.IPv4Unicast}
	}
	return o
}

func (o *offered) readAddPath(tuples []*api.AddPathCapabilityTuple) {
	for _, t := range tuples {
		family := familyOf(t.GetFamily())
		if t.GetMode()&api.AddPathCapabilityTuple_SEND != 0 {
			o.sendsPaths = append(o.sendsPaths, family)
		}
		if t.GetMode()&api.AddPathCapabilityTuple_RECEIVE != 0 {
			o.receivesPaths = append(o.receivesPaths, family)
		}
	}
}

func lendsToIPv4(t *api.ExtendedNexthopCapabilityTuple) bool {
	return familyOf(t.GetNlriFamily()) == bgp.IPv4Unicast && t.GetNexthopFamily().GetAfi() == api.Family_AFI_IP6
}
