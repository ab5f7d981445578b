package plan

// Reasons of refusals that no condition of the API bears; the others are the API's own
// (api/v1alpha1).
const (
	// ReasonNodeNotFound: the agent's own Node does not exist.
	ReasonNodeNotFound = "NodeNotFound"
	// ReasonNoRouterID: no router ID can be made for the node.
	ReasonNoRouterID = "NoRouterID"
	// ReasonNoPodCIDR: the node has no pod CIDR.
	ReasonNoPodCIDR = "NoPodCIDR"
	// ReasonPodCIDROverlap: the pod CIDR overlaps that of an older node.
	ReasonPodCIDROverlap = "PodCIDROverlap"
	// ReasonPeerIsSelf: the peer's address is one of this node's own.
	ReasonPeerIsSelf = "PeerIsSelf"
	// ReasonPeerNotOnLink: a single-hop peer is on none of the connected networks.
	ReasonPeerNotOnLink = "PeerNotOnLink"
	// ReasonNotAdvertised: the speaker refused the prefix.
	ReasonNotAdvertised = "NotAdvertised"
	// ReasonOverridden: another advertisement decides this attribute.
	ReasonOverridden = "Overridden"
	// ReasonNoNextHop: there is no next hop of the family that the peer could use.
	ReasonNoNextHop = "NoNextHop"
)

// Reasons why a learned prefix, or one path to it, stays out of the kernel.
const (
	// ReasonOwnAddress: the prefix is an address of this node.
	ReasonOwnAddress = "OwnAddress"
	// ReasonOwnPodCIDR: the prefix lies inside this node's own pod CIDR.
	ReasonOwnPodCIDR = "OwnPodCIDR"
	// ReasonConnectedNetwork: the prefix equals a connected network, or lies inside one.
	ReasonConnectedNetwork = "ConnectedNetwork"
	// ReasonServiceRange: the prefix lies inside the cluster's Service ranges.
	ReasonServiceRange = "ServiceRange"
	// ReasonProtected: the prefix lies inside a protected prefix.
	ReasonProtected = "Protected"
	// ReasonNextHopNotOnLink: the next hop is on none of the connected networks.
	ReasonNextHopNotOnLink = "NextHopNotOnLink"
	// ReasonNextHopIsSelf: the next hop is an address of this node.
	ReasonNextHopIsSelf = "NextHopIsSelf"
)
