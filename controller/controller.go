// Package controller is the loop that ties Fairway together: what a [Source] says becomes a
// plan, the plan becomes the state of a [Speaker], and what the speaker learns becomes
// routes in the kernel.
//
// It keeps two promises. One goroutine changes the speaker ([Loop]), one the kernel's routes
// ([Forwarder]) and one its filter ([Refuser]). And nothing of an earlier process is deleted from the kernel until
// the picture is complete, which only this package decides.
package controller

import (
	"context"
	"net/netip"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/routes"
)

// Source is where the configuration comes from.
type Source interface {
	// Changed is readable when Snapshot may return something new.
	Changed() <-chan struct{}
	// Snapshot returns the newest complete snapshot, nil until there was one, and the state
	// of the source. An unreadable source keeps its last snapshot.
	Snapshot() (*snapshot.Snapshot, report.Source)
}

// Host knows the facts of this node.
type Host interface {
	// Changed is readable when Local may return something new.
	Changed() <-chan struct{}
	// Local returns the facts, with those that are asked for.
	Local(ctx context.Context, needs plan.Needs) (plan.Local, error)
}

// Speaker speaks BGP.
type Speaker interface {
	// Apply makes the speaker hold exactly want, and goes on past what fails.
	Apply(ctx context.Context, want bgp.Desired) error
	Sessions(ctx context.Context) ([]bgp.Session, error)
	// SessionEvents is readable after a session changed its state, or somebody called.
	SessionEvents() <-chan struct{}
	// Callers returns who has connected since it was last asked, from what is listened for, and is no peer.
	Callers() []netip.Addr
	// Loops returns what these sessions tell that is refused for our own AS number, and is not ours.
	Loops(ctx context.Context, sessions []bgp.Session, ours func(netip.Prefix) bool) ([]bgp.Loops, error)
}

// RIB is what the speaker has learned.
type RIB interface {
	// Queue holds what changed since it was last taken.
	Queue() *bgp.RIBQueue
	// RIB returns all learned prefixes with their best paths, or an error, never a part.
	RIB(ctx context.Context) ([]bgp.RIBChange, error)
	// Rankings returns all paths of the prefixes, the best first, or an error, never a part.
	Rankings(ctx context.Context, prefixes []netip.Prefix) ([]bgp.Ranking, error)
}

// Kernel knows the routes that others have put into the kernel.
type Kernel interface {
	// Follow returns the routes of others that lead to the addresses; an address to which none
	// leads is left out. From then on Moved tells of changes of them.
	Follow(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]routes.Route, error)
	// Moved is readable when what Follow returns may have changed.
	Moved() <-chan struct{}
	// Drift is readable when our own routes may have been changed by somebody else.
	Drift() <-chan struct{}
}

// Prober asks this node, again and again, what the gate has to know.
type Prober interface {
	// Ask says what is to be asked from now on.
	Ask(q Questions)
	// Changed is readable after an answer changed.
	Changed() <-chan struct{}
	// Answers returns the newest answers to what is asked now.
	Answers() Answers
}

// Questions are probes, healthCheckNodePorts with the addresses that they may be open on, and
// whether it matters what kube-proxy knows.
type Questions struct {
	Probes    []v1alpha1.ReadinessProbe
	Ports     []uint16 // sorted
	Addresses []netip.Addr
	KubeProxy bool
}

// Answers are those that are known.
type Answers struct {
	Probes map[string]Answer // by name
	Ports  map[uint16]bool   // those that say that an endpoint is served here
	// PodsUnknown: a kube-proxy on this node says of itself that it does not know the pods' networks;
	// false where it is not asked.
	PodsUnknown bool
}

// Answer is that of a probe.
type Answer struct {
	Good  bool
	Words string // what was answered
}

// Filter refuses packets.
type Filter interface {
	// Set has it refuse exactly what is forwarded to the prefixes. It may be called again with the same.
	Set(ctx context.Context, prefixes []netip.Prefix) error
}

// Reporter shows reports to somebody. Report never blocks.
type Reporter interface {
	Report(r *report.Report)
}

// Memory keeps a value for the next process.
type Memory[T any] interface {
	// Load returns what a process before this one has kept; the zero value where that is not known. Of this
	// boot: the kernel holds what it held then, but for what has been changed since.
	Load() (value T, thisBoot bool)
	// Store returns when another process would read the value.
	Store(value T) error
}
