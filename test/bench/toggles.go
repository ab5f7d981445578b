package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// toggled is how many Services change. At churnRate it is two seconds until the same one
// changes again.
const toggled = 2 * churnRate

// toggles are what the bench changes, one after the other and round again: the endpoints of a
// Service are ready or not, another Service has the label of those that are not announced or
// has it not. None is created: to give away an address takes the API server tens of
// milliseconds where there are 10,000.
type toggles struct {
	client          kubernetes.Interface
	nodes, services int
	made            int // changes so far
	on              [toggled]bool
	turns           [toggled]sync.Mutex // one request for each at a time
}

func newToggles(client kubernetes.Interface, o clusterOptions) *toggles {
	t := &toggles{client: client, nodes: o.nodes, services: o.services}
	for i := range t.on {
		t.on[i] = true
	}
	return t
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

// number is that of the Service that the i-th toggle is about: they are spread over all.
func (t *toggles) number(i int) int { return i * 7919 % t.services }

// prefix is what is announced for the i-th toggle that is on.
func (t *toggles) prefix(i int) netip.Prefix { return hostRoute(service(t.number(i))) }

func hostRoute(s *corev1.Service) netip.Prefix {
	addr := netip.MustParseAddr(s.Spec.ClusterIP)
	return netip.PrefixFrom(addr, addr.BitLen())
}

// hidden is the label of Services that are not to be announced.
const hidden = "example.com/hidden"

// set asks the API server to have a toggle on or off.
func (t *toggles) set(ctx context.Context, i int, on bool) error {
	if i%2 == 0 {
		slice := withReady(endpointSlice(t.number(i), t.nodes), on)
		_, err := t.client.DiscoveryV1().EndpointSlices("default").Update(ctx, slice, metav1.UpdateOptions{})
		return err
	}
	value := `"true"`
	if on {
		value = "null"
	}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, hidden, value)
	_, err := t.client.CoreV1().Services("default").Patch(ctx, service(t.number(i)).Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func withReady(slice *discoveryv1.EndpointSlice, ready bool) *discoveryv1.EndpointSlice {
	for i := range slice.Endpoints {
		slice.Endpoints[i].Conditions = discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready}
	}
	return slice
}

// times are milliseconds, of one kind each.
type times struct {
	request     []float64 // until the API server answers
	wire, agent []float64 // of each change, see heard
	announced   []float64 // of wire, those of announcements
}

func (t *times) add(all []heard) {
	for _, h := range all {
		t.wire, t.agent = append(t.wire, h.took), append(t.agent, h.agent)
		if h.event.announced {
			t.announced = append(t.announced, h.took)
		}
	}
}

// pace makes changes, about that long apart, and waits until the router has heard of them.
func (t *toggles) pace(ctx context.Context, w *wire, count int, apart time.Duration) (times, error) {
	all, inner := errgroup.WithContext(ctx)
	var mu sync.Mutex
	var took times
	next := time.Now()
	for range count {
		i := t.made % len(t.on)
		t.made++
		all.Go(func() error {
			request, err := t.turn(inner, i, w)
			if err != nil {
				return fmt.Errorf("changing %s: %w", service(t.number(i)).Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			took.request = append(took.request, request)
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
	took.add(w.settle(ctx))
	return took, ctx.Err()
}

// turn changes a toggle and waits until the router has heard of it, for what is changed back
// before nobody ever hears of. It returns how many milliseconds the API server took.
func (t *toggles) turn(ctx context.Context, i int, w *wire) (request float64, err error) {
	t.turns[i].Lock()
	defer t.turns[i].Unlock()
	t.on[i] = !t.on[i]
	asked := w.expect(t.prefix(i), t.on[i])
	if err := t.set(ctx, i, t.on[i]); err != nil {
		return 0, err
	}
	request = milliseconds(time.Since(asked.began))
	asked.await(ctx)
	return request, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// begin has half of the toggles off: as many go on as off then, all the time.
func (t *toggles) begin(ctx context.Context, w *wire) error {
	return t.put(ctx, w, func(i int) bool { return i/2%2 == 0 })
}

// end has all of them on again.
func (t *toggles) end(ctx context.Context, w *wire) error {
	return t.put(ctx, w, func(int) bool { return true })
}

func (t *toggles) put(ctx context.Context, w *wire, want func(i int) bool) error {
	for i, on := range t.on {
		if on != want(i) {
			t.on[i] = want(i)
			w.expect(t.prefix(i), want(i))
			if err := t.set(ctx, i, want(i)); err != nil {
				return err
			}
		}
	}
	w.settle(ctx)
	return nil
}
