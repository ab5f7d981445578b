package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// perRange is how many Services of a storm have their addresses from a range of their own:
	// for each address that it gives away the API server counts those in use in its range.
	perRange = 1000
	maxStorm = 64 * perRange
)

// stormRange is the range of the i-th Service of a storm.
func stormRange(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 97, byte(i / perRange * 4), 0}), 22)
}

// stormService is the i-th one of a storm.
func stormService(i int) *corev1.Service {
	addr := stormRange(i).Addr().As4()
	n := i%perRange + 2 // the first is the API server's
	addr[2], addr[3] = addr[2]+byte(n>>8), byte(n)
	s := service(0)
	s.Name = fmt.Sprintf("storm-%d", i)
	single := corev1.IPFamilyPolicySingleStack
	s.Spec.ClusterIP, s.Spec.ClusterIPs = netip.AddrFrom4(addr).String(), []string{netip.AddrFrom4(addr).String()}
	s.Spec.IPFamilyPolicy, s.Spec.IPFamilies = &single, []corev1.IPFamily{corev1.IPv4Protocol}
	return s
}

// prepareStorm has the API server know the ranges, and the EndpointSlices of the Services.
func (s *site) prepareStorm(ctx context.Context, o serviceOptions) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	ranges := client.NetworkingV1().ServiceCIDRs()
	for i := 0; i < o.storm; i += perRange {
		object := &networkingv1.ServiceCIDR{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("storm-%d", i/perRange)},
			Spec:       networkingv1.ServiceCIDRSpec{CIDRs: []string{stormRange(i).String()}},
		}
		made, err := ranges.Create(ctx, object, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		// A controller of the cluster would look whether it overlaps with others.
		meta.SetStatusCondition(&made.Status.Conditions, metav1.Condition{Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, Reason: "NoOverlap"})
		if _, err := ranges.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return inParallel(ctx, o.storm, func(ctx context.Context, i int) error {
		slice := endpointSlice(i, o.nodes)
		slice.Name = stormService(i).Name
		slice.Labels[discoveryv1.LabelServiceName] = slice.Name
		_, err := client.DiscoveryV1().EndpointSlices("default").Create(ctx, slice, metav1.CreateOptions{})
		return err
	})
}

// storm creates Services and deletes them again, as fast as the API server can, while the
// router's wire shows that all others stay.
func (s *site) storm(ctx context.Context, o serviceOptions, r *serviceResult, w *wire, c *capture) error {
	if o.storm == 0 {
		return nil
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	services := client.CoreV1().Services("default")
	before, err := weigh(s.agent.pids())
	if err != nil {
		return err
	}
	cpuBefore, err := cpuSeconds(s.agent.pids())
	if err != nil {
		return err
	}
	updates, began := c.count(), time.Now()
	for _, phase := range []struct {
		name string
		on   bool
		do   func(ctx context.Context, i int) error
	}{
		{"created", true, func(ctx context.Context, i int) error {
			_, err := services.Create(ctx, stormService(i), metav1.CreateOptions{})
			return err
		}},
		{"deleted", false, func(ctx context.Context, i int) error {
			return services.Delete(ctx, stormService(i).Name, metav1.DeleteOptions{})
		}},
	} {
		started := time.Now()
		err := inParallel(ctx, o.storm, func(ctx context.Context, i int) error {
			w.expect(hostRoute(stormService(i)), phase.on)
			return phase.do(ctx, i)
		})
		if err != nil {
			return err
		}
		asked := time.Since(started)
		if heard := len(w.heard(ctx)); heard < o.storm {
			r.doubt("storm: %d of %d Services that were %s were not heard of", o.storm-heard, o.storm, phase.name)
		}
		s.said.say("storm: %d Services %s in %.1f s; the router has heard of the last after %.1f s", o.storm, phase.name, asked.Seconds(), time.Since(started).Seconds())
	}
	after, err := weigh(s.agent.pids())
	if err != nil {
		return err
	}
	cpuAfter, err := cpuSeconds(s.agent.pids())
	if err != nil {
		return err
	}
	s.said.say("storm: %d UPDATEs, %.1f %% of a core; memory %.0f MB before, %.0f MB after, at the most %.0f MB",
		c.count()-updates, 100*(cpuAfter-cpuBefore)/time.Since(began).Seconds(), before.now, after.now, after.peak)
	return nil
}
