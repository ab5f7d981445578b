package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPPeer is a router outside the cluster that nodes talk to.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=bgppr,categories=fairway
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="bgp.fairway.dev/bundle-version=v0.1.0"
// +kubebuilder:validation:XValidation:rule="self.metadata.name != 'mesh'",message="metadata.name must not be mesh: that name stands for the sessions between nodes; write another"
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="ASN",type=integer,format=int64,JSONPath=`.spec.asn`
// +kubebuilder:printcolumn:name="ASN Type",type=string,priority=1,JSONPath=`.spec.asnType`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPPeer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted. Users write it.
	//
	// +required
	Spec BGPPeerSpec `json:"spec"`

	// status is what is so. Fairway writes it.
	//
	// +optional
	Status BGPPeerStatus `json:"status,omitzero"`
}

// BGPPeerList is a list of BGPPeer.
//
// +kubebuilder:object:root=true
type BGPPeerList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BGPPeer `json:"items"`
}

// BGPPeerSpec is one router, and how to talk to it.
//
// +kubebuilder:validation:XValidation:rule="has(self.address)",message="address must be set: write the router's IP address"
// +kubebuilder:validation:XValidation:rule="has(self.asn) != has(self.asnType)",message="exactly one of asn and asnType must be set: write the router's number as asn, or asnType: Internal when it has ours"
// +kubebuilder:validation:XValidation:rule="!has(self.passwordSecretRef) || !has(self.address) || !isIP(self.address) || ip(self.address).family() != 6 || !ip(self.address).isLinkLocalUnicast()",fieldPath=".passwordSecretRef",message="passwordSecretRef does not work with a link-local address: GoBGP v3 would ignore it; write a global or unique-local address, or leave the password out"
// +kubebuilder:validation:XValidation:rule="!has(self.localAddress) || !has(self.address) || !isIP(self.localAddress) || !isIP(self.address) || ip(self.localAddress).family() == ip(self.address).family()",fieldPath=".localAddress",message="localAddress must be of the same family as address: write both as IPv4 or both as IPv6"
// +kubebuilder:validation:XValidation:rule="!has(self.ebgpMultihopTTL) || !has(self.asnType) || self.asnType != 'Internal'",fieldPath=".ebgpMultihopTTL",message="ebgpMultihopTTL is for external peers: leave it out with asnType Internal, whose sessions may cross several hops anyway"
type BGPPeerSpec struct {
	// nodeSelector selects the nodes that talk to this router, by their labels. Absent
	// or empty: all nodes. A node that is no longer selected ends its session.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// address is the router's IP address, without a zone. It must be set and cannot be
	// changed: make a new BGPPeer for a new address.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address without a zone: write it such as 192.0.2.1 or 2001:db8::1"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLinkLocalUnicast() || ip(self).isLoopback()",message="must be the address of one router: write a unicast address such as 192.0.2.1 or 2001:db8::1"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed: make a new BGPPeer for the new address, then delete this one"
	Address string `json:"address,omitempty"`

	// port is the TCP port on which the router listens, 1 to 65535, default 179.
	// Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:default=179
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// asn is the autonomous system number that the router must show in its OPEN (RFC
	// 4271, section 4.2; RFC 6793), 1 to 4294967294. Exactly one of asn and asnType must
	// be set. Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967294
	ASN *int64 `json:"asn,omitempty"`

	// asnType accepts a kind of number in place of a certain one. External: any but the
	// node's own; not in this release, the condition Accepted says NotImplemented.
	// Internal: the node's own. Exactly one of asn and asnType must be set. Changing it
	// resets the sessions.
	//
	// +optional
	ASNType ASNType `json:"asnType,omitempty"`

	// localAddress is the source address of the sessions, of the same family as address.
	// Absent: the kernel chooses. Only nodes that have the address use this peer; select
	// them with nodeSelector. Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address without a zone: write it such as 192.0.2.1 or 2001:db8::1"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLinkLocalUnicast() || ip(self).isLoopback()",message="must be an address of the node: write a unicast address such as 192.0.2.1 or 2001:db8::1"
	LocalAddress string `json:"localAddress,omitempty"`

	// passive: the node waits for the router to connect and never dials (RFC 4271,
	// section 8.1.1, PassiveTcpEstablishment), default false. Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:default=false
	Passive *bool `json:"passive,omitempty"`

	// timers of the sessions (RFC 4271, section 10).
	//
	// +optional
	// +kubebuilder:default={holdTimeSeconds: 90, connectRetrySeconds: 5}
	Timers PeerTimers `json:"timers,omitzero"`

	// passwordSecretRef protects the sessions (TCP MD5, RFC 2385); not with an IPv6
	// link-local address. Absent: no password. Changing it resets the sessions.
	//
	// +optional
	PasswordSecretRef *SecretReference `json:"passwordSecretRef,omitempty"`

	// ebgpMultihopTTL is the time to live of packets to an external router that is not on
	// a shared link, 2 to 255. Absent: 1, the router is on-link. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=255
	EBGPMultihopTTL *int32 `json:"ebgpMultihopTTL,omitempty"`

	// families are the address families to exchange (RFC 4760, section 8). Absent: those
	// of which the node has an address. Changing it resets the sessions.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Families []Family `json:"families,omitempty"`

	// gracefulRestart with this router (RFC 4724). Absent: as the BGPSpeaker says.
	//
	// +optional
	GracefulRestart *PeerGracefulRestart `json:"gracefulRestart,omitempty"`

	// import says which prefixes the router may tell us. Changing it resets no session.
	//
	// +optional
	Import PeerImport `json:"import,omitzero"`
}

