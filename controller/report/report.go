// Package report holds what is so on this node, as plain values, and the pure functions
// that turn it into the status of API objects. One report has several views: the node's
// BGPNodeState, the metrics and the probes never disagree, because they show the same one.
package report

import (
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/routes"
)

// Report is what is so at one moment.
type Report struct {
	Node    string
	Version string
	Time    time.Time

	Source  Source
	Plans   Plans
	Speaker Speaker
	// Complete reports whether everything that an earlier process may have learned has been
	// learned again, so that kernel routes without a path may be deleted.
	Complete bool
	Sessions []Session
	Routes   routes.State
	// RoutesSynced reports whether the kernel has been compared with what is wanted at least once.
	RoutesSynced bool
	// Sysctls are settings of the kernel that are not as they should be.
	Sysctls []Sysctl

	Advertisements []Advertised // what each BGPAdvertisement says here; sorted
	// Waiting counts prefixes of Services that are not announced yet, by reason.
	Waiting map[string]int

	Problems []Problem       // what is not done and why; sorted, unbounded
	Verdicts []Verdict       // one for each configuration object that concerns this node
	Refused  []RefusedPrefix // learned prefixes that stay out of the kernel; sorted, bounded
	Refusals map[Refusal]int // how many learned prefixes, by peer and reason
}

// Source is the state of where the configuration comes from.
type Source struct {
	Synced bool
	Error  string    // why it cannot be read now; "" when it can
	Since  time.Time // since when that is so
	// Failures counts the requests that failed since the agent's start.
	Failures uint64
}

// Plans are those made since the agent's start.
type Plans struct {
	Made uint64
	// Took is the time of all of them, each from when the news was taken until the speaker
	// held what was planned.
	Took time.Duration
}

// Speaker is the state of the BGP speaker.
type Speaker struct {
	Name    string // of the BGPSpeaker
	Running bool
	Config  bgp.Config // zero unless Running
	Error   string     // what could not be applied; "" when everything was
}

// Advertised is what became of the prefixes that one field of a BGPAdvertisement asks for.
type Advertised struct {
	Name       string
	Source     v1alpha1.AdvertisedSource
	Advertised int // told to at least one peer
	Down       int // meant for peers whose sessions are all down
	// Rejected counts the prefixes that a mistake keeps from being told, by reason.
	Rejected map[string]int
}

// Sysctl is a setting of the kernel that is not as it should be.
type Sysctl struct {
	Required bool   // without it nothing of its family is advertised
	Text     string // names it, its value, what it should be and why
}

// Session is one session and the object it belongs to.
type Session struct {
	bgp.Session
	Object string // name of the BGPPeer, or "mesh/node"
}

// ReasonMaxPrefixes is that of a Problem: a router tells more prefixes than its BGPPeer says.
const ReasonMaxPrefixes = "MaxPrefixesExceeded"

// ReasonAddPathsRefused is that of a Problem: a router lacks what addPaths asks of it.
const ReasonAddPathsRefused = "AddPathsRefused"

// Problem is one thing that is not done, and why.
type Problem struct {
	Kind, Name string
	Subject    string
	Reason     string
	Message    string
}

// Verdict tells whether an object is usable on this node.
type Verdict struct {
	Kind, Name string
	Generation int64
	Accepted   bool
	Reason     string
	Message    string
}

// RefusedPrefix is one learned prefix that stays out of the kernel.
type RefusedPrefix struct {
	Prefix, Peer, Reason, Message string
}

// Refusal is what refused prefixes are counted by.
type Refusal struct {
	Peer, Reason string
}
