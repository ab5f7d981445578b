package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPAdvertisement says what nodes tell to whom.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=bgpadv,categories=fairway
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="bgp.fairway.dev/bundle-version=v0.1.0"
// +kubebuilder:printcolumn:name="Services",type=string,JSONPath=`.spec.services.addressTypes`
// +kubebuilder:printcolumn:name="Mesh",type=boolean,JSONPath=`.spec.to.mesh`
// +kubebuilder:printcolumn:name="Advertised",type=integer,JSONPath=`.status.prefixesAdvertised`
// +kubebuilder:printcolumn:name="Rejected",type=integer,JSONPath=`.status.prefixesRejected`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Precedence",type=integer,priority=1,JSONPath=`.spec.precedence`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPAdvertisement struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted. Users write it. No change to it resets a session.
	// The condition Accepted names, with the reason NotImplemented, fields that
	// have no effect in this release and are set to something other than their
	// default.
	//
	// +required
	Spec BGPAdvertisementSpec `json:"spec"`

	// status is what is so. Fairway writes it.
	//
	// +optional
	Status BGPAdvertisementStatus `json:"status,omitzero"`
}

// BGPAdvertisementList is a list of BGPAdvertisement.
//
// +kubebuilder:object:root=true
type BGPAdvertisementList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BGPAdvertisement `json:"items"`
}

// BGPAdvertisementSpec is what nodes tell to whom. No change to it resets a
// session.
//
// +kubebuilder:validation:XValidation:rule="has(self.podCIDRs) || has(self.services) || has(self.fromMesh) || has(self.prefixes)",message="at least one of podCIDRs, services, fromMesh and prefixes must be set: write podCIDRs: {} for the nodes' pod CIDRs, or services with addressTypes"
// +kubebuilder:validation:XValidation:rule="!has(self.nextHop) || self.nextHop != 'Unchanged' || has(self.fromMesh)",fieldPath=".nextHop",message="nextHop Unchanged needs fromMesh, because a node's own prefixes have no other next hop: write fromMesh: {podCIDRs: true}, or nextHop: Self"
type BGPAdvertisementSpec struct {
	// nodeSelector selects the nodes that advertise this, by their labels. Absent
	// or empty: all nodes.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// to says who hears it.
	//
	// +optional
	// +kubebuilder:default={mesh: false}
	To AdvertisementTargets `json:"to,omitzero"`

	// podCIDRs, when present, advertises each node's own pod CIDRs from that node.
	// Mesh peers hear them in any case.
	//
	// +optional
	PodCIDRs *AdvertisedPodCIDRs `json:"podCIDRs,omitempty"`

	// services, when present, advertises addresses of Services.
	//
	// +optional
	Services *AdvertisedServices `json:"services,omitempty"`

	// fromMesh, when present, advertises what the node has heard from other nodes,
	// for nodes that speak to the fabric on behalf of others. It is told to
	// routers of other ASes alone, with the communities that it came with. Of
	// attributes, localPref and linkBandwidth count for nothing.
	//
	// +optional
	FromMesh *AdvertisedFromMesh `json:"fromMesh,omitempty"`

	// nextHop is the next hop of what fromMesh advertises (RFC 4271, section
	// 5.1.3), default Self. Self: the node, which forwards. Unchanged: the node
	// that said it, where its address is on the network that this node shares with
	// the router, or the session is a multihop one; the others are left out.
	//
	// +optional
	// +kubebuilder:default=Self
	NextHop NextHopPolicy `json:"nextHop,omitempty"`

	// prefixes are advertised as they are written, at most 256. Absent: none.
	// Refused, even by force: a default route, what lies inside a Service range or
	// another node's pod CIDR, and another node's address. With to.mesh the other
	// nodes take them in.
	//
	// +optional
	// +listType=map
	// +listMapKey=prefix
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",message="must have at least one entry: write one, or leave the field out"
	Prefixes []AdvertisedPrefix `json:"prefixes,omitempty"`

	// attributes go with all that this object advertises. Changing them announces
	// it again; no session is reset.
	//
	// +optional
	// +kubebuilder:default={asPathPrepend: 0, linkBandwidth: "None"}
	Attributes PathAttributes `json:"attributes,omitzero"`

	// precedence decides between several BGPAdvertisements of one prefix to one
	// peer, -2147483648 to 2147483647, default 0: for all attributes but the
	// communities, which are joined, the higher one wins, then the older object,
	// then the first by name.
	//
	// +optional
	// +kubebuilder:default=0
	Precedence *int32 `json:"precedence,omitempty"`
}

// NextHopPolicy says which next hop goes with what other nodes have said.
//
// +kubebuilder:validation:Enum=Self;Unchanged
type NextHopPolicy string

// The next hops.
const (
	NextHopSelf      NextHopPolicy = "Self"
	NextHopUnchanged NextHopPolicy = "Unchanged"
)

// AdvertisedFromMesh says what of other nodes' prefixes is advertised.
//
// +kubebuilder:validation:XValidation:rule="(has(self.podCIDRs) && self.podCIDRs) || (has(self.services) && self.services)",message="at least one of podCIDRs and services must be true: write podCIDRs: true, or leave fromMesh out"
type AdvertisedFromMesh struct {
	// podCIDRs advertises other nodes' pod CIDRs, default false.
	//
	// +optional
	// +kubebuilder:default=false
	PodCIDRs *bool `json:"podCIDRs,omitempty"`

	// services advertises addresses of Services that other nodes have announced to
	// the mesh, default false: those inside the Service ranges, and inside the
	// externalIPRanges and loadBalancerIPRanges of BGPAdvertisements to the mesh.
	//
	// +optional
	// +kubebuilder:default=false
	Services *bool `json:"services,omitempty"`
}

