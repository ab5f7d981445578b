package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
)

// quiet is how long the agent is left alone after a change: to ask it for its metrics
// meanwhile would disturb what is measured.
const quiet = 30 * time.Millisecond

// sample changes one Service at a time and returns how many milliseconds the plan of each
// change took. Changes of which the agent made more than one plan are left out.
func (s *site) sample(ctx context.Context, count, services int) ([]float64, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	if err := s.settled(ctx); err != nil {
		return nil, err
	}
	c := &changes{client: client.CoreV1().Services("default"), services: services, run: time.Now().Unix()}
	var took []float64
	for i := range count {
		before, err := s.plans(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.make(ctx, i); err != nil {
			return nil, fmt.Errorf("changing a Service: %w", err)
		}
		after, err := s.morePlans(ctx, before)
		if err != nil {
			return nil, err
		}
		if after.made == before.made+1 {
			took = append(took, 1000*(after.took-before.took))
		}
	}
	return took, c.end(ctx, count)
}

// settled waits until the agent has nothing left to do: the first plan and what it has set
// off are measured otherwise.
func (s *site) settled(ctx context.Context) error {
	var last plans
	quietSince := time.Now()
	return s.eventually(ctx, func() error {
		now, err := s.plans(ctx)
		if err != nil {
			return err
		}
		if now != last {
			last, quietSince = now, time.Now()
		}
		if time.Since(quietSince) < 5*time.Second {
			return errors.New("the agent goes on to make plans")
		}
		return nil
	})
}

// morePlans waits for the next plan.
func (s *site) morePlans(ctx context.Context, before plans) (after plans, err error) {
	err = s.eventually(ctx, func() error {
		if err := pause(ctx, quiet); err != nil {
			return err
		}
		if after, err = s.plans(ctx); err == nil && after.made == before.made {
			err = errors.New("the agent has made no plan of a changed Service")
		}
		return err
	})
	return after, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// changes are made to Services in turn: one is created, another's label changes, the first
// is deleted, another's label changes, and so on.
type changes struct {
	client   coreclient.ServiceInterface
	services int // how many there are; the next one comes and goes
	run      int64
}

func (c *changes) make(ctx context.Context, i int) error {
	switch i % 4 {
	case 0:
		_, err := c.client.Create(ctx, service(c.services), metav1.CreateOptions{})
		return err
	case 2:
		return c.delete(ctx)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{"example.com/revision":"%d-%d"}}}`, c.run, i)
	_, err := c.client.Patch(ctx, service(i*7919%c.services).Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// end leaves the Services that there were, after that many changes.
func (c *changes) end(ctx context.Context, count int) error {
	if there := (count+3)/4 > (count+1)/4; there {
		return c.delete(ctx)
	}
	return nil
}

func (c *changes) delete(ctx context.Context) error {
	return c.client.Delete(ctx, service(c.services).Name, metav1.DeleteOptions{})
}
