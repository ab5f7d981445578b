package v1alpha1

// IPFamily is a version of the Internet Protocol.
//
// +kubebuilder:validation:Enum=IPv4;IPv6
type IPFamily string

// The versions of the Internet Protocol.
const (
	IPv4 IPFamily = "IPv4"
	IPv6 IPFamily = "IPv6"
)

// DefaultGateway names routers by the node's default routes.
type DefaultGateway struct {
	// family of the default routes. Changing it ends the sessions with the
	// gateways of the old family and opens those with the new one's.
	//
	// +required
	Family IPFamily `json:"family"`
}

// AddPaths exchanges several paths to one prefix (RFC 7911).
type AddPaths struct {
	// receive says whether we ask the router for several paths (RFC 7911, section
	// 4), default false. All of them are learned, and those that are equally good
	// share the traffic, up to the speaker's kernel.maxPaths. Counts of prefixes
	// that the router tells are then counts of paths, and so is maxPrefixes.
	// Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:default=false
	Receive *bool `json:"receive,omitempty"`

	// sendMax is how many paths to a prefix we tell the router at most, 0 to 16,
	// default 0: without path identifiers. A node has one path to each prefix of
	// its own, and what it passes on by fromMesh is not for such routers.
	// Changing it resets the sessions.
	//
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=16
	SendMax *int32 `json:"sendMax,omitempty"`
}

// AdminState says whether sessions should be up.
//
// +kubebuilder:validation:Enum=Up;Down
type AdminState string

// The administrative states.
const (
	AdminUp   AdminState = "Up"
	AdminDown AdminState = "Down"
)

// ASNType is a kind of autonomous system number.
//
// +kubebuilder:validation:Enum=External;Internal
type ASNType string

// The kinds of autonomous system numbers.
const (
	// ASNExternal is any number but the node's own.
	ASNExternal ASNType = "External"
	// ASNInternal is the node's own number.
	ASNInternal ASNType = "Internal"
)

// PeerTimers are the timers of a session.
//
// +kubebuilder:validation:XValidation:rule="!has(self.keepaliveTimeSeconds) || self.keepaliveTimeSeconds * 3 <= (has(self.holdTimeSeconds) ? self.holdTimeSeconds : 90)",fieldPath=".keepaliveTimeSeconds",message="keepaliveTimeSeconds must be at most a third of holdTimeSeconds: write less, or leave it out to get a third"
type PeerTimers struct {
	// holdTimeSeconds is the hold time proposed in OPEN (RFC 4271, section 4.2),
	// in seconds, 3 to 65535, default 90; the smaller of the two sides' counts. 0
	// (no keepalives) is refused: GoBGP v3 cannot hold such a session. A change
	// takes effect when a session next comes up and resets none.
	//
	// +optional
	// +kubebuilder:default=90
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self >= 3",message="must be 3 to 65535: 0 (no keepalives) is refused because GoBGP v3 cannot hold such a session; write 90"
	HoldTimeSeconds *int32 `json:"holdTimeSeconds,omitempty"`

	// keepaliveTimeSeconds is the time between KEEPALIVE messages (RFC 4271,
	// section 4.4), in seconds, at least 1 and at most a third of holdTimeSeconds.
	// Absent: a third of the hold time that the two sides agree on. A change takes
	// effect when a session next comes up and resets none.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=21845
	KeepaliveTimeSeconds *int32 `json:"keepaliveTimeSeconds,omitempty"`

	// connectRetrySeconds is the time between attempts to connect (RFC 4271,
	// section 8), in seconds, 1 to 65535, default 5. Changing it resets no
	// session.
	//
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ConnectRetrySeconds *int32 `json:"connectRetrySeconds,omitempty"`
}

// PeerGracefulRestart is graceful restart with one router.
type PeerGracefulRestart struct {
	// enabled says whether graceful restart is offered to this router (RFC 4724,
	// section 3), default true. It can switch off what the BGPSpeaker has switched
	// on, not the other way round. Changing it resets the sessions, unless the
	// BGPSpeaker has switched it off.
	//
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`
}
