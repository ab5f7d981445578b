package v1alpha1

// LinkBandwidth says how the share of traffic that a node asks for is found.
//
// +kubebuilder:validation:Enum=None;ByLocalEndpoints
type LinkBandwidth string

// The ways to find the share of traffic.
const (
	// LinkBandwidthNone asks for no share.
	LinkBandwidthNone LinkBandwidth = "None"
	// LinkBandwidthByLocalEndpoints asks for a share in proportion to the
	// Service's endpoints on the node.
	LinkBandwidthByLocalEndpoints LinkBandwidth = "ByLocalEndpoints"
)

// PathAttributes go with what is advertised.
type PathAttributes struct {
	// communities to add, at most 64: standard ones such as 65000:1, two numbers
	// from 0 to 65535 (RFC 1997); large ones such as 65000:1:2, the first from 0
	// to 4294967294, the others to 4294967295 (RFC 8092); and blackhole (RFC
	// 7999), graceful-shutdown (RFC 8326), no-advertise, no-export,
	// no-export-subconfed (RFC 1997), no-llgr (RFC 9494) and no-peer (RFC 3765).
	// Absent: none.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self in ['blackhole', 'graceful-shutdown', 'no-advertise', 'no-export', 'no-export-subconfed', 'no-llgr', 'no-peer'] || (self.matches('^(0|[1-9][0-9]{0,4})(:(0|[1-9][0-9]{0,4}))$') && self.split(':').all(n, int(n) <= 65535)) || (self.matches('^(0|[1-9][0-9]{0,9})(:(0|[1-9][0-9]{0,9})){2}$') && self.split(':').all(n, int(n) <= 4294967295) && !self.startsWith('4294967295:'))",message="must be a community: write it such as 65000:1, 65000:1:2 or no-export (the others: blackhole, graceful-shutdown, no-advertise, no-export-subconfed, no-llgr, no-peer)"
	Communities []string `json:"communities,omitempty"`

	// localPref is the degree of preference that internal peers, the mesh among
	// them, are told (RFC 4271, section 5.1.5), 1 to 4294967295, where a higher
	// one wins. Absent: 100.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	LocalPref *int64 `json:"localPref,omitempty"`

	// med is the MULTI_EXIT_DISC (RFC 4271, section 5.1.4), 0 to 4294967295, where
	// a lower one wins. Absent: the attribute is left out.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	MED *int64 `json:"med,omitempty"`

	// asPathPrepend is how many times more our own number stands in the AS path
	// that external peers are told (RFC 4271, section 5.1.2), 0 to 16, default 0.
	//
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=16
	ASPathPrepend *int32 `json:"asPathPrepend,omitempty"`

	// linkBandwidth asks routers for a share of the traffic to an address of a
	// Service whose traffic policy is Local (link bandwidth extended community,
	// draft-ietf-idr-link-bandwidth), default None. None: equal shares.
	// ByLocalEndpoints: in proportion to the Service's ready endpoints on the
	// node, 125000 bytes a second for each. Of several advertisements of one
	// address, any may ask. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=None
	LinkBandwidth LinkBandwidth `json:"linkBandwidth,omitempty"`
}
