package v1alpha1

// MaxAdvertised bounds the advertisements of a BGPNodeState: 64 objects with
// every source.
const MaxAdvertised = 256

// AdvertisedSource is what in the spec of a BGPAdvertisement asks for
// prefixes.
//
// +kubebuilder:validation:Enum=PodCIDRs;Services;FromMesh;Prefixes
type AdvertisedSource string

// The sources of prefixes, each named as its field.
const (
	// AdvertisedFromPodCIDRs are prefixes that no other node has.
	AdvertisedFromPodCIDRs AdvertisedSource = "PodCIDRs"
	// The others may be told by any number of nodes.
	AdvertisedFromServices AdvertisedSource = "Services"
	AdvertisedFromTheMesh  AdvertisedSource = "FromMesh"
	AdvertisedFromPrefixes AdvertisedSource = "Prefixes"
)

// AdvertisedState is what became, on one node, of what one field of a
// BGPAdvertisement asks for.
type AdvertisedState struct {
	// name of the BGPAdvertisement.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// source is the field that asks for the prefixes.
	//
	// +required
	Source AdvertisedSource `json:"source"`

	// advertised is how many prefixes this node tells at least one peer.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Advertised int32 `json:"advertised"`

	// rejected counts, by reason, the prefixes that this node tells no peer, at
	// most 16 reasons.
	//
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=16
	Rejected []RefusedCount `json:"rejected,omitempty"`
}
