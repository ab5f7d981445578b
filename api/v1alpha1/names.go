package v1alpha1

// AnnotationPrefix begins every annotation and label that Fairway reads or writes.
const AnnotationPrefix = "bgp.fairway.dev/"

// Annotations on a Node; each wins over what the node's BGPSpeaker says.
const (
	// AnnotationASN sets the node's autonomous system number, 1 to 4294967294.
	// Changing it resets all sessions of the node.
	AnnotationASN = AnnotationPrefix + "asn"
	// AnnotationRouterID sets the node's BGP identifier (RFC 4271, section 1.1; RFC 6286),
	// written as an IPv4 address. Changing it resets all sessions of the node.
	AnnotationRouterID = AnnotationPrefix + "router-id"
)

// LoadBalancerClass is the class of load balancer Services whose addresses Fairway announces;
// those of no class are announced too, and those of any other class are left to others.
const LoadBalancerClass = AnnotationPrefix + "bgp"

// LabelBundleVersion is the label on the CRDs that names the release they belong to.
const LabelBundleVersion = AnnotationPrefix + "bundle-version"

// BundleVersion is the value of [LabelBundleVersion] on this release's CRDs.
const BundleVersion = "v0.1.0"

// MeshPeer begins, before a slash and the other node's name, what stands in
// [SessionStatus] where a BGPPeer's name would: "mesh/node-b". No BGPPeer may be called so.
const MeshPeer = "mesh"

// ConditionAccepted says whether an object is used as it is written. It is set on
// BGPSpeaker, BGPPeer and BGPAdvertisement.
//
// Reasons when True: [ReasonAccepted].
//
// Reasons when False, on any of them: [ReasonInvalid], [ReasonNotImplemented],
// [ReasonConflicted]. On a BGPSpeaker also: [ReasonClusterCIDRsUnknown],
// [ReasonNoReflectors], [ReasonPasswordUnavailable], [ReasonASNUnknown],
// [ReasonRouterIDConflict]. On a BGPPeer also: [ReasonPasswordUnavailable], [ReasonNoAddress].
const ConditionAccepted = "Accepted"

// ConditionProgrammed says whether what an accepted object asks for is so on all nodes
// that it concerns. It is set on BGPSpeaker, BGPPeer and BGPAdvertisement.
//
// Reasons when True: [ReasonProgrammed].
//
// Reasons when False, on any of them: [ReasonPending], [ReasonNoNodes],
// [ReasonNotAccepted]. On a BGPSpeaker also: [ReasonNodesNotReady]. On a BGPPeer also:
// [ReasonSessionsDown]. On a BGPAdvertisement also: [ReasonNothingToAdvertise],
// [ReasonPrefixesRejected].
const ConditionProgrammed = "Programmed"

// ConditionLargeMesh says whether a BGPSpeaker makes a full mesh of more than
// [LargeMeshNodes] nodes. Such a mesh works; its message says how to move to route
// reflectors. The condition is absent on speakers whose topology is no full mesh.
//
// Reasons when True: [ReasonManyNodes]. Reasons when False: [ReasonFewNodes].
const ConditionLargeMesh = "LargeMesh"

// LargeMeshNodes is how many nodes a full mesh may have without [ConditionLargeMesh].
const LargeMeshNodes = 100

// Conditions of a BGPNodeState.
const (
	// ConditionReady sums up the other conditions.
	//
	// Reasons when True: [ReasonReady]. Reasons when False: [ReasonNoSpeaker], or the
	// reason of the first of SourceSynced, SpeakerReady, RoutesInSync and HostReady that is
	// False.
	ConditionReady = "Ready"
	// ConditionSourceSynced says whether the agent has seen all of its configuration
	// and still sees its changes.
	//
	// Reasons when True: [ReasonSynced].
	// Reasons when False: [ReasonSyncing], [ReasonSourceUnavailable].
	ConditionSourceSynced = "SourceSynced"
	// ConditionSpeakerReady says whether the BGP speaker runs as configured; it does
	// not ask whether sessions are up.
	//
	// Reasons when True: [ReasonRunning]. Reasons when False: [ReasonNoSpeaker],
	// [ReasonASNUnknown], [ReasonRouterIDConflict], [ReasonSpeakerFailed].
	ConditionSpeakerReady = "SpeakerReady"
	// ConditionRoutesInSync says whether the kernel holds what the agent wants.
	//
	// Reasons when True: [ReasonInSync].
	// Reasons when False: [ReasonPending], [ReasonRoutesFailed], [ReasonRouteContested].
	ConditionRoutesInSync = "RoutesInSync"
	// ConditionHostReady says whether the node's kernel is set up to forward: the message
	// names each sysctl that is not as it should be, and why it matters.
	//
	// Reasons when True: [ReasonHostReady], [ReasonSysctlsDiffer].
	// Reasons when False: [ReasonForwardingDisabled].
	ConditionHostReady = "HostReady"
	// ConditionDraining says whether the node asks others to send no more traffic through
	// it, as spec.drain of its BGPSpeaker has it.
	//
	// Reasons when True: [ReasonExcludeLabel], [ReasonUnschedulable], [ReasonTaint],
	// [ReasonShutdown]. Reasons when False: [ReasonNotDraining].
	ConditionDraining = "Draining"
)

