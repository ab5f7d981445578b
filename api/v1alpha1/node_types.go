package v1alpha1

// Drain says when a node drains: it marks what it announces with
// GRACEFUL_SHUTDOWN (RFC 8326), waits, and then withdraws its addresses of
// Services.
type Drain struct {
	// onExcludeLabel drains a node that has the label
	// node.kubernetes.io/exclude-from-external-load-balancers, default true.
	// Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=true
	OnExcludeLabel *bool `json:"onExcludeLabel,omitempty"`

	// onUnschedulable drains a node that is cordoned (spec.unschedulable), default
	// false. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=false
	OnUnschedulable *bool `json:"onUnschedulable,omitempty"`

	// onTaints drains a node that has a taint with one of these keys, whatever its
	// value and effect, at most 16. Absent: none. Changing it resets no session.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=317
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`
	OnTaints []string `json:"onTaints,omitempty"`

	// gracefulShutdownSeconds is how long, in seconds, routes stay announced with
	// the community GRACEFUL_SHUTDOWN before they are withdrawn (RFC 8326, section
	// 4), 0 to 3600, default 30. 0: they are withdrawn at once. Changing it resets
	// no session.
	//
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	GracefulShutdownSeconds *int32 `json:"gracefulShutdownSeconds,omitempty"`
}

// Readiness says what a node waits for before it announces addresses of
// Services. Whatever it says, a node waits until the kernel has the routes that
// the agent knows of, and, for load balancer IPs and external IPs of a Service
// with externalTrafficPolicy Local, until the service proxy answers with 200 on
// the Service's healthCheckNodePort. Pod CIDRs do not wait.
type Readiness struct {
	// dataplaneDelayMilliseconds is how long, in milliseconds after a node becomes
	// able to serve an address of a Service, it waits before it announces it, so
	// that the service proxy can program it, 0 to 60000, default 0. Withdrawing
	// does not wait, except while an endpoint here that is about to end serves
	// on: until others elsewhere have been ready for as long and two seconds.
	// Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=60000
	DataplaneDelayMilliseconds *int32 `json:"dataplaneDelayMilliseconds,omitempty"`

	// probes must all succeed before the node announces any address of a Service,
	// and while it does; at most 8. They are asked every second. When one fails,
	// all addresses of Services are withdrawn at once; one that does not answer
	// within a second fails the third time in a row. Absent: none. Changing it
	// resets no session.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Probes []ReadinessProbe `json:"probes,omitempty"`
}

// ReadinessProbe asks a node whether its service proxy works.
//
// +kubebuilder:validation:XValidation:rule="has(self.http) != has(self.file)",message="exactly one of http and file must be set: write http with the port that answers, or file with the path that must exist"
type ReadinessProbe struct {
	// name of the probe in messages, a DNS label.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// http succeeds when a GET is answered with a status from 200 to 399. It
	// follows no redirect.
	//
	// +optional
	HTTP *HTTPProbe `json:"http,omitempty"`

	// file succeeds while a file exists.
	//
	// +optional
	File *FileProbe `json:"file,omitempty"`
}

// HTTPProbe is an HTTP GET from the node's own network namespace.
type HTTPProbe struct {
	// address to ask, an IP address of the node itself, default 127.0.0.1.
	//
	// +optional
	// +kubebuilder:default="127.0.0.1"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address without a zone: write it such as 192.0.2.1 or 2001:db8::1"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLinkLocalUnicast() || ip(self).isLoopback()",message="must be an address of the node: write a unicast address such as 127.0.0.1 or ::1"
	Address string `json:"address,omitempty"`

	// port to ask, 1 to 65535, such as 10256 of kube-proxy.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`

	// path to ask for, default "/healthz".
	//
	// +optional
	// +kubebuilder:default="/healthz"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="must begin with /: write it such as /healthz"
	Path string `json:"path,omitempty"`
}

// FileProbe looks for a file.
type FileProbe struct {
	// path of the file as the agent sees it: absolute, without empty parts, "."
	// and "..". The agent's container must have the folder mounted.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/[^/]+)+$') && !self.matches('/[.][.]?(/|$)')",message="must be an absolute path without empty parts, . and ..: write it such as /var/run/dataplane/ready"
	Path string `json:"path"`
}

// BMPPolicy says which routes a BMP station hears.
//
// +kubebuilder:validation:Enum=PrePolicy;PostPolicy;Both;LocalRIB;All
type BMPPolicy string

// The routes that a BMP station can hear.
const (
	// BMPPrePolicy is what peers say (RFC 7854, section 5).
	BMPPrePolicy BMPPolicy = "PrePolicy"
	// BMPPostPolicy is what of it the import rules let in (RFC 7854, section 5).
	BMPPostPolicy BMPPolicy = "PostPolicy"
	// BMPBoth is PrePolicy and PostPolicy.
	BMPBoth BMPPolicy = "Both"
	// BMPLocalRIB is what is chosen from it (RFC 9069).
	BMPLocalRIB BMPPolicy = "LocalRIB"
	// BMPAll is PrePolicy, PostPolicy and LocalRIB.
	BMPAll BMPPolicy = "All"
)

// BMPStation is a collector that hears what the nodes hear (RFC 7854).
type BMPStation struct {
	// address of the station, an IP address.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IP address without a zone: write it such as 192.0.2.1 or 2001:db8::1"
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLoopback()",message="must be the address of one station: write a unicast address such as 192.0.2.1 or 2001:db8::1"
	Address string `json:"address"`

	// port on which the station listens, 1 to 65535, default 11019.
	//
	// +optional
	// +kubebuilder:default=11019
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// policy is which routes the station hears, default PrePolicy. PrePolicy: what
	// peers say. PostPolicy: what of it the import rules let in. Both: these two.
	// LocalRIB: what is chosen from it (RFC 9069). All: everything. Changing it
	// resets no BGP session.
	//
	// +optional
	// +kubebuilder:default=PrePolicy
	Policy BMPPolicy `json:"policy,omitempty"`
}

// CNI says how Fairway connects the pods of a node.
type CNI struct {
	// enabled writes a CNI configuration that connects pods with the plugins
	// bridge and host-local inside the node's pod CIDRs, default false. Pods that
	// run keep what they have. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:default=false
	Enabled *bool `json:"enabled,omitempty"`

	// installPlugins copies the plugins' programs to the node where they are
	// missing, default false. It counts while enabled is true. Changing it resets
	// no session.
	//
	// +optional
	// +kubebuilder:default=false
	InstallPlugins *bool `json:"installPlugins,omitempty"`

	// mtu of the pods' interfaces, in bytes, 1280 (the least that IPv6 allows, RFC
	// 8200, section 5) to 65535. Absent: that of the node's uplink. It counts for
	// pods that start after the change. Changing it resets no session.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1280
	// +kubebuilder:validation:Maximum=65535
	MTU *int32 `json:"mtu,omitempty"`

	// masquerade gives traffic from pods to destinations outside
	// nonMasqueradeCIDRs the node's own source address, default false. Changing it
	// resets no session.
	//
	// +optional
	// +kubebuilder:default=false
	Masquerade *bool `json:"masquerade,omitempty"`

	// nonMasqueradeCIDRs are destinations that see the pods' own addresses,
	// written without host bits, at least one. Absent: the cluster's ranges of
	// spec.cluster. Present: replaces those. Changing it resets no session.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",message="must have at least one entry: write one, or leave the field out"
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="must have no host bits: write the network's first address, such as 10.244.0.0/16 in place of 10.244.1.5/16"
	NonMasqueradeCIDRs []string `json:"nonMasqueradeCIDRs,omitempty"`
}
