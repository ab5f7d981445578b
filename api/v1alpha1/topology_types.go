package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TopologyType says how nodes of equal AS number, across all speakers, are
// connected.
//
// +kubebuilder:validation:Enum=FullMesh;RouteReflectors;FullMeshAndReflectors;None
type TopologyType string

// The topologies.
const (
	// TopologyFullMesh connects every node with every other (RFC 4271, section
	// 9.2.1).
	TopologyFullMesh TopologyType = "FullMesh"
	// TopologyRouteReflectors connects every node with the reflectors, and those
	// with each other (RFC 4456).
	TopologyRouteReflectors TopologyType = "RouteReflectors"
	// TopologyFullMeshAndReflectors is both at once: the step between the two, so
	// that the new sessions are up before the old ones end.
	TopologyFullMeshAndReflectors TopologyType = "FullMeshAndReflectors"
	// TopologyNone connects no nodes; they learn of each other from the routers.
	TopologyNone TopologyType = "None"
)

// TopologyScope says which nodes count for the topology.
//
// +kubebuilder:validation:Enum=SameSubnet;All
type TopologyScope string

// The scopes of a topology.
const (
	// ScopeSameSubnet counts only nodes that are on-link.
	ScopeSameSubnet TopologyScope = "SameSubnet"
	// ScopeAll counts all nodes, wherever they are.
	ScopeAll TopologyScope = "All"
)

// Topology says which nodes talk to each other, and how.
//
// +kubebuilder:validation:XValidation:rule="!has(self.type) || !(self.type in ['RouteReflectors', 'FullMeshAndReflectors']) || (has(self.reflectors) && ((has(self.reflectors.matchLabels) && size(self.reflectors.matchLabels) > 0) || (has(self.reflectors.matchExpressions) && size(self.reflectors.matchExpressions) > 0)))",fieldPath=".reflectors",message="reflectors must select the nodes that reflect, since topology.type names reflectors: write reflectors with matchLabels, such as the label of the control plane's nodes, or topology.type: FullMesh"
type Topology struct {
	// type is how nodes of equal AS number are connected, default FullMesh.
	// FullMesh: each with each (RFC 4271, section 9.2.1). RouteReflectors: each
	// with the reflectors, which pass on what they hear (RFC 4456).
	// FullMeshAndReflectors: both, the step between the two in either direction.
	// None: not at all. Changing it opens and ends the sessions that one topology
	// has and the other has not; it resets none.
	//
	// +optional
	// +kubebuilder:default=FullMesh
	Type TopologyType `json:"type,omitempty"`

	// scope is which nodes count, default SameSubnet. SameSubnet: only those
	// on-link; the others are learned from the routers. All: every node. Changing
	// it opens or ends the sessions with the nodes concerned, and no others.
	//
	// +optional
	// +kubebuilder:default=SameSubnet
	Scope TopologyScope `json:"scope,omitempty"`

	// reflectors selects the nodes that reflect routes (RFC 4456), by their
	// labels: two or three, from whom alone the others hear of each other. It is
	// needed with the types RouteReflectors and FullMeshAndReflectors. With
	// FullMesh it has the nodes prepare to reflect. A node that it begins to
	// select resets its sessions with other nodes, whatever the type; one that it
	// no longer selects resets none.
	//
	// +optional
	Reflectors *metav1.LabelSelector `json:"reflectors,omitempty"`

	// clusterID is the CLUSTER_ID that the reflectors add to what they pass on
	// (RFC 4456, section 7), written as an IPv4 address other than 0.0.0.0.
	// Absent, as is best: each reflector's own router ID. Reflectors with the same
	// one pass nothing on to each other, so that a node whose session with one of
	// them is down is unknown to that one. Changing it resets the reflectors'
	// sessions with other nodes.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="isIP(self) && ip(self).family() == 4 && self != '0.0.0.0'",message="must be four octets written as an IPv4 address: write it such as 10.0.0.1, or leave it out to use the router ID"
	ClusterID string `json:"clusterID,omitempty"`

	// passwordSecretRef protects the sessions between nodes (TCP MD5, RFC 2385).
	// Absent: no password. Changing it resets these sessions, and no others.
	//
	// +optional
	PasswordSecretRef *SecretReference `json:"passwordSecretRef,omitempty"`

	// bfd watches the sessions between nodes (RFC 5880, RFC 5881). Absent: no BFD.
	// Changing it resets no session.
	//
	// +optional
	BFD *BFD `json:"bfd,omitempty"`
}

// SpeakerGracefulRestart says what happens to routes while a speaker restarts
// (RFC 4724).
//
// +kubebuilder:validation:XValidation:rule="!has(self.enabled) || self.enabled || !has(self.notification) || !self.notification",fieldPath=".notification",message="notification needs gracefulRestart.enabled (RFC 8538, section 2): write enabled: true, or notification: false"
// +kubebuilder:validation:XValidation:rule="!has(self.enabled) || self.enabled || !has(self.longLivedStaleSeconds) || self.longLivedStaleSeconds == 0",fieldPath=".longLivedStaleSeconds",message="longLivedStaleSeconds needs gracefulRestart.enabled (RFC 9494, section 3.1): write enabled: true, or longLivedStaleSeconds: 0"
type SpeakerGracefulRestart struct {
	// enabled says whether graceful restart is offered to peers (RFC 4724, section
	// 3), default true. Changing it resets all sessions of the speaker but those
	// with a BGPPeer that switches it off.
	//
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// restartTimeSeconds is how long, in seconds, peers are asked to keep our
	// routes while we restart (RFC 4724, section 3), 1 to 4095, default 120.
	// Changing it resets the sessions in which graceful restart is offered.
	//
	// +optional
	// +kubebuilder:default=120
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4095
	RestartTimeSeconds *int32 `json:"restartTimeSeconds,omitempty"`

	// notification says whether routes are kept as well when a session ends with a
	// NOTIFICATION other than a hard reset (RFC 8538, the N bit), default false.
	// It needs enabled. Changing it resets all sessions of the speaker.
	//
	// +optional
	// +kubebuilder:default=false
	Notification *bool `json:"notification,omitempty"`

	// deferralSeconds is how long at most, in seconds after a start, our own
	// advertisements and End-of-RIB wait for those of the peers (RFC 4724, section
	// 4.1, Selection_Deferral_Timer), 0 to 600, default 10. It counts from the
	// next start; changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	DeferralSeconds *int32 `json:"deferralSeconds,omitempty"`

	// staleSweepSeconds is how long at most, in seconds after a start, kernel
	// routes that no peer has confirmed stay in place, 1 to 4095. Absent: as
	// restartTimeSeconds. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4095
	StaleSweepSeconds *int32 `json:"staleSweepSeconds,omitempty"`

	// longLivedStaleSeconds is how long, in seconds after restartTimeSeconds,
	// peers are asked to keep our routes as a last resort (RFC 9494, section 3.1),
	// 0 to 16777215, default 0: not at all. It needs enabled. Changing it resets
	// all sessions of the speaker.
	//
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=16777215
	LongLivedStaleSeconds *int32 `json:"longLivedStaleSeconds,omitempty"`
}
