package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPNodeState is what is so on one node. It is named as the node, only that
// node's agent writes it, and it goes with the node.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=bgpns,categories=fairway
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="bgp.fairway.dev/bundle-version=v0.1.0"
// +kubebuilder:printcolumn:name="Router ID",type=string,JSONPath=`.status.routerID`
// +kubebuilder:printcolumn:name="ASN",type=integer,format=int64,JSONPath=`.status.asn`
// +kubebuilder:printcolumn:name="Established",type=integer,JSONPath=`.status.sessionsEstablished`
// +kubebuilder:printcolumn:name="Sessions",type=integer,JSONPath=`.status.sessionsTotal`
// +kubebuilder:printcolumn:name="Routes",type=integer,JSONPath=`.status.routes.installed`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Draining",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Draining")].status`
// +kubebuilder:printcolumn:name="Version",type=string,priority=1,JSONPath=`.status.softwareVersion`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPNodeState struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status is what is so. The node's agent writes it.
	//
	// +optional
	Status BGPNodeStateStatus `json:"status,omitzero"`
}

// BGPNodeStateList is a list of BGPNodeState.
//
// +kubebuilder:object:root=true
type BGPNodeStateList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BGPNodeState `json:"items"`
}

// The bounds of a BGPNodeState; [BGPNodeStateStatus.Truncate] keeps them.
const (
	MaxSessions     = 256
	MaxCapabilities = 16 // of a session
	MaxRejected     = 16 // reasons, of a family of a session
	MaxFailedRoutes = 64
	MaxRefused      = 64
	MaxProblems     = 64
	// MaxMessageLength counts characters.
	MaxMessageLength = 1024
)

