package report

import "time"

// Controller is what is so of `fairway controller` at one moment.
type Controller struct {
	Version string
	Time    time.Time
	// Leader is the identity of who leads; "" while that is not known.
	Leader  string
	Leading bool // whether it is this process
	// Turned is when the leader's loop last turned; it does so every few seconds.
	Turned time.Time
	// Source is zero while this process does not lead, as it reads nothing then.
	Source Source
	// Nodes and NodeStates count what was read, Objects the conditions of the
	// configuration objects.
	Nodes, NodeStates int
	Objects           []ObjectCondition
	// Writes and Failures count writes of status, since the start.
	Writes, Failures uint64
}

// ObjectCondition is one condition of one configuration object.
type ObjectCondition struct {
	Kind, Name, Type string
	True             bool
}
