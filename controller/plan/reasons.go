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
	// ReasonNoDefaultGateway: no default route points to a router.
	ReasonNoDefaultGateway = "NoDefaultGateway"
	// ReasonNoInterface: this node has no such interface.
	ReasonNoInterface = "NoInterface"
	// ReasonNoRouter: no router is known at the other end of the interface.
	ReasonNoRouter = "NoRouter"
	// ReasonSeveralRouters: several routers are heard over the interface, and one is chosen.
	ReasonSeveralRouters = "SeveralRouters"
	// ReasonNotAdvertised: the speaker refused the prefix.
	ReasonNotAdvertised = "NotAdvertised"
	// ReasonOverridden: another advertisement decides this attribute.
	ReasonOverridden = "Overridden"
	// ReasonNoReadyEndpoint: no endpoint of the Service is ready anywhere.
	ReasonNoReadyEndpoint = "NoReadyEndpoint"
	// ReasonNoLocalEndpoint: the Service is for nodes with an endpoint of it, and this has none.
	ReasonNoLocalEndpoint = "NoLocalEndpoint"
	// ReasonOutsideRanges: the address lies in no range that may be announced.
	ReasonOutsideRanges = "OutsideRanges"
	// ReasonOtherLoadBalancer: the Service's load balancer is another's.
	ReasonOtherLoadBalancer = "OtherLoadBalancer"
	// ReasonAddressOfNode: the Service's address is one of a node.
	ReasonAddressOfNode = "AddressOfNode"
	// ReasonAddressInPodCIDR: the Service's address lies inside a pod CIDR.
	ReasonAddressInPodCIDR = "AddressInPodCIDR"
	// ReasonAddressShared: several Services have the address, and not all are served here.
	ReasonAddressShared = "AddressShared"
	// ReasonUnownedNotRefused: packets to unowned addresses of an aggregate cannot be refused.
	ReasonUnownedNotRefused = "UnownedNotRefused"
	// ReasonInternalPeer: the peer is of our own AS, where what other nodes tell is not passed on.
	ReasonInternalPeer = "InternalPeer"
	// ReasonSeveralPaths: the peer is told several paths to a prefix.
	ReasonSeveralPaths = "SeveralPaths"
	// ReasonNextHopNotShared: the next hop of a node is on no network that we share with the peer.
	ReasonNextHopNotShared = "NextHopNotShared"
	// ReasonNoMesh: this node has no sessions with other nodes.
	ReasonNoMesh = "NoMesh"
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
	// ReasonSpecialPurpose: the prefix lies inside a range that is not routed.
	ReasonSpecialPurpose = "SpecialPurpose"
	// ReasonDefaultRoute: a default route that no import rule names.
	ReasonDefaultRoute = "DefaultRoute"
	// ReasonCoversHost: the prefix covers a peer, another node or the API server, and no
	// import rule names it.
	ReasonCoversHost = "CoversHost"
	// ReasonThroughItself: the next hop, or the session, would be reached by the very route.
	ReasonThroughItself = "ThroughItself"
	// ReasonNextHopUnreachable: neither a link nor a route leads to the next hop.
	ReasonNextHopUnreachable = "NextHopUnreachable"
	// ReasonNextHopViaDefault: only a default route leads to the next hop, and it is no Node.
	ReasonNextHopViaDefault = "NextHopViaDefault"
	// ReasonLinkDown: the link to the next hop has no carrier.
	ReasonLinkDown = "LinkDown"
	// ReasonNextHopIsSelf: the next hop is an address of this node.
	ReasonNextHopIsSelf = "NextHopIsSelf"
)
