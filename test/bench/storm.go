package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// stormOptions say how large the cluster is, and how many Services come and go.
type stormOptions struct {
	clusterOptions
	storm int
}

// stormResult is what a run of the bench storm has found. It is invalid when a Service of the
// storm was not heard of, any other was withdrawn, or the session was touched.
type stormResult struct {
	Bench    string  `json:"bench"`
	Services int     `json:"services"` // that stay
	Storm    int     `json:"storm"`    // that come and go
	Created  float64 `json:"created_seconds"`
	Deleted  float64 `json:"deleted_seconds"`
	// Behind is how long after the API server's last answer the router has heard of all: the
	// greater one of both.
	Behind   float64 `json:"behind_ms"`
	Updates  int     `json:"updates"`
	CPU      float64 `json:"cpu_percent"` // of one core
	MBBefore float64 `json:"mb_before"`   // proportional set size of the agent
	MB       float64 `json:"mb"`
	MBPeak   float64 `json:"mb_peak"` // the sum of each process's greatest resident set
	// Invalid says why the figures show nothing.
	Invalid []string `json:"invalid,omitempty"`
}

func (r *stormResult) invalid() []string { return r.Invalid }

func (r *stormResult) doubt(format string, args ...any) {
	r.Invalid = append(r.Invalid, fmt.Sprintf(format, args...))
}

// stormBench is the bench "storm".
func stormBench(ctx context.Context, args []string, out io.Writer) (result, error) {
	o := stormOptions{}
	flags := flag.NewFlagSet("storm", flag.ContinueOnError)
	flags.SetOutput(out)
	o.add(flags, 100, 1000) // the more there are, the slower is the API server to create others
	flags.IntVar(&o.storm, "storm", 10_000, "Services to create and to delete again as fast as the API server can")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if o.storm < 1 || o.services+o.storm > maxServices {
		return nil, fmt.Errorf("-storm: %d; from 1 to %d can be", o.storm, maxServices-o.services)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return withSite(ctx, o.clusterOptions, plain, out, func(s *site, there bool) (result, error) {
		return s.measureStorm(ctx, o, there)
	})
}

func (s *site) measureStorm(ctx context.Context, o stormOptions, there bool) (*stormResult, error) {
	want, err := s.announceAll(ctx, o.clusterOptions, there)
	if err != nil {
		return nil, err
	}
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	r := &stormResult{Bench: "storm", Services: o.services, Storm: o.storm}
	w := newWire(maps.Keys(want["ipv4"]), nil)
	c, err := s.capture(w)
	if err != nil {
		return nil, err
	}
	err = s.storm(ctx, client, o, r, w)
	r.Updates = c.count()
	if err := c.stop(); err != nil {
		r.doubt("%v", err)
	}
	for _, what := range w.strange() {
		r.doubt("%s", what)
	}
	if err != nil {
		return nil, err
	}
	if err := s.routersHave(ctx, want); err != nil {
		r.doubt("%v", err)
	}
	return r, nil
}

// storm creates Services and deletes them again. Their EndpointSlices are there before.
func (s *site) storm(ctx context.Context, client kubernetes.Interface, o stormOptions, r *stormResult, w *wire) error {
	err := inParallel(ctx, o.storm, func(ctx context.Context, i int) error {
		if i == 0 {
			return nil // there is one more than there are Services
		}
		_, err := client.DiscoveryV1().EndpointSlices("default").Create(ctx, endpointSlice(o.services+i, o.nodes), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	before, err := weigh(s.agent.pids())
	if err != nil {
		return err
	}
	cpuBefore, err := cpuSeconds(s.agent.pids())
	if err != nil {
		return err
	}
	began := time.Now()
	services := client.CoreV1().Services("default")
	created := s.phase(ctx, o, r, w, "created", &r.Created, func(ctx context.Context, i int) error {
		w.expect(hostRoute(service(i)), true)
		_, err := services.Create(ctx, service(i), metav1.CreateOptions{})
		return err
	})
	if created != nil {
		return created
	}
	deleted := s.phase(ctx, o, r, w, "deleted", &r.Deleted, func(ctx context.Context, i int) error {
		w.expect(hostRoute(service(i)), false)
		return services.Delete(ctx, service(i).Name, metav1.DeleteOptions{})
	})
	cpuAfter, err1 := cpuSeconds(s.agent.pids())
	after, err2 := weigh(s.agent.pids())
	r.CPU = round(100 * (cpuAfter - cpuBefore) / time.Since(began).Seconds())
	r.MBBefore, r.MB, r.MBPeak = round(before.now), round(after.now), round(after.peak)
	s.said.say("the agent took %.1f %% of a core; memory: %.0f MB before, %.0f MB after, at the most %.0f MB", r.CPU, r.MBBefore, r.MB, r.MBPeak)
	return errors.Join(deleted, err1, err2)
}

// phase has all Services of the storm created, or deleted, and waits until the router has heard of it.
func (s *site) phase(ctx context.Context, o stormOptions, r *stormResult, w *wire, name string, seconds *float64, do func(ctx context.Context, i int) error) error {
	began := time.Now()
	if err := inParallel(ctx, o.storm, func(ctx context.Context, i int) error { return do(ctx, o.services+i) }); err != nil {
		return err
	}
	asked := time.Now()
	heard := w.settle(ctx)
	behind := milliseconds(time.Since(asked))
	if len(heard) < o.storm {
		r.doubt("%d of %d Services that were %s were not heard of", o.storm-len(heard), o.storm, name)
	}
	*seconds = round(asked.Sub(began).Seconds())
	r.Behind = max(r.Behind, round(behind))
	s.said.say("%d Services %s in %.1f s; the router has heard of all %.1f ms later", o.storm, name, *seconds, behind)
	return ctx.Err()
}
