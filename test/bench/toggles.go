package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// toggled is how many Services lose their endpoints and get them back, and how many more come
// and go. At churnRate it is two seconds until the same one changes again.
const toggled = churnRate

// toggles are what the bench changes, one after the other and round again: the endpoints of a
// Service are ready or not, another Service is there or not.
type toggles struct {
	client          kubernetes.Interface
	nodes, services int
	made            int // changes so far
	on              [2 * toggled]bool
}

// newToggles makes the EndpointSlices of the Services that come and go.
func (s *site) newToggles(ctx context.Context, o serviceOptions) (*toggles, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	t := &toggles{client: client, nodes: o.nodes, services: o.services}
	for i := range t.on {
		t.on[i] = t.endpoints(i)
	}
	return t, inParallel(ctx, toggled, func(ctx context.Context, i int) error {
		_, err := client.DiscoveryV1().EndpointSlices("default").Create(ctx, endpointSlice(o.services+i, o.nodes), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

func inParallel(ctx context.Context, count int, do func(ctx context.Context, i int) error) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(writers)
	for i := range count {
		all.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return do(ctx, i)
		})
	}
	return all.Wait()
}

// endpoints reports whether it is the endpoints of the Service that change.
func (t *toggles) endpoints(i int) bool { return i%2 == 0 }

// service is the Service that one of the changes is about.
func (t *toggles) service(i int) int {
	if t.endpoints(i) {
		return i / 2 * 7919 % t.services // spread over all of them
	}
	return t.services + i/2
}

// prefix is what is announced for the i-th toggle that is on.
func (t *toggles) prefix(i int) netip.Prefix { return hostRoute(service(t.service(i))) }

func hostRoute(s *corev1.Service) netip.Prefix {
	addr := netip.MustParseAddr(s.Spec.ClusterIP)
	return netip.PrefixFrom(addr, addr.BitLen())
}

// set asks the API server to have a toggle on or off.
func (t *toggles) set(ctx context.Context, i int, on bool) error {
	services, n := t.client.CoreV1().Services("default"), t.service(i)
	switch {
	case t.endpoints(i):
		_, err := t.client.DiscoveryV1().EndpointSlices("default").Update(ctx, withReady(endpointSlice(n, t.nodes), on), metav1.UpdateOptions{})
		return err
	case on:
		_, err := services.Create(ctx, service(n), metav1.CreateOptions{})
		return err
	}
	return services.Delete(ctx, service(n).Name, metav1.DeleteOptions{})
}

func withReady(slice *discoveryv1.EndpointSlice, ready bool) *discoveryv1.EndpointSlice {
	for i := range slice.Endpoints {
		slice.Endpoints[i].Conditions = discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready}
	}
	return slice
}

// times are milliseconds from before each request until it was answered, and until the router
// heard of the change.
type times struct{ request, wire []float64 }

// pace makes changes, about that long apart, and waits until the router has heard of them.
func (t *toggles) pace(ctx context.Context, w *wire, count int, apart time.Duration) (times, error) {
	all, inner := errgroup.WithContext(ctx)
	var mu sync.Mutex
	var took times
	next := time.Now()
	for range count {
		i := t.made % len(t.on)
		t.made++
		t.on[i] = !t.on[i]
		on := t.on[i]
		all.Go(func() error {
			began := w.expect(t.prefix(i), on)
			if err := t.set(inner, i, on); err != nil {
				return fmt.Errorf("changing %s: %w", service(t.service(i)).Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			took.request = append(took.request, milliseconds(time.Since(began)))
			return nil
		})
		if apart > 0 { // never in step with what the agent does each second
			next = next.Add(apart*9/10 + rand.N(apart/5))
			if err := pause(inner, time.Until(next)); err != nil {
				break
			}
		}
	}
	if err := all.Wait(); err != nil {
		return took, err
	}
	took.wire = w.heard(ctx)
	return took, ctx.Err()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// end puts everything back.
func (t *toggles) end(ctx context.Context, w *wire) error {
	for i, on := range t.on {
		if want := t.endpoints(i); on != want {
			t.on[i] = want
			w.expect(t.prefix(i), want)
			if err := t.set(ctx, i, want); err != nil {
				return err
			}
		}
	}
	w.heard(ctx)
	return nil
}

// wire keeps what was asked for and what was heard at the router.
type wire struct {
	mu      sync.Mutex
	waiting map[event]time.Time
	took    []float64
	stay    map[netip.Prefix]bool // what nobody asks to withdraw
	lost    []netip.Prefix        // of those, what was withdrawn
	idle    chan struct{}         // readable when nothing is waited for
}

// event is what one change makes of a prefix.
type event struct {
	prefix    netip.Prefix
	announced bool
}

// newWire expects that all prefixes stay but those that are toggled.
func newWire(all func(func(netip.Prefix) bool), t *toggles) *wire {
	w := &wire{waiting: map[event]time.Time{}, stay: map[netip.Prefix]bool{}, idle: make(chan struct{}, 1)}
	for prefix := range all {
		w.stay[prefix] = true
	}
	for i := range t.on {
		delete(w.stay, t.prefix(i))
	}
	return w
}

// expect notes what is about to be asked for.
func (w *wire) expect(prefix netip.Prefix, announced bool) (began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	began = time.Now()
	w.waiting[event{prefix, announced}] = began
	return began
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
	began, expected := w.waiting[e]
	if !expected {
		return
	}
	w.took = append(w.took, milliseconds(at.Sub(began)))
	delete(w.waiting, e)
	if len(w.waiting) == 0 {
		select {
		case w.idle <- struct{}{}:
		default:
		}
	}
}

// heard waits until all is heard that was expected, or for a while, and returns how long each took.
func (w *wire) heard(ctx context.Context) []float64 {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 {
			took := w.took
			w.took = nil
			w.mu.Unlock()
			return took
		}
		w.mu.Unlock()
		select {
		case <-w.idle:
		case <-ctx.Done():
			return nil
		case <-late.C:
			w.mu.Lock()
			clear(w.waiting)
			w.mu.Unlock()
		}
	}
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
