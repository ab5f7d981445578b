package v1alpha1

// SecretReference names a Secret in the agent's own namespace.
type SecretReference struct {
	// name of the Secret, in the namespace that the agent runs in. Its key
	// "password" holds 1 to 80 bytes (TCP MD5, RFC 2385). While the Secret or the
	// key is missing the session stays down and its status says so. Changing the
	// name or what the Secret holds resets the sessions that use it.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Family is an address family with SAFI unicast (RFC 4760).
//
// +kubebuilder:validation:Enum=IPv4Unicast;IPv6Unicast
type Family string

// The families that Fairway speaks.
const (
	IPv4Unicast Family = "IPv4Unicast"
	IPv6Unicast Family = "IPv6Unicast"
)

// BFD says how the path to the other side is watched (RFC 5880). Its presence
// switches BFD on; the session ends when the other side falls silent.
type BFD struct {
	// receiveIntervalMilliseconds is the least time between two packets that we
	// accept, in milliseconds (RFC 5880, section 6.8.1,
	// bfd.RequiredMinRxInterval), 50 to 60000, default 300. Changing it resets no
	// session.
	//
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=50
	// +kubebuilder:validation:Maximum=60000
	ReceiveIntervalMilliseconds *int32 `json:"receiveIntervalMilliseconds,omitempty"`

	// transmitIntervalMilliseconds is the least time between two packets that we
	// send, in milliseconds (RFC 5880, section 6.8.1, bfd.DesiredMinTxInterval),
	// 50 to 60000, default 300; while a session is not up it is at least a second.
	// Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=50
	// +kubebuilder:validation:Maximum=60000
	TransmitIntervalMilliseconds *int32 `json:"transmitIntervalMilliseconds,omitempty"`

	// detectMultiplier is how many packets in a row may be missing before the
	// other side counts as down (RFC 5880, section 6.8.1, bfd.DetectMult), 2 to
	// 255, default 3. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=255
	DetectMultiplier *int32 `json:"detectMultiplier,omitempty"`
}
