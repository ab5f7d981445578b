package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// wire keeps what was asked for and what was heard at the router.
type wire struct {
	mu      sync.Mutex
	waiting map[event]*request
	took    []heard
	stay    map[netip.Prefix]bool // what nobody asks to withdraw
	lost    []netip.Prefix        // of those, what was withdrawn
	idle    chan struct{}         // readable when nothing is waited for
}

// heard is what took how many milliseconds until the router heard of it: from before the
// request, and from when a plain watch had the change, 0 where the watch was later.
type heard struct {
	event
	took, agent float64
}

// event is what one change makes of a prefix.
type event struct {
	prefix    netip.Prefix
	announced bool
}

// request is one that the router has not heard of.
type request struct {
	began   time.Time
	watched time.Time // when a watch had the change
	heard   chan struct{}
}

// await waits until the router has heard of it, or for a while.
func (r *request) await(ctx context.Context) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-r.heard:
	case <-late.C:
	case <-ctx.Done():
	}
}

// newWire expects that all prefixes stay but those that are toggled. Without toggles all stay.
func newWire(all func(func(netip.Prefix) bool), t *toggles) *wire {
	w := &wire{waiting: map[event]*request{}, stay: map[netip.Prefix]bool{}, idle: make(chan struct{}, 1)}
	for prefix := range all {
		w.stay[prefix] = true
	}
	if t != nil {
		for i := range t.on {
			delete(w.stay, t.prefix(i))
		}
	}
	return w
}

// expect notes what is about to be asked for.
func (w *wire) expect(prefix netip.Prefix, announced bool) *request {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &request{began: time.Now(), heard: make(chan struct{})}
	w.waiting[event{prefix, announced}] = r
	return r
}

// see takes in an UPDATE.
func (w *wire) see(u update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, prefix := range u.announced {
		w.seeOne(event{prefix, true}, u.at)
	}
	for _, prefix := range u.withdrawn {
		w.seeOne(event{prefix, false}, u.at)
		if w.stay[prefix] {
			w.lost = append(w.lost, prefix)
		}
	}
}

func (w *wire) seeOne(e event, at time.Time) {
	r := w.waiting[e]
	if r == nil {
		return
	}
	if r.watched.IsZero() || r.watched.After(at) {
		r.watched = at
	}
	w.took = append(w.took, heard{e, milliseconds(at.Sub(r.began)), milliseconds(at.Sub(r.watched))})
	delete(w.waiting, e)
	close(r.heard)
	if len(w.waiting) == 0 {
		select {
		case w.idle <- struct{}{}:
		default:
		}
	}
}

// settle waits until all is heard that was expected, or for a while, and returns what was.
func (w *wire) settle(ctx context.Context) []heard {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		if took, done := w.done(); done {
			return took
		}
		select {
		case <-w.idle:
		case <-ctx.Done():
			return nil
		case <-late.C:
			w.giveUp()
		}
	}
}

func (w *wire) done() (took []heard, done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 {
		return nil, false
	}
	took, w.took = w.took, nil
	return took, true
}

func (w *wire) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.waiting)
}

// strange tells of prefixes that were withdrawn and that nobody had touched.
func (w *wire) strange() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lost) == 0 {
		return nil
	}
	slices.SortFunc(w.lost, netip.Prefix.Compare)
	return []string{fmt.Sprintf("%d prefixes were withdrawn that nobody had touched, such as %s", len(w.lost), w.lost[0])}
}

// follow watches what the toggles change, as the agent does, until the context ends. The API
// server ends watches when it likes.
func (t *toggles) follow(ctx context.Context, w *wire) error {
	prefixes := map[string]netip.Prefix{}
	for i := range t.on {
		prefixes[service(t.number(i)).Name] = t.prefix(i)
	}
	for ctx.Err() == nil {
		if err := t.followOnce(ctx, w, prefixes); err != nil && ctx.Err() == nil {
			return fmt.Errorf("watching the changes: %w", err)
		}
	}
	return nil
}

// followOnce returns without an error when a watch has ended.
func (t *toggles) followOnce(ctx context.Context, w *wire, prefixes map[string]netip.Prefix) error {
	// From now on: what there is already would be too much at once for a plain watch.
	newest, err := t.client.CoreV1().Services("default").List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	from := metav1.ListOptions{ResourceVersion: newest.ResourceVersion}
	services, err := t.client.CoreV1().Services("default").Watch(ctx, from)
	if err != nil {
		return err
	}
	defer services.Stop()
	endpoints, err := t.client.DiscoveryV1().EndpointSlices("default").Watch(ctx, from)
	if err != nil {
		return err
	}
	defer endpoints.Stop()
	for {
		var e watch.Event
		var open bool
		select {
		case <-ctx.Done():
			return nil
		case e, open = <-services.ResultChan():
		case e, open = <-endpoints.ResultChan():
		}
		if !open || e.Type == watch.Error {
			return nil
		}
		w.watched(e, prefixes)
	}
}

// watched takes in what a watch says.
func (w *wire) watched(e watch.Event, prefixes map[string]netip.Prefix) {
	var name string
	announced := e.Type != watch.Deleted
	switch o := e.Object.(type) {
	case *corev1.Service:
		_, hides := o.Labels[hidden]
		name, announced = o.Name, announced && !hides
	case *discoveryv1.EndpointSlice:
		name, announced = o.Name, announced && len(o.Endpoints) > 0 && *o.Endpoints[0].Conditions.Ready
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.waiting[event{prefixes[name], announced}]; r != nil && r.watched.IsZero() {
		r.watched = time.Now()
	}
}
