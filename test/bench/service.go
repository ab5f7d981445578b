package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"time"
)

// serviceOptions say how large the cluster is, and how often what is changed.
type serviceOptions struct {
	clusterOptions
	samples, churn, burst, storm int
}

// serviceResult is what a run of the bench service has found. Times are of the router's kernel:
// from before the request to the API server until the packet with the UPDATE is there.
type serviceResult struct {
	Bench    string  `json:"bench"`
	Services int     `json:"services"`
	P50      float64 `json:"p50_ms"` // at one change a second
	P99      float64 `json:"p99_ms"`
	// GatedP50 is of announcements alone, which wait for the gate; nothing else does.
	GatedP50 *float64 `json:"gated_p50_ms"`
	ChurnP99 float64  `json:"churn_p99_ms"` // at churnRate changes a second
	// ChurnCPU is what all processes of the agent take meanwhile, in percent of one core.
	ChurnCPU float64 `json:"churn_cpu_percent"`
	MB       float64 `json:"mb"` // proportional set size of the agent, in the end
	Samples  int     `json:"samples"`
	// Invalid says why the figures show nothing.
	Invalid []string `json:"invalid,omitempty"`
}

func (r *serviceResult) invalid() []string { return r.Invalid }

func (r *serviceResult) doubt(format string, args ...any) {
	r.Invalid = append(r.Invalid, fmt.Sprintf(format, args...))
}

// churnRate is how many changes there are a second where there are many.
const churnRate = 50

// plain is a site with one router.
var plain = layout{
	about: "one node, one router",
	link: func(s *site) {
		s.addRouter("tor-a", "192.0.2.0", "192.0.2.0/31", "2001:db8:a::/127", "192.0.2.1")
	},
	configuration: `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec:
  localASN: 64512
  topology: {type: None}
  cluster:
    podCIDRs: [10.128.0.0/9, "fd00:10:244::/48"]
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: tor-a}
spec: {address: 192.0.2.0, asn: 65001, timers: {connectRetrySeconds: 1}}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata: {name: default}
spec:
  podCIDRs: {}
  services:
    addressTypes: [ClusterIP]
`,
}

// serviceBench is the bench "service".
func serviceBench(ctx context.Context, args []string, out io.Writer) (result, error) {
	o := serviceOptions{}
	flags := flag.NewFlagSet("service", flag.ContinueOnError)
	flags.SetOutput(out)
	o.add(flags)
	flags.IntVar(&o.samples, "samples", 240, fmt.Sprintf("changes to measure at one a second, %d at least for figures that count", leastSamples))
	flags.IntVar(&o.churn, "churn", 1500, fmt.Sprintf("changes to measure at %d a second", churnRate))
	flags.IntVar(&o.burst, "burst", 100, "changes to make at once")
	flags.IntVar(&o.storm, "storm", 10_000, "Services to create and to delete again as fast as the API server can; 0: none")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return withSite(ctx, o.clusterOptions, plain, out, func(s *site, there bool) (result, error) {
		return s.measureService(ctx, o, there)
	})
}

func (o serviceOptions) check() error {
	switch {
	case o.samples < 1 || o.churn < 1 || o.burst < 1 || o.storm < 0:
		return errors.New("-samples, -churn and -burst have to be positive")
	case o.services+toggled > maxServices || o.storm > maxStorm:
		return fmt.Errorf("-services, -storm: at most %d and %d there is room for", maxServices-toggled, maxStorm)
	}
	return o.clusterOptions.check()
}

