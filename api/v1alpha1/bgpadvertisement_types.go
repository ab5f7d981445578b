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
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPAdvertisement struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted. Users write it.
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

// BGPAdvertisementSpec is what nodes tell to whom. No change to it resets a session.
//
// +kubebuilder:validation:XValidation:rule="has(self.podCIDRs) || has(self.services)",message="at least one of podCIDRs and services must be set: write podCIDRs: {} for the nodes' pod CIDRs, or services with addressTypes"
type BGPAdvertisementSpec struct {
	// nodeSelector selects the nodes that advertise this, by their labels. Absent or
	// empty: all nodes.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`

	// to says who hears it.
	//
	// +optional
	// +kubebuilder:default={mesh: false}
	To AdvertisementTargets `json:"to,omitzero"`

	// podCIDRs, when present, advertises each node's own pod CIDRs from that node. Mesh
	// peers hear them in any case.
	//
	// +optional
	PodCIDRs *AdvertisedPodCIDRs `json:"podCIDRs,omitempty"`

	// services, when present, advertises addresses of Services.
	//
	// +optional
	Services *AdvertisedServices `json:"services,omitempty"`
}

// AdvertisementTargets says who hears an advertisement.
type AdvertisementTargets struct {
	// peerSelector selects BGPPeer objects by their labels. Absent or empty: all of them.
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

// AdvertisedPodCIDRs advertises the node's own pod CIDRs. Its presence is all it says.
type AdvertisedPodCIDRs struct{}

// ServiceAddressType is a kind of address that a Service has.
//
// +kubebuilder:validation:Enum=ClusterIP;ExternalIP;LoadBalancerIP
type ServiceAddressType string

// The kinds of addresses of a Service.
const (
	// AddressClusterIP is an address of spec.clusterIPs.
	AddressClusterIP ServiceAddressType = "ClusterIP"
	// AddressExternalIP is an address of spec.externalIPs. It has no effect in this
	// release; the condition Accepted says NotImplemented.
	AddressExternalIP ServiceAddressType = "ExternalIP"
	// AddressLoadBalancerIP is an address of status.loadBalancer.ingress. It has no
	// effect in this release; the condition Accepted says NotImplemented.
	AddressLoadBalancerIP ServiceAddressType = "LoadBalancerIP"
)

// AdvertisedServices advertises addresses of Services, each with its full length.
type AdvertisedServices struct {
	// addressTypes are the kinds of addresses to advertise, at least one. ExternalIP and
	// LoadBalancerIP have no effect in this release; the condition Accepted then says
	// NotImplemented, and the rest of the object works.
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	AddressTypes []ServiceAddressType `json:"addressTypes"`

	// selector selects Services by their labels, in all namespaces. Absent or empty: all.
	//
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// BGPAdvertisementStatus is what is so about a BGPAdvertisement.
type BGPAdvertisementStatus struct {
	// conditions: Accepted says whether the spec is used as it is written.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
