package main

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
	before, updates, began := weighed{}, c.count(), time.Now()
	if before, err = weigh(s.agent.pids()); err != nil {
		return err
	}
	for _, phase := range []struct {
		name string
		on   bool
		do   func(ctx context.Context, i int) error
	}{
		{"created", true, func(ctx context.Context, i int) error {
			_, err := services.Create(ctx, service(i), metav1.CreateOptions{})
			return err
		}},
		{"deleted", false, func(ctx context.Context, i int) error {
			return services.Delete(ctx, service(i).Name, metav1.DeleteOptions{})
		}},
	} {
		started := time.Now()
		err := inParallel(ctx, o.storm, func(ctx context.Context, i int) error {
			w.expect(hostRoute(service(o.services+i)), phase.on)
			return phase.do(ctx, o.services+i)
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
	s.said.say("storm: %d UPDATEs, %.1f %% of a core; memory %.0f MB before, %.0f MB after, at the most %.0f MB",
		c.count()-updates, 100*(after.cpu-before.cpu)/time.Since(began).Seconds(), before.now, after.now, after.peak)
	return nil
}
