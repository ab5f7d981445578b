package kube

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Between attempts there is a pause that doubles from first to last, more or less by half, and
// is the first again when the trouble is another one: an API server that begins to answer
// refuses for a moment what it will soon allow.
const (
	firstPause = time.Second
	lastPause  = 10 * time.Second
	// lastKnock is the last pause while the API server is away. Only one watch of the agent knocks
	// at a time then, so it may be short: after an outage all is read again within seconds.
	lastKnock = 3 * time.Second
	// absentPause is the last pause for a kind that this API server may well never have.
	absentPause = 5 * time.Minute
)

// resource is what a watch is about.
type resource struct {
	name string // as URLs have it
	one  string // of a single object that is watched by its name
	ours bool   // of the group bgp.fairway.dev
}

// String returns "nodes", or "secrets/NAME".
func (r resource) String() string {
	if r.one != "" {
		return r.name + "/" + r.one
	}
	return r.name
}

// lister is the part of a typed client that reads.
type lister[L runtime.Object] interface {
	List(ctx context.Context, opts metav1.ListOptions) (L, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// watched is one kind of object, or one object, that is followed.
type watched struct {
	resource
	// optional reports whether the source is complete without it, where the API server does
	// not have it or does not show it.
	optional bool
	selector string // of fields
	labels   string // a selector of them
	example  runtime.Object
	list     func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch    func(context.Context, metav1.ListOptions) (watch.Interface, error)
	store    cache.ReflectorStore

	// Guarded by the reader's mutex.
	seen    bool // all objects at least once
	idle    bool // it is not needed now, and does not run
	trouble trouble
}

// reader is who watches. It takes in what its watches say, from several goroutines.
type reader interface {
	// apply makes one change of what the reader holds.
	apply(w *watched, change func() (changed bool))
	// note takes in how a request went. It returns the trouble, and what is closed when the
	// API server answers again.
	note(w *watched, err error) (trouble, <-chan struct{})
	knock(ctx context.Context, pause time.Duration, back <-chan struct{})
}

// door lets one watch of a reader at a time knock at an API server that is away.
type door chan struct{}

// newWatched makes a watch whose objects are converted on arrival: nothing else of them is
// kept. convert returns false for objects that are of no use.
func newWatched[L runtime.Object, O metav1.Object, V any](r reader, of resource, client lister[L], into *collection[V], convert func(O) (V, bool)) *watched {
	w := &watched{
		resource: of,
		list:     func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		watch:    client.Watch,
	}
	w.store = &store[O, V]{reader: r, watched: w, into: into, convert: convert}
	var zero O
	w.example, _ = any(zero).(runtime.Object) // only its type counts
	return w
}

// run follows the objects until the context ends. No error ends it.
func (w *watched) run(ctx context.Context, r reader) {
	reflector := cache.NewReflectorWithOptions(w.persistent(r), w.example, w.store, cache.ReflectorOptions{Name: w.resource.String()})
	// A connection that breaks is no reason to read everything anew.
	reflector.MaxInternalErrorRetryDuration = time.Minute
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		// It returns when it has to begin anew: its requests are repeated within.
		_ = reflector.ListAndWatchWithContext(ctx)
		if time.Since(began) > time.Minute {
			pause = firstPause
		}
		sleep(ctx, jittered(pause))
		pause = min(2*pause, lastPause)
	}
}

// persistent makes requests that are repeated until the API server answers them. Left to
// itself the reflector would pause for up to a minute, and not end with its context.
func (w *watched) persistent(r reader) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector, o.LabelSelector = w.selector, w.labels
			return attempt(ctx, r, w, func() (runtime.Object, error) { return w.list(ctx, o) })
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector, o.LabelSelector = w.selector, w.labels
			return attempt(ctx, r, w, func() (watch.Interface, error) { return w.watch(ctx, o) })
		},
	}
}

