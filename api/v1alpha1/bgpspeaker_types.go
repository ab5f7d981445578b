package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BGPSpeaker says how a group of nodes speaks BGP: with which AS number and
// identity, with which of each other, and what it does to the kernel. A node
// that no BGPSpeaker selects does not speak. Where two select one node the
// older one counts, and the newer one says Conflicted in its condition
// Accepted.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=bgpspk,categories=fairway
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="bgp.fairway.dev/bundle-version=v0.1.0"
// +kubebuilder:printcolumn:name="ASN",type=integer,format=int64,JSONPath=`.spec.localASN`
// +kubebuilder:printcolumn:name="Topology",type=string,JSONPath=`.spec.topology.type`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.nodesReady`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="ASN Label",type=string,priority=1,JSONPath=`.spec.localASNFrom.nodeLabel`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPSpeaker struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted. Users write it. The condition Accepted names, with
	// the reason NotImplemented, fields that have no effect in this release and
	// are set to something other than their default.
	//
	// +required
	Spec BGPSpeakerSpec `json:"spec"`

	// status is what is so. Fairway writes it.
	//
	// +optional
	Status BGPSpeakerStatus `json:"status,omitzero"`
}

// BGPSpeakerList is a list of BGPSpeaker.
//
// +kubebuilder:object:root=true
type BGPSpeakerList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BGPSpeaker `json:"items"`
}

// BGPSpeakerSpec is how a group of nodes speaks.
//
// +kubebuilder:validation:XValidation:rule="has(self.localASN) != has(self.localASNFrom)",message="exactly one of localASN and localASNFrom must be set: write localASN: 64512, or localASNFrom with the nodeLabel that holds each node's number"
// +kubebuilder:validation:XValidation:rule="!has(self.listenPort) || self.listenPort != 0 || (has(self.topology) && has(self.topology.type) && self.topology.type == 'None')",fieldPath=".listenPort",message="listenPort 0 (never listen) needs topology.type None, because mesh peers dial each other: write topology.type: None, or a port from 1 to 65535"
type BGPSpeakerSpec struct {
	// nodeSelector selects the nodes that speak this way, by their labels. Absent
	// or empty: all nodes. A node that is no longer selected stops its speaker,
	// which ends all its sessions.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// localASN is the autonomous system number of the nodes (RFC 4271, section
	// 4.2; four octets by RFC 6793), 1 to 4294967294. The annotation
	// bgp.fairway.dev/asn on a Node wins over it. Exactly one of localASN and
	// localASNFrom must be set. Changing it restarts the speaker, which resets all
	// its sessions.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967294
	LocalASN *int64 `json:"localASN,omitempty"`

	// localASNFrom takes each node's autonomous system number from the Node, for
	// designs with one number per rack. Exactly one of localASN and localASNFrom
	// must be set. When a node's number changes its speaker restarts, which resets
	// all its sessions.
	//
	// +optional
	LocalASNFrom *LocalASNSource `json:"localASNFrom,omitempty"`

	// routerID says where the BGP identifier of each node comes from (RFC 4271,
	// section 4.2; RFC 6286). NodeIPv4: the Node's first IPv4 InternalIP.
	// NodeNameHash: 32 bits of a hash of the node's name. Absent: NodeIPv4, and
	// NodeNameHash on a node that has no IPv4 address. The annotation
	// bgp.fairway.dev/router-id on a Node wins over it. Changing it restarts the
	// speaker, which resets all its sessions.
	//
	// +optional
	RouterID RouterIDSource `json:"routerID,omitempty"`

	// listenPort is the TCP port on which the nodes accept sessions (RFC 4271,
	// section 8), 0 to 65535, default 179. 0: they never listen, only dial;
	// topology.type must then be None. Changing it restarts the speaker, which
	// resets all its sessions.
	//
	// +optional
	// +kubebuilder:default=179
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	ListenPort *int32 `json:"listenPort,omitempty"`

	// cluster says which addresses belong to the cluster. Changing it resets no
	// session.
	//
	// +optional
	Cluster ClusterNetworks `json:"cluster,omitzero"`

	// topology says which nodes of equal AS number talk to each other.
	//
	// +optional
	// +kubebuilder:default={type: "FullMesh", scope: "SameSubnet"}
	Topology Topology `json:"topology,omitzero"`

	// gracefulRestart says what happens to routes while a speaker or a peer
	// restarts (RFC 4724).
	//
	// +optional
	// +kubebuilder:default={enabled: true, restartTimeSeconds: 120, notification: false, deferralSeconds: 10, longLivedStaleSeconds: 0}
	GracefulRestart SpeakerGracefulRestart `json:"gracefulRestart,omitzero"`

	// kernel says how learned routes enter the kernel. Changing it resets no
	// session.
	//
	// +optional
	// +kubebuilder:default={table: 254, metric: 2048, maxPaths: 16, resolveViaDefault: false}
	Kernel KernelRoutes `json:"kernel,omitzero"`

	// drain says when a node asks the others to send no more traffic through it,
	// before it stops. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default={onExcludeLabel: true, onUnschedulable: false, gracefulShutdownSeconds: 30}
	Drain Drain `json:"drain,omitzero"`

	// readiness says what a node waits for before it announces addresses of
	// Services. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default={dataplaneDelayMilliseconds: 0}
	Readiness Readiness `json:"readiness,omitzero"`

	// bmp are the stations that hear what the nodes hear (BMP, RFC 7854), at most
	// 8. Absent: none. Changing it resets no session.
	//
	// +optional
	// +listType=map
	// +listMapKey=address
	// +listMapKey=port
	// +kubebuilder:validation:MaxItems=8
	BMP []BMPStation `json:"bmp,omitempty"`

	// cni says whether Fairway connects the pods of the nodes as well, in place of
	// another network plugin. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default={enabled: false, installPlugins: false, masquerade: false}
	CNI CNI `json:"cni,omitzero"`
}

