package routes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// FIB is the kernel as Table needs it.
type FIB interface {
	// Dump returns every route with our protocol number, in all tables. After an error
	// the routes say nothing.
	Dump(ctx context.Context) ([]Route, error)
	// Apply carries out the ops in order, in batches, and goes on past those that fail. It
	// returns one result per op, nil for done; a *TakenError for an Add whose key is held,
	// ErrVanished for a Replace or Delete that found nothing of ours.
	Apply(ctx context.Context, ops []Op) []error
	// Find returns those of our routes that the kernel shows at these keys. What is not among
	// them is unknown: there may be nothing, or something that it does not tell of.
	Find(ctx context.Context, keys []Key) []Route
}

// Change is the newest wish for one key.
type Change struct {
	Key   Key    // Route's own key counts where Route is given
	Route *Route // nil: no longer wanted
}

// Table holds what is wanted and makes the kernel hold it. It is the only wanted map.
//
// All methods may be called from any goroutine; one at a time works, the others wait.
type Table struct {
	fib FIB
	now func() time.Time

	mu       sync.Mutex
	ways     ways // of wanted and held
	wanted   book
	complete bool // of the last Desired

	looked bool // held is what the kernel said, not merely empty
	held   book // ours in the kernel, as last seen or put there

	// withdrawn are held keys whose route was wanted in this process and then withdrawn one
	// by one: that is news from a peer, not a gap in our picture, so they go at once.
	withdrawn map[Key]struct{}
	// dropped are held keys that were wanted in this process but missing from a later,
	// incomplete Desired. They stay until it is complete or they are withdrawn.
	dropped map[Key]struct{}

	failed map[Key]Failure // wanted and not in place, or withdrawn and still there

	contests map[Key]*contest // where somebody undid what was put here

	suspects suspects
}

// NewTable returns a table that wants nothing yet, and does not hold that to be complete.
// It tells time by now, which must be monotonic.
func NewTable(fib FIB, now func() time.Time) *Table {
	return &Table{
		fib:       fib,
		now:       now,
		contests:  map[Key]*contest{},
		wanted:    book{},
		held:      book{},
		withdrawn: map[Key]struct{}{},
		dropped:   map[Key]struct{}{},
		failed:    map[Key]Failure{},
	}
}

// Update takes the newest wish for each changed key (the last of several counts) and
// carries it out. Its cost grows with the number of changes: it trusts what was last seen
// in the kernel, and reads it only when that was never done.
//
// A nil Route deletes at once when that key was wanted before in this process, even while
// the last Desired was incomplete; otherwise only once it was complete.
func (t *Table) Update(ctx context.Context, changed []Change) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := t.accept(changed)
	if !t.looked {
		if err := t.look(ctx); err != nil {
			return t.failAll(keys, err)
		}
	}
	return t.carryOut(ctx, keys)
}

// Reconcile makes the kernel hold exactly want: it reads the kernel, compares everything,
// adds before it deletes, goes on past routes that fail, and returns all failures joined.
// While want is not complete it deletes nothing, but for a route that was withdrawn by
// Update and could not be deleted then.
func (t *Table) Reconcile(ctx context.Context, want Desired) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.adopt(want)
	return t.repair(ctx)
}