// BGPNodeStateStatus is what is so on one node. Its counters say what sessions
// really hold: a session that is down has received and advertises nothing.
type BGPNodeStateStatus struct {
	// routerID is the BGP identifier in use (RFC 6286), written as an IPv4
	// address. Absent while no speaker runs.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=15
	RouterID string `json:"routerID,omitempty"`

	// asn is the autonomous system number in use. Absent while no speaker runs.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	ASN int64 `json:"asn,omitempty"`

	// softwareVersion of the agent.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SoftwareVersion string `json:"softwareVersion,omitempty"`

	// sessions of this node, the worst first, at most 256; sessionsTotal counts
	// all.
	//
	// +optional
	// +listType=map
	// +listMapKey=peer
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=256
	Sessions []SessionStatus `json:"sessions,omitempty"`

	// sessionsTotal is how many sessions are configured.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	SessionsTotal int32 `json:"sessionsTotal"`

	// sessionsEstablished is how many of them are up.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	SessionsEstablished int32 `json:"sessionsEstablished"`

	// routes that this node has learned, and what became of them.
	//
	// +optional
	Routes RoutesStatus `json:"routes,omitzero"`

	// advertisements says what became of each BGPAdvertisement that selects this
	// node, with one entry for each field of it that asks for prefixes, by name,
	// at most 256.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +listMapKey=source
	// +kubebuilder:validation:MaxItems=256
	Advertisements []AdvertisedState `json:"advertisements,omitempty"`

	// problems are objects, or parts of them, that this node cannot use, at most
	// 64.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Problems []Problem `json:"problems,omitempty"`

	// conditions: Ready sums up SourceSynced, SpeakerReady, RoutesInSync and
	// HostReady; Draining says whether the node asks others to avoid it.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SessionState is a state of the BGP finite state machine (RFC 4271, section
// 8.2.2).
//
// +kubebuilder:validation:Enum=Idle;Connect;Active;OpenSent;OpenConfirm;Established
type SessionState string

// The states, in the words of the RFC.
const (
	SessionIdle        SessionState = "Idle"
	SessionConnect     SessionState = "Connect"
	SessionActive      SessionState = "Active"
	SessionOpenSent    SessionState = "OpenSent"
	SessionOpenConfirm SessionState = "OpenConfirm"
	SessionEstablished SessionState = "Established"
)

// SessionStatus is one session of a node.
type SessionStatus struct {
	// peer is the name of the BGPPeer, or "mesh/NODE" for a session with another
	// node.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Peer string `json:"peer"`

	// address of the other side, with zone when it is link-local.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Address string `json:"address"`

	// asn is the autonomous system number that the other side has or must have.
	// Absent when any external one will do and the session is not up.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	ASN int64 `json:"asn,omitempty"`

	// state of the session (RFC 4271, section 8.2.2).
	//
	// +required
	State SessionState `json:"state"`

	// since is when the session last came up or went down. Absent: it has never
	// been up.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// lastError says in words why the session last went down or does not come up,
	// and which side said so, or what has been malformed since, without ending it
	// (RFC 7606).
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	LastError string `json:"lastError,omitempty"`

	// holdTimeSeconds is the hold time that both sides agreed on (RFC 4271,
	// section 4.2), in seconds. Absent while the session is down.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	HoldTimeSeconds int32 `json:"holdTimeSeconds,omitempty"`

	// capabilities that both sides have announced (RFC 5492), by name, such as
	// "route-refresh" or "4-octet-as". Absent while the session is down.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	Capabilities []string `json:"capabilities,omitempty"`

	// bfdState is the state of the BFD session with the other side (RFC 5880,
	// section 6.2). Absent where BFD is off.
	//
	// +optional
	BFDState BFDState `json:"bfdState,omitempty"`

	// families that the session carries, with counts of prefixes.
	//
	// +optional
	// +listType=map
	// +listMapKey=family
	// +kubebuilder:validation:MaxItems=2
	Families []FamilyStatus `json:"families,omitempty"`
}

// BFDState is a state of a BFD session (RFC 5880, section 6.2).
//
// +kubebuilder:validation:Enum=AdminDown;Down;Init;Up
type BFDState string

// The states, in the words of the RFC.
const (
	BFDAdminDown BFDState = "AdminDown"
	BFDDown      BFDState = "Down"
	BFDInit      BFDState = "Init"
	BFDUp        BFDState = "Up"
)

// FamilyStatus counts the prefixes of one family in one session.
type FamilyStatus struct {
	// family that is counted.
	//
	// +required
	Family Family `json:"family"`

	// received is how many prefixes the other side has told us.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Received int32 `json:"received"`

	// accepted is how many of those the import rules let in.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Accepted int32 `json:"accepted"`

	// rejected counts, by reason, those of them that are not used, at most 16
	// reasons.
	//
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=16
	Rejected []RefusedCount `json:"rejected,omitempty"`

	// advertised is how many prefixes we have told the other side.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Advertised int32 `json:"advertised"`
}

// RoutesStatus says what became of learned routes.
type RoutesStatus struct {
	// wanted is how many routes should be in the kernel.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Wanted int32 `json:"wanted"`

	// installed is how many of those are.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Installed int32 `json:"installed"`

	// failed are routes that the kernel refused, at most 64.
	//
	// +optional
	// +listType=map
	// +listMapKey=prefix
	// +kubebuilder:validation:MaxItems=64
	Failed []FailedRoute `json:"failed,omitempty"`

	// refused counts, by reason, the prefixes that were learned and are not
	// wanted.
	//
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=64
	Refused []RefusedCount `json:"refused,omitempty"`
}

// FailedRoute is a route that the kernel refused.
type FailedRoute struct {
	// prefix of the route.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=43
	Prefix string `json:"prefix"`

	// reason in words, with the kernel's errno.
	//
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`
}

// RefusedCount counts prefixes refused for one reason.
type RefusedCount struct {
	// reason why they are not wanted.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Reason string `json:"reason"`

	// count of prefixes.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Count int32 `json:"count"`
}

// Problem is an object, or part of one, that a node cannot use.
type Problem struct {
	// kind of the object.
	//
	// +required
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// name of the object, as namespace/name where it has a namespace.
	//
	// +required
	// +kubebuilder:validation:MaxLength=317
	Name string `json:"name"`

	// reason in one word, as conditions have it.
	//
	// +required
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason"`

	// message says what is wrong and how to mend it.
	//
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}