// LocalASNSource says where on a Node its autonomous system number stands.
type LocalASNSource struct {
	// nodeLabel is the key of the Node label whose value is the number, 1 to
	// 4294967294. A node without the label, or with another value, does not speak
	// and says ASNUnknown.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`
	NodeLabel string `json:"nodeLabel"`
}

// RouterIDSource says where a node's BGP identifier comes from.
//
// +kubebuilder:validation:Enum=NodeIPv4;NodeNameHash
type RouterIDSource string

// The sources of a BGP identifier.
const (
	// RouterIDNodeIPv4 is the Node's first IPv4 InternalIP.
	RouterIDNodeIPv4 RouterIDSource = "NodeIPv4"
	// RouterIDNodeNameHash is 32 bits of a hash of the node's name.
	RouterIDNodeNameHash RouterIDSource = "NodeNameHash"
)

// ClusterNetworks says which addresses belong to the cluster. All prefixes are
// written without host bits, such as 10.244.0.0/16 or fd00:10:244::/56.
type ClusterNetworks struct {
	// podCIDRs hold the addresses of all pods. Learned routes are imported only
	// inside them unless a BGPPeer's import.allow says otherwise. Absent: those of
	// the Nodes where Nodes are watched; where none are known nothing is imported,
	// and the condition Accepted says ClusterCIDRsUnknown.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	PodCIDRs []string `json:"podCIDRs,omitempty"`

	// serviceCIDRs hold the ClusterIPs of all Services; no learned route inside
	// them is installed. Absent: those of the ServiceCIDR objects.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	ServiceCIDRs []string `json:"serviceCIDRs,omitempty"`

	// nodeCIDRs hold the addresses of the nodes themselves: as next hops they
	// may be reached by a default route, and no learned route that overlaps one
	// is installed unless an import rule names it. Absent: the addresses of the
	// Nodes, as far as the agent watches them.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	NodeCIDRs []string `json:"nodeCIDRs,omitempty"`
}

// KernelRoutes says how learned routes enter the kernel.
type KernelRoutes struct {
	// table is the number of the routing table for learned routes, 1 to
	// 4294967295, default 254 (main). 255 (local) is refused. Changing it moves
	// the routes.
	//
	// +optional
	// +kubebuilder:default=254
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	// +kubebuilder:validation:XValidation:rule="self != 255",message="must not be 255: the kernel's own table local; write 254 for main or a table of your own"
	Table *int64 `json:"table,omitempty"`

	// metric is the metric of learned routes in the kernel, where a lower one
	// wins, 1 to 4294967295, default 2048. Changing it replaces the routes, the
	// new ones first.
	//
	// +optional
	// +kubebuilder:default=2048
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	Metric *int64 `json:"metric,omitempty"`

	// maxPaths is how many equally good paths to a prefix share its traffic
	// (ECMP), 1 to 128, default 16. 1: no sharing.
	//
	// +optional
	// +kubebuilder:default=16
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=128
	MaxPaths *int32 `json:"maxPaths,omitempty"`

	// resolveViaDefault lets any next hop be reached by the kernel's default
	// route, default false: then only the address of a Node may, or one in
	// cluster.nodeCIDRs. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=false
	ResolveViaDefault *bool `json:"resolveViaDefault,omitempty"`

	// protectedPrefixes are never routed by what a peer says: no learned route
	// equal to or inside one of them is installed. Written without host bits.
	// Absent: none.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	ProtectedPrefixes []string `json:"protectedPrefixes,omitempty"`
}

// BGPSpeakerStatus is what is so about a BGPSpeaker, over all the nodes that
// it selects.
type BGPSpeakerStatus struct {
	// nodes is how many nodes this speaker counts for. The controller writes it.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Nodes int32 `json:"nodes"`

	// nodesReady is how many of them say Ready in their BGPNodeState. The
	// controller writes it.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	NodesReady int32 `json:"nodesReady"`

	// notReadyNodes are names of nodes that are not ready, the first 16 by name.
	// The controller writes it.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	NotReadyNodes []string `json:"notReadyNodes,omitempty"`

	// conditions: Accepted says whether the spec is used as it is written,
	// Programmed whether the nodes run as it says, LargeMesh whether the full mesh
	// is larger than it should be.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