// Complete says that what is wanted is all: what else was last seen of ours in the kernel is
// deleted.
func (t *Table) Complete(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.complete = true
	if !t.looked {
		return t.repair(ctx)
	}
	var keys []Key
	for key := range t.held {
		if _, wanted := t.wanted[key]; !wanted {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, Key.Compare)
	return t.carryOut(ctx, keys)
}

// Repair is Reconcile with what is wanted already: it mends what others changed in the
// kernel and tries again what failed.
func (t *Table) Repair(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.repair(ctx)
}

func (t *Table) repair(ctx context.Context) error {
	clear(t.failed) // the pass covers every key
	if err := t.look(ctx); err != nil {
		return t.failAll(union(t.wanted, t.held), err)
	}
	return t.carryOut(ctx, union(t.wanted, t.held))
}

// accept takes changes into the wanted map and returns the keys they name, sorted.
func (t *Table) accept(changed []Change) []Key {
	keys := make([]Key, 0, len(changed))
	for _, change := range changed {
		if change.Route != nil {
			route := change.Route.Normalize()
			t.want(route, t.wanted)
			keys = append(keys, route.Key)
			continue
		}
		key := change.Key.Normalize()
		t.withdraw(key)
		keys = append(keys, key)
	}
	slices.SortFunc(keys, Key.Compare)
	return slices.Compact(keys)
}

// want takes a wish; previous are those that it follows on.
func (t *Table) want(route Route, previous book) {
	way := t.ways.of(route)
	if c := t.contests[route.Key]; c != nil && !sameWay(way, previous[route.Key]) {
		c.until = time.Time{} // news is tried at once
	}
	t.wanted[route.Key] = way
	delete(t.withdrawn, route.Key)
	delete(t.dropped, route.Key)
}

func (t *Table) withdraw(key Key) {
	_, wanted := t.wanted[key]
	_, dropped := t.dropped[key]
	if wanted || dropped {
		t.withdrawn[key] = struct{}{}
	}
	delete(t.wanted, key)
	delete(t.dropped, key)
}

// adopt makes want the wanted map.
func (t *Table) adopt(want Desired) {
	previous := t.wanted
	t.wanted = make(book, len(want.Routes))
	for _, route := range want.Routes {
		t.want(route.Normalize(), previous)
	}
	for key := range previous {
		if _, still := t.wanted[key]; !still {
			t.dropped[key] = struct{}{}
		}
	}
	t.complete = want.Complete
}

// look reads what the kernel holds of ours. An error leaves what was last seen.
func (t *Table) look(ctx context.Context) error {
	suspected := t.suspects.take() // this look answers all of them
	list, err := t.fib.Dump(ctx)
	if err != nil {
		suspected.all = true
		t.suspects.add(suspected)
		return fmt.Errorf("reading the kernel's routes: %w", err)
	}
	before := t.held
	t.held, t.looked = t.ways.dumped(list), true
	t.noticeUndone(before, suspected.keys)
	for key := range t.dropped {
		if _, held := t.held[key]; !held {
			delete(t.dropped, key)
		}
	}
	for key := range t.withdrawn {
		if _, held := t.held[key]; !held {
			delete(t.withdrawn, key)
		}
	}
	return nil
}

func (t *Table) mayDelete(key Key) bool {
	_, withdrawn := t.withdrawn[key]
	return t.complete || withdrawn
}

// carryOut brings the kernel to what is wanted at the given sorted keys.
func (t *Table) carryOut(ctx context.Context, keys []Key) error {
	t.settle()
	puts, deletes := diff(keys, t.wanted, t.held, t.mayDelete)
	for _, key := range keys {
		delete(t.failed, key)
		if _, held := t.held[key]; !held {
			delete(t.withdrawn, key)
		}
	}
	again := t.run(ctx, t.patient(t.checked(puts)), corrected)
	t.run(ctx, again, nil)
	t.run(ctx, deletes, nil)
	return t.failuresAt(keys)
}

// checked records the puts that can never succeed as failed, and returns the others.
func (t *Table) checked(puts []Op) []Op {
	return slices.DeleteFunc(puts, func(op Op) bool {
		err := op.Route.Check()
		if err != nil {
			t.fail(op, err)
		}
		return err != nil
	})
}

// errNoAnswer is for a FIB that answers too little: that must not count as success.
var errNoAnswer = errors.New("no answer came")

// run applies the ops and records the results. Where correct knows a better op for a
// failure, run records nothing and returns that op instead.
func (t *Table) run(ctx context.Context, ops []Op, correct func(Op, error) (Op, bool)) (again []Op) {
	if len(ops) == 0 {
		return nil
	}
	results := t.fib.Apply(ctx, ops)
	for i, op := range ops {
		err := errNoAnswer
		if i < len(results) {
			err = results[i]
		}
		if correct != nil {
			if other, ok := correct(op, err); ok {
				again = append(again, other)
				continue
			}
		}
		t.record(op, err)
	}
	return again
}

// corrected returns what to do instead when the kernel turned out to hold something else
// than was last seen: what vanished is added, what appeared and is ours is replaced.
func corrected(op Op, err error) (Op, bool) {
	if op.Verb == Replace && errors.Is(err, ErrVanished) {
		return Op{Verb: Add, Route: op.Route}, true
	}
	if taken, ok := errors.AsType[*TakenError](err); ok && op.Verb == Add && taken.Ours {
		return Op{Verb: Replace, Route: op.Route}, true
	}
	return Op{}, false
}

// record takes the result of one op into what is known of the kernel.
func (t *Table) record(op Op, err error) {
	key := op.Route.Key
	if op.Verb != Delete {
		taken, _ := errors.AsType[*TakenError](err)
		t.judge(key, taken, err)
	}
	switch {
	case op.Verb == Delete && (err == nil || errors.Is(err, ErrVanished)):
		delete(t.held, key)
		delete(t.withdrawn, key)
		delete(t.dropped, key)
	case err == nil:
		t.held[key] = t.ways.of(op.Route)
	default:
		if op.Verb == Add || errors.Is(err, ErrVanished) {
			delete(t.held, key) // an Add that fails after a Replace found nothing
		}
		t.fail(op, err)
	}
}

func (t *Table) fail(op Op, err error) {
	t.failed[op.Route.Key] = Failure{Route: op.Route, Err: fmt.Errorf("%s %s: %w", op.Verb, op.Route, err)}
}

// failAll records, after the kernel could not be read, every key at which it is not known
// to hold what is wanted. What was last seen stays believed.
func (t *Table) failAll(keys []Key, err error) error {
	puts, deletes := diff(keys, t.wanted, t.held, t.mayDelete)
	for _, key := range keys {
		delete(t.failed, key)
	}
	for _, op := range slices.Concat(puts, deletes) {
		t.fail(op, err)
	}
	return err
}

// failuresAt joins the failures of the given keys.
func (t *Table) failuresAt(keys []Key) error {
	var list failures
	for _, key := range keys {
		if failure, ok := t.failed[key]; ok {
			list = append(list, failure)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}