// AdvertisedPrefix is a prefix that is advertised as it is written.
type AdvertisedPrefix struct {
	// prefix to advertise, written without host bits.
	//
	// +required
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	Prefix string `json:"prefix"`

	// force advertises the prefix from nodes that have no route to it as well,
	// default false: only while the main table has one to exactly this prefix that
	// Fairway has not learned, or the node has the one address that it is.
	//
	// +optional
	// +kubebuilder:default=false
	Force *bool `json:"force,omitempty"`
}

// AdvertisementTargets says who hears an advertisement.
type AdvertisementTargets struct {
	// peerSelector selects BGPPeer objects by their labels. Absent or empty: all
	// of them.
	//
	// +optional
	PeerSelector *metav1.LabelSelector `json:"peerSelector,omitempty"`

	// mesh says whether the other nodes hear it too, over the sessions that
	// BGPSpeaker.spec.topology makes, default false.
	//
	// +optional
	// +kubebuilder:default=false
	Mesh *bool `json:"mesh,omitempty"`
}

// AdvertisedPodCIDRs advertises the node's own pod CIDRs. Its presence is all
// it says.
type AdvertisedPodCIDRs struct{}

// ServiceAddressType is a kind of address that a Service has.
//
// +kubebuilder:validation:Enum=ClusterIP;ExternalIP;LoadBalancerIP
type ServiceAddressType string

// The kinds of addresses of a Service.
const (
	// AddressClusterIP is an address of spec.clusterIPs.
	AddressClusterIP ServiceAddressType = "ClusterIP"
	// AddressExternalIP is an address of spec.externalIPs.
	AddressExternalIP ServiceAddressType = "ExternalIP"
	// AddressLoadBalancerIP is an address of status.loadBalancer.ingress.
	AddressLoadBalancerIP ServiceAddressType = "LoadBalancerIP"
)

// AdvertisedServices advertises addresses of Services, each with its full
// length unless aggregation says otherwise.
//
// +kubebuilder:validation:XValidation:rule="!has(self.externalIPRanges) || !has(self.addressTypes) || 'ExternalIP' in self.addressTypes",fieldPath=".externalIPRanges",message="externalIPRanges needs ExternalIP among addressTypes: add it there, or leave externalIPRanges out"
// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancerIPRanges) || !has(self.addressTypes) || 'LoadBalancerIP' in self.addressTypes",fieldPath=".loadBalancerIPRanges",message="loadBalancerIPRanges needs LoadBalancerIP among addressTypes: add it there, or leave loadBalancerIPRanges out"
type AdvertisedServices struct {
	// addressTypes are the kinds of addresses to advertise, at least one.
	// ClusterIP: those of spec.clusterIPs. ExternalIP: those of spec.externalIPs
	// inside externalIPRanges. LoadBalancerIP: those of
	// status.loadBalancer.ingress inside loadBalancerIPRanges.
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	AddressTypes []ServiceAddressType `json:"addressTypes"`

	// selector selects Services by their labels. Absent or empty: all.
	//
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// namespaceSelector selects the namespaces of the Services, by their labels.
	// Absent or empty: all.
	//
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// externalIPRanges hold the external IPs that may be advertised, written
	// without host bits, at least one; who writes a Service could otherwise draw
	// any address to the cluster. Absent: none may.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",message="must have at least one entry: write one, or leave the field out"
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	ExternalIPRanges []string `json:"externalIPRanges,omitempty"`

	// loadBalancerIPRanges hold the load balancer IPs that may be advertised,
	// written without host bits, at least one. Absent: any outside the networks of
	// pods and nodes; a range inside a network of nodes works when it is named
	// here.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",message="must have at least one entry: write one, or leave the field out"
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	LoadBalancerIPRanges []string `json:"loadBalancerIPRanges,omitempty"`

	// aggregation advertises shorter prefixes that hold the addresses in their
	// place.
	//
	// +optional
	// +kubebuilder:default={ipv4Length: 32, ipv6Length: 128}
	Aggregation Aggregation `json:"aggregation,omitzero"`
}

// Aggregation says how long the prefixes are that are advertised for addresses
// of Services.
type Aggregation struct {
	// ipv4Length is the length of IPv4 prefixes, in bits, 1 to 32, default 32:
	// each address by itself.
	//
	// +optional
	// +kubebuilder:default=32
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	IPv4Length *int32 `json:"ipv4Length,omitempty"`

	// ipv6Length is the length of IPv6 prefixes, in bits, 1 to 128, default 128:
	// each address by itself.
	//
	// +optional
	// +kubebuilder:default=128
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=128
	IPv6Length *int32 `json:"ipv6Length,omitempty"`
}

// BGPAdvertisementStatus is what is so about a BGPAdvertisement, over all the
// nodes that it selects.
type BGPAdvertisementStatus struct {
	// prefixesAdvertised is how many prefixes at least one node tells at least one
	// peer because of this object. The controller writes it.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	PrefixesAdvertised int32 `json:"prefixesAdvertised"`

	// prefixesRejected is how many prefixes this object asks for that no node
	// tells any peer. The controller writes it.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	PrefixesRejected int32 `json:"prefixesRejected"`

	// rejected counts these by reason. The controller writes it.
	//
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=16
	Rejected []RefusedCount `json:"rejected,omitempty"`

	// conditions: Accepted says whether the spec is used as it is written,
	// Programmed whether all that it asks for is advertised.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
