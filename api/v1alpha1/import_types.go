package v1alpha1

// PeerImport says which prefixes a router may tell us.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxPrefixesAction) || self.maxPrefixesAction != 'Shutdown' || has(self.maxPrefixes)",fieldPath=".maxPrefixesAction",message="maxPrefixesAction Shutdown needs maxPrefixes: write how many prefixes of a family the router may tell us, or maxPrefixesAction: Warn"
// +kubebuilder:validation:XValidation:rule="!has(self.maxPrefixesRestartSeconds) || (has(self.maxPrefixesAction) && self.maxPrefixesAction == 'Shutdown')",fieldPath=".maxPrefixesRestartSeconds",message="maxPrefixesRestartSeconds needs maxPrefixesAction Shutdown, because Warn ends no session: write maxPrefixesAction: Shutdown, or leave maxPrefixesRestartSeconds out"
type PeerImport struct {
	// allow lists what is accepted; any rule suffices. Absent: everything inside
	// the cluster's pod CIDRs, no longer than a node's part of them. Present:
	// replaces that. An empty list: nothing. Routes that would cut off the node
	// itself are refused whatever stands here. Changing it resets no session.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Allow *[]ImportRule `json:"allow,omitempty"`

	// maxPrefixes is how many prefixes of each family the router may tell us, 1 to
	// 2147483647; what the import rules refuse counts as well. Absent: any number.
	// Changing it resets no session unless the router is over it and
	// maxPrefixesAction is Shutdown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	MaxPrefixes *int32 `json:"maxPrefixes,omitempty"`

	// maxPrefixesAction is what happens when the router tells us more than
	// maxPrefixes, default Warn. Warn: the status and an Event say so. Shutdown:
	// the session ends with Cease, Maximum Number of Prefixes Reached (RFC 4486,
	// section 4). Changing it resets no session unless the router is over
	// maxPrefixes.
	//
	// +optional
	// +kubebuilder:default=Warn
	MaxPrefixesAction MaxPrefixesAction `json:"maxPrefixesAction,omitempty"`

	// maxPrefixesRestartSeconds is how long, in seconds after a session ended for
	// maxPrefixes, until it is tried again, 1 to 65535. Absent: it stays down
	// until maxPrefixes is changed or adminState is Down and Up again. Changing it
	// resets no session.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	MaxPrefixesRestartSeconds *int32 `json:"maxPrefixesRestartSeconds,omitempty"`

	// localPref is the degree of preference of what the router tells us (RFC 4271,
	// section 5.1.5), 1 to 4294967295, where a higher one wins. Absent: what an
	// internal router says, and 100 for an external one. What an external one
	// marks with GRACEFUL_SHUTDOWN (RFC 8326) has 1. Changing it resets none.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	LocalPref *int64 `json:"localPref,omitempty"`
}

// MaxPrefixesAction is what happens when a router tells more prefixes than it
// may.
//
// +kubebuilder:validation:Enum=Warn;Shutdown
type MaxPrefixesAction string

// The actions.
const (
	// MaxPrefixesWarn says so and goes on.
	MaxPrefixesWarn MaxPrefixesAction = "Warn"
	// MaxPrefixesShutdown ends the session.
	MaxPrefixesShutdown MaxPrefixesAction = "Shutdown"
)

// ImportRule accepts prefixes inside a prefix, by their length. With neither
// minLength nor maxLength it accepts the prefix itself and nothing else, as
// routers' prefix lists do.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minLength) || !isCIDR(self.prefix) || self.minLength >= cidr(self.prefix).prefixLength()",fieldPath=".minLength",message="minLength must not be shorter than the prefix: write at least the prefix's own length"
// +kubebuilder:validation:XValidation:rule="!has(self.maxLength) || !isCIDR(self.prefix) || self.maxLength >= cidr(self.prefix).prefixLength()",fieldPath=".maxLength",message="maxLength must not be shorter than the prefix: write at least the prefix's own length"
// +kubebuilder:validation:XValidation:rule="!has(self.minLength) || !isCIDR(self.prefix) || cidr(self.prefix).ip().family() == 6 || self.minLength <= 32",fieldPath=".minLength",message="minLength must be at most 32 for an IPv4 prefix: write a length from the prefix's own to 32"
// +kubebuilder:validation:XValidation:rule="!has(self.maxLength) || !isCIDR(self.prefix) || cidr(self.prefix).ip().family() == 6 || self.maxLength <= 32",fieldPath=".maxLength",message="maxLength must be at most 32 for an IPv4 prefix: write a length from the prefix's own to 32"
// +kubebuilder:validation:XValidation:rule="!has(self.minLength) || !has(self.maxLength) || self.minLength <= self.maxLength",fieldPath=".minLength",message="minLength must not be greater than maxLength: write the shorter of the two lengths as minLength"
type ImportRule struct {
	// prefix that accepted prefixes are equal to or inside of, written without
	// host bits.
	//
	// +required
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	Prefix string `json:"prefix"`

	// minLength is the shortest length accepted, in bits, from the prefix's own
	// length to 32 or 128. Absent: the prefix's own length.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=128
	MinLength *int32 `json:"minLength,omitempty"`

	// maxLength is the greatest length accepted, in bits, from the prefix's own
	// length to 32 or 128. Absent: with minLength 32 or 128, without it the
	// prefix's own length.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=128
	MaxLength *int32 `json:"maxLength,omitempty"`
}