func (s *site) measureService(ctx context.Context, o serviceOptions, there bool) (*serviceResult, error) {
	if err := s.furnishCluster(ctx, o.clusterOptions, there); err != nil {
		return nil, err
	}
	want, err := s.prefixes(ctx)
	if err != nil {
		return nil, err
	}
	t, err := s.newToggles(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.prepareStorm(ctx, o); err != nil {
		return nil, err
	}
	if err := s.startAgent(ctx); err != nil {
		return nil, err
	}
	if err := s.routersHave(ctx, want); err != nil {
		return nil, err
	}
	if err := s.settled(ctx); err != nil {
		return nil, err
	}
	s.said.say("the router has all %d prefixes", want.count())
	r := &serviceResult{Bench: "service", Services: o.services}
	if err := s.measureChanges(ctx, o, r, t, want); err != nil {
		return nil, err
	}
	if err := s.routersHave(ctx, want); err != nil {
		r.doubt("%v", err)
	}
	return r, nil
}

// measureChanges makes all changes while the router's wire is read.
func (s *site) measureChanges(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, want prefixes) error {
	w := newWire(maps.Keys(want["ipv4"]), t)
	c, err := startCapture(s.routers[0].Host, "node", netip.MustParseAddr(s.routers[0].node), w.see)
	if err != nil {
		return err
	}
	err = s.makeChanges(ctx, o, r, t, w, c)
	if err := c.stop(); err != nil {
		r.doubt("%v", err)
	}
	for _, what := range w.strange() {
		r.doubt("%s", what)
	}
	return err
}

func (s *site) makeChanges(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, w *wire, c *capture) error {
	if err := s.oneByOne(ctx, o, r, t, w); err != nil {
		return err
	}
	if err := s.churn(ctx, o, r, t, w); err != nil {
		return err
	}
	if err := s.burst(ctx, o, r, t, w, c); err != nil {
		return err
	}
	if err := t.end(ctx, w); err != nil {
		return err
	}
	if err := s.storm(ctx, o, r, w, c); err != nil {
		return err
	}
	return s.weighAgent(r)
}

// oneByOne measures changes a second apart.
func (s *site) oneByOne(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, w *wire) error {
	took, err := t.pace(ctx, w, o.samples, time.Second)
	if err != nil {
		return err
	}
	r.Samples = len(took.wire)
	if r.Samples < o.samples {
		r.doubt("%d of %d changes at one a second were not heard of", o.samples-r.Samples, o.samples)
	}
	if r.Samples == 0 {
		return nil
	}
	r.P50, r.P99 = round(percentile(took.wire, 50)), round(percentile(took.wire, 99))
	s.said.say("one change a second: p50 %.1f ms, p99 %.1f ms of %d (aims: 10, 50); the API server answers the request after p50 %.1f ms, p99 %.1f ms",
		r.P50, r.P99, r.Samples, percentile(took.request, 50), percentile(took.request, 99))
	return nil
}

// churn measures many changes a second, and what the agent takes for them.
func (s *site) churn(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, w *wire) error {
	before, err := cpuSeconds(s.agent.pids())
	if err != nil {
		return err
	}
	began := time.Now()
	took, err := t.pace(ctx, w, o.churn, time.Second/churnRate)
	if err != nil {
		return err
	}
	lasted := time.Since(began).Seconds()
	after, err := cpuSeconds(s.agent.pids())
	if err != nil {
		return err
	}
	if len(took.wire) < o.churn {
		r.doubt("%d of %d changes at %d a second were not heard of", o.churn-len(took.wire), o.churn, churnRate)
	}
	if len(took.wire) == 0 {
		return nil
	}
	r.ChurnP99 = round(percentile(took.wire, 99))
	r.ChurnCPU = round(100 * (after - before) / lasted)
	s.said.say("%d changes in %.1f s: p50 %.1f ms, p99 %.1f ms; the agent takes %.1f %% of a core (aim: 15); the API server answers after p50 %.1f ms, p99 %.1f ms",
		len(took.wire), lasted, percentile(took.wire, 50), r.ChurnP99, r.ChurnCPU, percentile(took.request, 50), percentile(took.request, 99))
	return nil
}

// burst shows that changes at once are told together.
func (s *site) burst(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, w *wire, c *capture) error {
	if err := c.quietFor(ctx, time.Second); err != nil {
		return err
	}
	before, began := c.count(), time.Now()
	took, err := t.pace(ctx, w, o.burst, 0)
	if err != nil {
		return err
	}
	if len(took.wire) < o.burst {
		r.doubt("%d of %d changes at once were not heard of", o.burst-len(took.wire), o.burst)
	}
	s.said.say("%d changes at once: told in %d UPDATEs after %.0f ms", o.burst, c.count()-before, 1000*time.Since(began).Seconds())
	return nil
}

// weighAgent notes the agent's memory.
func (s *site) weighAgent(r *serviceResult) error {
	w, err := weigh(s.agent.pids())
	if err != nil {
		return err
	}
	r.MB = round(w.now)
	s.said.say("memory: %.0f MB, at the most %.0f MB", w.now, w.peak)
	return nil
}