// ASNType is a kind of autonomous system number.
//
// +kubebuilder:validation:Enum=External;Internal
type ASNType string

// The kinds of autonomous system numbers.
const (
	// ASNExternal is any number but the node's own. It is not implemented in this
	// release; the condition Accepted says so.
	ASNExternal ASNType = "External"
	// ASNInternal is the node's own number.
	ASNInternal ASNType = "Internal"
)

// PeerTimers are the timers of a session.
//
// +kubebuilder:validation:XValidation:rule="!has(self.keepaliveTimeSeconds) || self.keepaliveTimeSeconds * 3 <= (has(self.holdTimeSeconds) ? self.holdTimeSeconds : 90)",fieldPath=".keepaliveTimeSeconds",message="keepaliveTimeSeconds must be at most a third of holdTimeSeconds: write less, or leave it out to get a third"
type PeerTimers struct {
	// holdTimeSeconds is the hold time proposed in OPEN (RFC 4271, section 4.2), in
	// seconds, 3 to 65535, default 90; the smaller of the two sides' counts. 0 (no
	// keepalives) is refused: GoBGP v3 cannot hold such a session. A change takes effect
	// when a session next comes up and resets none.
	//
	// +optional
	// +kubebuilder:default=90
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self >= 3",message="must be 3 to 65535: 0 (no keepalives) is refused because GoBGP v3 cannot hold such a session; write 90"
	HoldTimeSeconds *int32 `json:"holdTimeSeconds,omitempty"`

	// keepaliveTimeSeconds is the time between KEEPALIVE messages (RFC 4271, section
	// 4.4), in seconds, at least 1 and at most a third of holdTimeSeconds. Absent: a third
	// of the hold time that the two sides agree on. A change takes effect when a session
	// next comes up and resets none.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=21845
	KeepaliveTimeSeconds *int32 `json:"keepaliveTimeSeconds,omitempty"`

	// connectRetrySeconds is the time between attempts to connect (RFC 4271, section 8),
	// in seconds, 1 to 65535, default 5. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ConnectRetrySeconds *int32 `json:"connectRetrySeconds,omitempty"`
}

// PeerGracefulRestart is graceful restart with one router.
type PeerGracefulRestart struct {
	// enabled says whether graceful restart is offered to this router (RFC 4724, section
	// 3), default true. It can switch off what the BGPSpeaker has switched on, not the
	// other way round. Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`
}

// PeerImport says which prefixes a router may tell us.
type PeerImport struct {
	// allow lists what is accepted; any rule suffices. Absent: everything inside the
	// cluster's pod CIDRs, no longer than a node's part of them. Present: replaces that.
	// An empty list: nothing. Routes that would cut off the node itself are refused
	// whatever stands here. Changing it resets no session.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Allow *[]ImportRule `json:"allow,omitempty"`
}

// ImportRule accepts prefixes inside a prefix, by their length. With neither minLength
// nor maxLength it accepts the prefix itself and nothing else, as routers' prefix lists do.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minLength) || !isCIDR(self.prefix) || self.minLength >= cidr(self.prefix).prefixLength()",fieldPath=".minLength",message="minLength must not be shorter than the prefix: write at least the prefix's own length"
// +kubebuilder:validation:XValidation:rule="!has(self.maxLength) || !isCIDR(self.prefix) || self.maxLength >= cidr(self.prefix).prefixLength()",fieldPath=".maxLength",message="maxLength must not be shorter than the prefix: write at least the prefix's own length"
// +kubebuilder:validation:XValidation:rule="!has(self.minLength) || !isCIDR(self.prefix) || cidr(self.prefix).ip().family() == 6 || self.minLength <= 32",fieldPath=".minLength",message="minLength must be at most 32 for an IPv4 prefix"
// +kubebuilder:validation:XValidation:rule="!has(self.maxLength) || !isCIDR(self.prefix) || cidr(self.prefix).ip().family() == 6 || self.maxLength <= 32",fieldPath=".maxLength",message="maxLength must be at most 32 for an IPv4 prefix"
// +kubebuilder:validation:XValidation:rule="!has(self.minLength) || !has(self.maxLength) || self.minLength <= self.maxLength",fieldPath=".minLength",message="minLength must not be greater than maxLength"
type ImportRule struct {
	// prefix that accepted prefixes are equal to or inside of, written without host bits.
	//
	// +required
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	Prefix string `json:"prefix"`

	// minLength is the shortest length accepted, in bits, from the prefix's own length
	// to 32 or 128. Absent: the prefix's own length.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=128
	MinLength *int32 `json:"minLength,omitempty"`

	// maxLength is the greatest length accepted, in bits, from the prefix's own length to
	// 32 or 128. Absent: with minLength 32 or 128, without it the prefix's own length.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=128
	MaxLength *int32 `json:"maxLength,omitempty"`
}

// BGPPeerStatus is what is so about a BGPPeer.
type BGPPeerStatus struct {
	// conditions: Accepted says whether the spec is used as it is written.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
