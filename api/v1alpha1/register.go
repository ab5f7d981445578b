package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of Fairway's kinds.
const GroupName = "bgp.fairway.dev"

// Kinds, as manifests write them.
const (
	KindBGPSpeaker       = "BGPSpeaker"
	KindBGPPeer          = "BGPPeer"
	KindBGPAdvertisement = "BGPAdvertisement"
	KindBGPNodeState     = "BGPNodeState"
)

// Resources, as URLs and RBAC rules write them.
const (
	ResourceBGPSpeakers       = "bgpspeakers"
	ResourceBGPPeers          = "bgppeers"
	ResourceBGPAdvertisements = "bgpadvertisements"
	ResourceBGPNodeStates     = "bgpnodestates"
)

// SchemeGroupVersion is the group and version of this package's kinds.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme teaches a scheme the kinds of this package.
func AddToScheme(s *runtime.Scheme) error { return schemeBuilder.AddToScheme(s) }

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion,
		&BGPSpeaker{}, &BGPSpeakerList{},
		&BGPPeer{}, &BGPPeerList{},
		&BGPAdvertisement{}, &BGPAdvertisementList{},
		&BGPNodeState{}, &BGPNodeStateList{},
	)
	metav1.AddToGroupVersion(s, SchemeGroupVersion)
	return nil
}
