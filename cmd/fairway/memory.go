package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much garbage the agent lets gather, in percent of what it uses. Half of
// Go's default: on a node memory is dearer than the little time that this costs, as a
// changed Service leaves little garbage.
const gcPercent = 50

// tuneMemory sets that, unless the environment (GOGC) says otherwise. GOMEMLIMIT counts as ever.
func tuneMemory() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
}