// Reasons of [ConditionAccepted], and of a problem in a BGPNodeState.
const (
	// ReasonAccepted: the object is used as it is written.
	ReasonAccepted = "Accepted"
	// ReasonInvalid: the object breaks a rule of its own schema, and is left out; the
	// last good version stays in use where there is one.
	ReasonInvalid = "Invalid"
	// ReasonNotImplemented: a field that has no effect yet is set to something other
	// than its default. The rest of the object is used.
	ReasonNotImplemented = "NotImplemented"
	// ReasonConflicted: an older object says something else about the same thing, and
	// counts.
	ReasonConflicted = "Conflicted"
	// ReasonClusterCIDRsUnknown: no pod CIDRs are known, so nothing is imported. Set
	// spec.cluster.podCIDRs of the BGPSpeaker.
	ReasonClusterCIDRsUnknown = "ClusterCIDRsUnknown"
	// ReasonNoReflectors: the topology has route reflectors, and there is none that would
	// reflect for the node: topology.reflectors selects no Node, or only such that are of
	// another AS, that are out of topology.scope, or whose BGPSpeaker has no reflectors.
	ReasonNoReflectors = "NoReflectors"
	// ReasonPasswordUnavailable: the Secret that holds the session's password does not
	// exist or has no usable key "password". The session stays down.
	ReasonPasswordUnavailable = "PasswordUnavailable"
	// ReasonASNUnknown: localASNFrom names a label that the node does not have, or
	// whose value, like that of the annotation bgp.fairway.dev/asn, is no number from
	// 1 to 4294967294.
	ReasonASNUnknown = "ASNUnknown"
	// ReasonRouterIDConflict: an older node has the same router ID.
	ReasonRouterIDConflict = "RouterIDConflict"
	// ReasonNoAddress: the node has no address of the family that is needed.
	ReasonNoAddress = "NoAddress"
)

// Reasons of [ConditionProgrammed] and of the conditions of a BGPNodeState.
const (
	// ReasonProgrammed: all that the object asks for is so.
	ReasonProgrammed = "Programmed"
	// ReasonPending: the agents are still at work.
	ReasonPending = "Pending"
	// ReasonReady: configuration, speaker and kernel are as they should be.
	ReasonReady = "Ready"
	// ReasonNoSpeaker: no accepted BGPSpeaker selects this node.
	ReasonNoSpeaker = "NoSpeaker"
	// ReasonSynced: the source has been read completely.
	ReasonSynced = "Synced"
	// ReasonSyncing: the source has not been read completely since the start. Nothing
	// is deleted until it has.
	ReasonSyncing = "Syncing"
	// ReasonSourceUnavailable: the API server or the folder cannot be read. What was
	// last read stays in use.
	ReasonSourceUnavailable = "SourceUnavailable"
	// ReasonRunning: the BGP speaker runs.
	ReasonRunning = "Running"
	// ReasonSpeakerFailed: the BGP speaker does not run or refused part of its
	// configuration; the message says which.
	ReasonSpeakerFailed = "SpeakerFailed"
	// ReasonInSync: the kernel holds exactly what is wanted.
	ReasonInSync = "InSync"
	// ReasonRoutesFailed: the kernel refused routes; status.routes.failed names them.
	ReasonRoutesFailed = "RoutesFailed"
	// ReasonRouteContested: something else on the node keeps deleting or replacing routes
	// of ours. They are put back after growing waits; the message names them.
	ReasonRouteContested = "RouteContested"
	// ReasonHostReady: the kernel is set up as it should be.
	ReasonHostReady = "HostReady"
	// ReasonSysctlsDiffer: settings that are recommended are not made; the message names
	// them. Nothing is withheld for that.
	ReasonSysctlsDiffer = "SysctlsDiffer"
	// ReasonForwardingDisabled: the kernel does not forward packets of a family that the
	// node has, so nothing of that family is advertised.
	ReasonForwardingDisabled = "ForwardingDisabled"
	// ReasonNotAccepted: the condition Accepted says why.
	ReasonNotAccepted = "NotAccepted"
	// ReasonNoNodes: the object concerns no node; its nodeSelector selects none, or none
	// that speaks.
	ReasonNoNodes = "NoNodes"
	// ReasonNodesNotReady: nodes of a BGPSpeaker are not ready; status.notReadyNodes
	// names some.
	ReasonNodesNotReady = "NodesNotReady"
	// ReasonSessionsDown: sessions with a BGPPeer are not up; status.notEstablishedNodes
	// names some of their nodes.
	ReasonSessionsDown = "SessionsDown"
	// ReasonNothingToAdvertise: no prefix is what the BGPAdvertisement asks for, such as
	// when its selector selects no Service.
	ReasonNothingToAdvertise = "NothingToAdvertise"
	// ReasonPrefixesRejected: prefixes are not advertised; status.rejected counts them.
	ReasonPrefixesRejected = "PrefixesRejected"
	// ReasonNoRoute: a node has no route to a prefix that a BGPAdvertisement writes. While
	// any node advertises one of its prefixes, this is not counted as rejected: others may
	// have the routes that one lacks.
	ReasonNoRoute = "NoRoute"
	// ReasonManyNodes: the full mesh has more than 100 nodes.
	ReasonManyNodes = "ManyNodes"
	// ReasonFewNodes: the full mesh has at most 100 nodes.
	ReasonFewNodes = "FewNodes"
	// ReasonExcludeLabel: the node has the label
	// node.kubernetes.io/exclude-from-external-load-balancers.
	ReasonExcludeLabel = "ExcludeLabel"
	// ReasonUnschedulable: the node is cordoned.
	ReasonUnschedulable = "Unschedulable"
	// ReasonTaint: the node has a taint that spec.drain.onTaints names.
	ReasonTaint = "Taint"
	// ReasonShutdown: the node goes down.
	ReasonShutdown = "Shutdown"
	// ReasonNotDraining: the node does not drain.
	ReasonNotDraining = "NotDraining"
)
