package routes

// Verb is what an Op does to the kernel.
type Verb uint8

// The verbs. None of them touches a route that is not ours, except that the kernel cannot
// tell whose route a Replace overwrites: it is only ever chosen for what was last seen as ours.
const (
	Add     Verb = iota + 1 // create; refused where any route holds the key
	Replace                 // put in the place of ours, in one step
	Delete                  // remove ours
)

// String returns the verb as it reads at the start of an error: "adding".
func (v Verb) String() string {
	switch v {
	case Add:
		return "adding"
	case Replace:
		return "replacing"
	case Delete:
		return "deleting"
	}
	return "doing nothing to"
}

// Op is one step of the way from what the kernel holds to what is wanted.
type Op struct {
	Verb  Verb
	Route Route // what to put; for Delete, what to remove, as it was last seen
}

// Desired is the whole wanted state.
type Desired struct {
	// Routes wanted. Of several with the same key the last counts.
	Routes []Route
	// Complete reports whether Routes is all the agent wants. Until it is, as after a
	// restart while peers still send, nothing is deleted for not being in Routes.
	Complete bool
}

// Diff returns the ops that make a kernel that holds have, all of it ours, hold want: first
// the adds and replaces, then the deletes, each sorted by key. Deletes appear only when
// want is complete. It is for showing what would be done; [Table] does it.
func Diff(want Desired, have []Route) []Op {
	var w ways
	wanted, held := w.byKey(want.Routes), w.dumped(have)
	puts, deletes := diff(union(wanted, held), wanted, held, func(Key) bool { return want.Complete })
	return append(puts, deletes...)
}

// diff compares the two maps of normalized routes at the given sorted keys. It returns what
// has to be put and what has to be deleted apart, for all of the first goes before any of
// the second. mayDelete says of an unwanted key whether it may go yet.
func diff(keys []Key, wanted, held book, mayDelete func(Key) bool) (puts, deletes []Op) {
	puts = make([]Op, 0, len(keys))
	for _, key := range keys {
		want, isWanted := wanted.route(key)
		have, isHeld := held.route(key)
		switch {
		case isWanted && !isHeld:
			puts = append(puts, Op{Verb: Add, Route: want})
		case isWanted && !sameWay(wanted[key], held[key]):
			puts = append(puts, Op{Verb: Replace, Route: want})
		case !isWanted && isHeld && mayDelete(key):
			deletes = append(deletes, Op{Verb: Delete, Route: have})
		}
	}
	return puts, deletes
}
