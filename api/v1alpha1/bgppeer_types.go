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
// +kubebuilder:printcolumn:name="Established",type=integer,JSONPath=`.status.sessionsEstablished`
// +kubebuilder:printcolumn:name="Expected",type=integer,JSONPath=`.status.sessionsExpected`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Interface",type=string,priority=1,JSONPath=`.spec.interface`
// +kubebuilder:printcolumn:name="Default Gateway",type=string,priority=1,JSONPath=`.spec.defaultGateway.family`
// +kubebuilder:printcolumn:name="Listen Range",type=string,priority=1,JSONPath=`.spec.listenRange`
// +kubebuilder:printcolumn:name="ASN Type",type=string,priority=1,JSONPath=`.spec.asnType`
// +kubebuilder:printcolumn:name="Admin",type=string,priority=1,JSONPath=`.spec.adminState`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPPeer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted. Users write it. The condition Accepted names, with
	// the reason NotImplemented, fields that have no effect in this release and
	// are set to something other than their default.
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
// +kubebuilder:validation:XValidation:rule="[has(self.address), has(self.interface), has(self.defaultGateway), has(self.listenRange)].exists_one(set, set)",message="exactly one of address, interface, defaultGateway and listenRange must be set: write address: 192.0.2.1 for a router with a fixed address, interface: eth1 for the router at the other end of a link, defaultGateway: {family: IPv4} for what the default route points to, or listenRange: 192.0.2.0/24 for any router in a network"
// +kubebuilder:validation:XValidation:rule="has(self.address) == has(oldSelf.address) && has(self.interface) == has(oldSelf.interface) && has(self.defaultGateway) == has(oldSelf.defaultGateway) && has(self.listenRange) == has(oldSelf.listenRange)",message="which of address, interface, defaultGateway and listenRange is set cannot be changed: make a new BGPPeer that names the router the other way, then delete this one"
// +kubebuilder:validation:XValidation:rule="has(self.asn) != has(self.asnType)",message="exactly one of asn and asnType must be set: write the router's number as asn, or asnType: Internal when it has ours"
// +kubebuilder:validation:XValidation:rule="!has(self.localASN) || !has(self.asnType) || self.asnType != 'Internal'",fieldPath=".localASN",message="localASN is for external peers, and asnType Internal means a router with our own number: leave localASN out, or write the router's number as asn"
// +kubebuilder:validation:XValidation:rule="!has(self.localASN) || !has(self.asn) || self.localASN != self.asn",fieldPath=".localASN",message="localASN must not be the router's own number: write the number that the router expects of us, or leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.passwordSecretRef) || !has(self.address) || !isIP(self.address) || ip(self.address).family() != 6 || !ip(self.address).isLinkLocalUnicast()",fieldPath=".passwordSecretRef",message="passwordSecretRef does not work with a link-local address: GoBGP v3 would ignore it; write a global or unique-local address, or leave the password out"
// +kubebuilder:validation:XValidation:rule="!has(self.passwordSecretRef) || !has(self.interface)",fieldPath=".passwordSecretRef",message="passwordSecretRef does not work with interface, whose router has a link-local address: GoBGP v3 would ignore it; write the router's global or unique-local address as address, or leave the password out"
// +kubebuilder:validation:XValidation:rule="!has(self.passwordSecretRef) || !has(self.listenRange) || !isCIDR(self.listenRange) || !(cidr('fe80::/10').containsCIDR(self.listenRange) || cidr(self.listenRange).containsCIDR('fe80::/10'))",fieldPath=".passwordSecretRef",message="passwordSecretRef does not work with a listenRange that holds link-local addresses: GoBGP v3 would ignore it; write a range of global or unique-local addresses, or leave the password out"
// +kubebuilder:validation:XValidation:rule="!has(self.localAddress) || !has(self.address) || !isIP(self.localAddress) || !isIP(self.address) || ip(self.localAddress).family() == ip(self.address).family()",fieldPath=".localAddress",message="localAddress must be of the same family as address: write both as IPv4 or both as IPv6"
// +kubebuilder:validation:XValidation:rule="!has(self.localAddress) || !has(self.listenRange) || !isIP(self.localAddress) || !isCIDR(self.listenRange) || ip(self.localAddress).family() == cidr(self.listenRange).ip().family()",fieldPath=".localAddress",message="localAddress must be of the same family as listenRange: write both as IPv4 or both as IPv6"
// +kubebuilder:validation:XValidation:rule="!has(self.localAddress) || !has(self.defaultGateway) || !isIP(self.localAddress) || (ip(self.localAddress).family() == 4) == (self.defaultGateway.family == 'IPv4')",fieldPath=".localAddress",message="localAddress must be of the same family as defaultGateway: write an address of the family that defaultGateway.family names"
// +kubebuilder:validation:XValidation:rule="!has(self.localAddress) || !has(self.localInterface)",fieldPath=".localInterface",message="at most one of localAddress and localInterface must be set: write the address, or the interface that has it"
// +kubebuilder:validation:XValidation:rule="!has(self.interface) || !(has(self.localAddress) || has(self.localInterface))",fieldPath=".interface",message="localAddress and localInterface do not work with interface, which fixes both: leave them out"
// +kubebuilder:validation:XValidation:rule="!has(self.ebgpMultihopTTL) || !has(self.asnType) || self.asnType != 'Internal'",fieldPath=".ebgpMultihopTTL",message="ebgpMultihopTTL is for external peers: leave it out with asnType Internal, whose sessions may cross several hops anyway"
// +kubebuilder:validation:XValidation:rule="!has(self.ebgpMultihopTTL) || !(has(self.interface) || has(self.defaultGateway))",fieldPath=".ebgpMultihopTTL",message="ebgpMultihopTTL is for routers that are not on a shared link: leave it out with interface and defaultGateway"
// +kubebuilder:validation:XValidation:rule="!has(self.ebgpMultihopTTL) || !has(self.ttlSecurityHops)",fieldPath=".ttlSecurityHops",message="at most one of ebgpMultihopTTL and ttlSecurityHops must be set: write ttlSecurityHops where the router sends with a time to live of 255 (RFC 5082), ebgpMultihopTTL where it does not"
type BGPPeerSpec struct {
	// nodeSelector selects the nodes that talk to this router, by their labels.
	// Absent or empty: all nodes. A node that is no longer selected ends its
	// session.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// address is the router's IP address, without a zone. Exactly one of address,
	// interface, defaultGateway and listenRange must be set, and which of them
	// cannot be changed; the address itself can: that ends the sessions with the
	// old one and opens those with the new one.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address without a zone: write it such as 192.0.2.1 or 2001:db8::1"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLinkLocalUnicast() || ip(self).isLoopback()",message="must be the address of one router: write a unicast address such as 192.0.2.1 or 2001:db8::1"
	Address string `json:"address,omitempty"`

	// interface is the network interface at whose other end the router is: an
	// unnumbered session between IPv6 link-local addresses, for which the node
	// sends router advertisements with lifetime 0 (RFC 4861, section 6.2.1). At
	// most 15 characters. Changing it ends the sessions over the old interface and
	// opens those over the new one.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-.0-9;-~]+$') && self != '.' && self != '..'",message="must be the name of a network interface: write it as the node shows it, such as eth1"
	Interface string `json:"interface,omitempty"`

	// defaultGateway is the router, or the routers, that the node's default routes
	// of one family point to: all next hops of those with the best metric that
	// Fairway has not installed itself. It is followed: when the default routes
	// change, sessions with old gateways end and those with new ones open.
	//
	// +optional
	DefaultGateway *DefaultGateway `json:"defaultGateway,omitempty"`

	// listenRange is a prefix, without host bits, any of whose addresses may
	// connect. A router is known from its first connection, which is refused,
	// until ten minutes after its session has ended, and is dialled for so long,
	// unless passive is true. The address of another peer is that peer's alone,
	// one in several ranges belongs to the most specific. At most 1024 routers a
	// node. Changing it ends the sessions with routers outside the new range.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	ListenRange string `json:"listenRange,omitempty"`

	// port is the TCP port on which the router listens, 1 to 65535, default 179.
	// Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:default=179
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// asn is the autonomous system number that the router must show in its OPEN
	// (RFC 4271, section 4.2; RFC 6793), 1 to 4294967294. Exactly one of asn and
	// asnType must be set. Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967294
	ASN *int64 `json:"asn,omitempty"`

	// asnType accepts a kind of number in place of a certain one. External: any
	// but the node's own. Internal: the node's own. Exactly one of asn and asnType
	// must be set. Changing it resets the sessions.
	//
	// +optional
	ASNType ASNType `json:"asnType,omitempty"`

	// localASN is the number that this router sees of us in place of the speaker's
	// (RFC 7705), 1 to 4294967294; for external peers only. Absent: the speaker's.
	// Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967294
	LocalASN *int64 `json:"localASN,omitempty"`

	// localAddress is the source address of the sessions, of the same family as
	// the router's. Absent: the kernel chooses. At most one of localAddress and
	// localInterface may be set, and neither with interface. Only nodes that have
	// the address use this peer; select them with nodeSelector. Changing it resets
	// the sessions.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address without a zone: write it such as 192.0.2.1 or 2001:db8::1"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLinkLocalUnicast() || ip(self).isLoopback()",message="must be an address of the node: write a unicast address such as 192.0.2.1 or 2001:db8::1"
	LocalAddress string `json:"localAddress,omitempty"`

	// localInterface is the network interface whose first address of the router's
	// family is the source address of the sessions; for a link-local address of
	// the router it is the link too. At most 15 characters. Absent: the kernel
	// chooses. Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-.0-9;-~]+$') && self != '.' && self != '..'",message="must be the name of a network interface: write it as the node shows it, such as eth1"
	LocalInterface string `json:"localInterface,omitempty"`

	// passive: the node waits for the router to connect and never dials (RFC 4271,
	// section 8.1.1, PassiveTcpEstablishment), default false. Changing it resets
	// the sessions.
	//
	// +optional
	// +kubebuilder:default=false
	Passive *bool `json:"passive,omitempty"`

	// timers of the sessions (RFC 4271, section 10).
	//
	// +optional
	// +kubebuilder:default={holdTimeSeconds: 90, connectRetrySeconds: 5}
	Timers PeerTimers `json:"timers,omitzero"`

	// passwordSecretRef protects the sessions (TCP MD5, RFC 2385); not with
	// interface and not with an IPv6 link-local address. Absent: no password.
	// Changing it resets the sessions.
	//
	// +optional
	PasswordSecretRef *SecretReference `json:"passwordSecretRef,omitempty"`

	// ebgpMultihopTTL is the time to live of packets to an external router that is
	// not on a shared link, 2 to 255. Absent: 1, the router is on-link. At most
	// one of ebgpMultihopTTL and ttlSecurityHops may be set. A change takes effect
	// when a session next comes up and resets none.
	//
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=255
	EBGPMultihopTTL *int32 `json:"ebgpMultihopTTL,omitempty"`

	// ttlSecurityHops is how many hops away the router may be, 1 to 254: we send
	// with a time to live of 255 and refuse packets that arrive with less than 256
	// minus this (GTSM, RFC 5082, section 3). 1: the router is on a shared link.
	// The router must do the same. Absent: no such check. A change takes effect
	// when a session next comes up and resets none.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=254
	TTLSecurityHops *int32 `json:"ttlSecurityHops,omitempty"`

	// families are the address families to exchange (RFC 4760, section 8). Absent:
	// those of which the node has an address. Changing it resets the sessions.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Families []Family `json:"families,omitempty"`

	// extendedNextHop announces IPv4 prefixes with an IPv6 next hop where no IPv4
	// next hop fits and the router takes that (RFC 8950), default false. With
	// interface it is always so. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=false
	ExtendedNextHop *bool `json:"extendedNextHop,omitempty"`

	// gracefulRestart with this router (RFC 4724). Absent: as the BGPSpeaker says.
	//
	// +optional
	GracefulRestart *PeerGracefulRestart `json:"gracefulRestart,omitempty"`

	// bfd watches the way to the router (RFC 5880, RFC 5881; with ebgpMultihopTTL
	// RFC 5883). Absent: no BFD. Changing it resets no session.
	//
	// +optional
	BFD *BFD `json:"bfd,omitempty"`

	// addPaths exchanges several paths to one prefix (RFC 7911). Absent: one path.
	//
	// +optional
	AddPaths *AddPaths `json:"addPaths,omitempty"`

	// allowOwnAS is how often our own number may stand in the AS path of what the
	// router tells us (RFC 4271, section 9.1.2, asks for refusal), 0 to 10,
	// default 0. Where all racks share one number, the alternatives are a number
	// for each rack, or as-override on the router. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	AllowOwnAS *int32 `json:"allowOwnAS,omitempty"`

	// import says which prefixes the router may tell us. Changing it resets no
	// session.
	//
	// +optional
	// +kubebuilder:default={maxPrefixesAction: "Warn"}
	Import PeerImport `json:"import,omitzero"`

	// adminState says whether the sessions should be up, default Up. Changing it
	// to Down ends the sessions with Cease, Administrative Shutdown (RFC 4486,
	// section 4), and the router may not connect.
	//
	// +optional
	// +kubebuilder:default=Up
	AdminState AdminState `json:"adminState,omitempty"`

	// adminMessage tells the router's operator why, when adminState becomes Down
	// (Shutdown Communication, RFC 9003), at most 128 bytes of UTF-8. Absent:
	// nothing. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 128",message="must be at most 128 bytes of UTF-8: write less"
	AdminMessage string `json:"adminMessage,omitempty"`
}

// BGPPeerStatus is what is so about a BGPPeer, over all the nodes that it
// selects.
type BGPPeerStatus struct {
	// sessionsExpected is how many sessions the nodes should have with this
	// router; with listenRange, with routers that have connected and not been away
	// for ten minutes since. The controller writes it.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	SessionsExpected int32 `json:"sessionsExpected"`

	// sessionsEstablished is how many of them are up. The controller writes it.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	SessionsEstablished int32 `json:"sessionsEstablished"`

	// notEstablishedNodes are names of nodes with an expected session that is not
	// up, the first 16 by name. The controller writes it.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	NotEstablishedNodes []string `json:"notEstablishedNodes,omitempty"`

	// conditions: Accepted says whether the spec is used as it is written,
	// Programmed whether all expected sessions are up.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
