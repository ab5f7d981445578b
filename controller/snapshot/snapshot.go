// Package snapshot is the part of Kubernetes that Fairway sees: input types trimmed to
// what the plan uses, and pure converters from the API's objects to them.
//
// A Snapshot is immutable once it is handed out; a source makes a new one for every change
// and may share unchanged parts between them.
package snapshot

import (
	"net/netip"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/cow"
)

// Snapshot is all that a source knows at one moment.
type Snapshot struct {
	// Nodes by name, this agent's own among them.
	Nodes map[string]*Node
	// Services by namespace/name.
	Services Services
	// Slices by namespace/name.
	Slices cow.Map[string, *EndpointSlice]
	// Namespaces by name; none where nothing chooses by them.
	Namespaces map[string]*Namespace
	// ServiceCIDRs of the cluster, from ServiceCIDR objects.
	ServiceCIDRs []netip.Prefix
	// APIServers are the addresses of the API servers: those of the endpoints of their Service,
	// and where the source reaches one, if that is an address and not a name. Sorted, each once.
	APIServers []netip.Addr

	Speakers       map[string]*v1alpha1.BGPSpeaker
	Peers          map[string]*v1alpha1.BGPPeer
	Advertisements map[string]*v1alpha1.BGPAdvertisement

	// Unreadable are objects of our kinds of which the source could not make anything, as no API
	// server has validated them; sorted. Where they could be read earlier, that form stands above.
	Unreadable []Unreadable

	// Fallback holds objects as they were last valid before this process began, for those
	// that are invalid now; nil where the source keeps no such copies.
	Fallback *Snapshot

	// Passwords of Secrets in the agent's namespace, by Secret name. A Secret that does not
	// exist has no entry; one without a usable key has an entry with Problem set.
	Passwords map[string]Password
}

// Services are Services by namespace/name.
type Services = cow.Map[string, *Service]

// Unreadable is an object that could not be read, and why, in words.
type Unreadable struct {
	Kind, Name, Message string
}

// Password is what a Secret holds for a session.
type Password struct {
	Value   bgp.Secret
	Problem string // why Value cannot be used, in words; "" when it can
}

// Node is a Node, trimmed.
type Node struct {
	Name        string
	Created     time.Time
	Labels      Labels
	Annotations map[string]string // only those under bgp.fairway.dev/
	Addresses   []netip.Addr      // type InternalIP, in the order of the object
	PodCIDRs    []netip.Prefix    // masked
	// Problems are the parts of the object that could not be read, in words.
	Problems []string
}