func attempt[T any](ctx context.Context, r reader, w *watched, request func() (T, error)) (T, error) {
	pause, last := firstPause, fine
	for ; ; pause *= 2 {
		answer, err := request()
		if err == nil {
			r.note(w, nil)
			return answer, nil
		}
		if ctx.Err() != nil || forReflector(err) {
			return answer, err
		}
		t, back := r.note(w, err)
		if t.class != last {
			pause, last = firstPause, t.class
		}
		switch {
		case t.class == unreachable:
			pause = min(pause, lastKnock)
			r.knock(ctx, pause, back)
		case w.optional && (t.class == notServed || t.class == forbidden):
			pause = min(pause, absentPause)
			sleep(ctx, jittered(pause))
		default:
			pause = min(pause, lastPause)
			sleep(ctx, jittered(pause))
		}
		if ctx.Err() != nil {
			return answer, ctx.Err()
		}
	}
}

// knock waits for this watch's turn to try again, or until another has got through.
func (d door) knock(ctx context.Context, pause time.Duration, back <-chan struct{}) {
	select {
	case <-ctx.Done():
		return
	case <-back:
		return
	case d <- struct{}{}:
	}
	defer func() { <-d }()
	timer := time.NewTimer(jittered(pause))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-back:
	case <-timer.C:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// jittered keeps the agents of a cluster from asking in step.
func jittered(d time.Duration) time.Duration {
	return d/2 + rand.N(d) //nolint:gosec // no secret depends on it
}

// store is what a reflector fills: it converts, and puts into a collection of its reader.
type store[O metav1.Object, V any] struct {
	reader  reader
	watched *watched
	into    *collection[V]
	convert func(O) (V, bool)
}

// Transformer has the reflector hold no more than what is kept while it gathers the initial state.
func (st *store[O, V]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return st.converted(obj) }
}

func (st *store[O, V]) Add(obj any) error    { return st.put(obj) }
func (st *store[O, V]) Update(obj any) error { return st.put(obj) }
func (st *store[O, V]) Resync() error        { return nil }

func (st *store[O, V]) put(obj any) error {
	c, err := st.converted(obj)
	if err != nil {
		return err
	}
	st.reader.apply(st.watched, func() bool {
		if !c.use {
			return st.into.drop(c.key)
		}
		return st.into.put(c.key, c.value)
	})
	return nil
}

// converted returns what is kept of an object, which may have been converted on its way.
func (st *store[O, V]) converted(obj any) (converted[V], error) {
	if c, done := obj.(converted[V]); done {
		return c, nil
	}
	o, err := st.typed(obj)
	if err != nil {
		return converted[V]{}, err
	}
	value, use := st.convert(o)
	return converted[V]{keyOf(o), value, use}, nil
}

func (st *store[O, V]) Delete(obj any) error {
	o, err := st.typed(obj)
	if err != nil {
		return err
	}
	st.reader.apply(st.watched, func() bool { return st.into.drop(keyOf(o)) })
	return nil
}

// Replace is called with all objects there are.
func (st *store[O, V]) Replace(list []any, _ string) error {
	next := make(map[string]V, len(list))
	for _, obj := range list {
		c, err := st.converted(obj)
		if err != nil {
			return err
		}
		if c.use {
			next[c.key] = c.value
		}
	}
	st.reader.apply(st.watched, func() bool {
		changed := !st.watched.seen
		st.watched.seen = true
		return st.replace(next) || changed
	})
	return nil
}

// replace makes the collection hold next. A single object shares it with others of its kind.
func (st *store[O, V]) replace(next map[string]V) bool {
	if st.watched.one == "" {
		return st.into.replace(next)
	}
	value, exists := next[st.watched.one]
	if !exists {
		return st.into.drop(st.watched.one)
	}
	return st.into.put(st.watched.one, value)
}

var errType = errors.New("an object is not of the kind that was asked for")

func (st *store[O, V]) typed(obj any) (O, error) {
	o, ok := obj.(O)
	if !ok {
		return o, fmt.Errorf("%s: %w: %T", st.watched, errType, obj)
	}
	return o, nil
}

// keyOf returns the key in a snapshot: namespace/name for Services and EndpointSlices, else the name.
func keyOf(o metav1.Object) string {
	switch o.(type) {
	case *corev1.Service, *discoveryv1.EndpointSlice:
		return o.GetNamespace() + "/" + o.GetName()
	}
	return o.GetName()
}
