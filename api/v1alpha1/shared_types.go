package v1alpha1

// SecretReference names a Secret in the agent's own namespace.
type SecretReference struct {
	// name of the Secret, in the namespace that the agent runs in. Its key "password"
	// holds 1 to 80 bytes (TCP MD5, RFC 2385). While the Secret or the key is missing
	// the session stays down and its status says so. Changing the name or what the
	// Secret holds resets the sessions that use it.
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
