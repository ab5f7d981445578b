package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// serviceOptions say how large the cluster is, and how often what is changed.
type serviceOptions struct {
	clusterOptions
	samples, churn, burst int
}

// serviceResult is what a run of the bench service has found. Times are of the router's kernel:
// from before the request to the API server until the packet with the UPDATE is there.
type serviceResult struct {
	Bench    string  `json:"bench"`
	Services int     `json:"services"`
	P50      float64 `json:"p50_ms"` // at one change a second
	P99      float64 `json:"p99_ms"`
	// GatedP50 is of announcements alone, where each has to wait for gateDelay; withdrawals do not.
	GatedP50 float64 `json:"gated_p50_ms"`
	ChurnP99 float64 `json:"churn_p99_ms"` // at churnRate changes a second
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

// gateDelay is how long addresses wait for the service proxy where they do.
const gateDelay = 100 * time.Millisecond

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
    selector: {matchExpressions: [{key: ` + hidden + `, operator: DoesNotExist}]}
`,
}

// serviceBench is the bench "service".
func serviceBench(ctx context.Context, args []string, out io.Writer) (result, error) {
	o := serviceOptions{}
	flags := flag.NewFlagSet("service", flag.ContinueOnError)
	flags.SetOutput(out)
	o.add(flags, 5000, 10_000)
	flags.IntVar(&o.samples, "samples", 240, fmt.Sprintf("changes to measure at one a second, %d at least for figures that count", leastSamples))
	flags.IntVar(&o.churn, "churn", 1500, fmt.Sprintf("changes to measure at %d a second", churnRate))
	flags.IntVar(&o.burst, "burst", 100, "changes to make at once")
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
	case o.samples < 1 || o.churn < 1 || o.burst < 1:
		return errors.New("-samples, -churn and -burst have to be positive")
	case o.services < toggled:
		return fmt.Errorf("-services: %d; %d at least are changed", o.services, toggled)
	}
	return o.clusterOptions.check()
}

func (s *site) measureService(ctx context.Context, o serviceOptions, there bool) (*serviceResult, error) {
	want, err := s.announceAll(ctx, o.clusterOptions, there)
	if err != nil {
		return nil, err
	}
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	r := &serviceResult{Bench: "service", Services: o.services}
	if err := s.measureChanges(ctx, o, r, newToggles(client, o.clusterOptions), want); err != nil {
		return nil, err
	}
	if err := s.routersHave(ctx, want); err != nil {
		r.doubt("%v", err)
	}
	return r, nil
}

// announceAll starts the agent, and returns what the router has once it has all and the agent
// has nothing left to do.
func (s *site) announceAll(ctx context.Context, o clusterOptions, there bool) (prefixes, error) {
	if err := s.furnishCluster(ctx, o, there); err != nil {
		return nil, err
	}
	want, err := s.prefixes(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.startAgent(ctx); err != nil {
		return nil, err
	}
	if err := s.routersHave(ctx, want); err != nil {
		return nil, err
	}
	s.said.say("the router has all %d prefixes", want.count())
	return want, s.settled(ctx)
}

// measureChanges makes all changes while the router's wire is read.
func (s *site) measureChanges(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, want prefixes) error {
	w := newWire(maps.Keys(want["ipv4"]), t)
	c, err := s.capture(w)
	if err != nil {
		return err
	}
	following, unfollow := context.WithCancel(ctx)
	followed := make(chan error, 1)
	go func() { followed <- t.follow(following, w) }()
	err = s.makeChanges(ctx, o, r, t, w, c)
	unfollow()
	err = errors.Join(err, <-followed)
	if err := c.stop(); err != nil {
		r.doubt("%v", err)
	}
	for _, what := range w.strange() {
		r.doubt("%s", what)
	}
	return err
}

// capture begins to read the router's wire.
func (s *site) capture(w *wire) (*capture, error) {
	r := s.routers[0]
	return startCapture(r.Host, "node", netip.MustParseAddr(r.node), w.see)
}

func (s *site) makeChanges(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, w *wire, c *capture) error {
	if err := t.begin(ctx, w); err != nil {
		return err
	}
	if err := s.oneByOne(ctx, o, r, t, w); err != nil {
		return err
	}
	took, cpu, err := s.churn(ctx, o, r, t, w)
	if err != nil {
		return err
	}
	r.ChurnCPU = cpu
	if len(took.wire) > 0 {
		r.ChurnP99 = round(percentile(took.wire, 99))
	}
	if err := s.burst(ctx, o, r, t, w, c); err != nil {
		return err
	}
	if err := s.gated(ctx, o, r, t, w, c); err != nil {
		return err
	}
	if err := t.end(ctx, w); err != nil {
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
	if why := tooFew(r.Samples); why != "" {
		r.doubt("%s", why)
	}
	if r.Samples == 0 {
		return nil
	}
	r.P50, r.P99 = round(percentile(took.wire, 50)), round(percentile(took.wire, 99))
	s.said.say("one change a second: p50 %.1f ms, p99 %.1f ms of %d (aims: 10, 50)", r.P50, r.P99, r.Samples)
	s.tellParts(took)
	return nil
}

// churn measures many changes a second, and what the agent takes for them.
func (s *site) churn(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, w *wire) (took times, cpu float64, err error) {
	before, err := cpuSeconds(s.agent.pids())
	if err != nil {
		return took, 0, err
	}
	began := time.Now()
	if took, err = t.pace(ctx, w, o.churn, time.Second/churnRate); err != nil {
		return took, 0, err
	}
	lasted := time.Since(began).Seconds()
	after, err := cpuSeconds(s.agent.pids())
	if err != nil {
		return took, 0, err
	}
	if len(took.wire) < o.churn {
		r.doubt("%d of %d changes at %d a second were not heard of", o.churn-len(took.wire), o.churn, churnRate)
		return took, 0, ctx.Err()
	}
	cpu = round(100 * (after - before) / lasted)
	s.said.say("%d changes in %.1f s: p50 %.1f ms, p99 %.1f ms; the agent takes %.1f %% of a core (aim: 15)",
		o.churn, lasted, percentile(took.wire, 50), percentile(took.wire, 99), cpu)
	s.tellParts(took)
	return took, cpu, nil
}

// gated measures the same with a delay for the service proxy.
func (s *site) gated(ctx context.Context, o serviceOptions, r *serviceResult, t *toggles, w *wire, c *capture) error {
	readiness := fmt.Sprintf("spec:\n  readiness: {dataplaneDelayMilliseconds: %d}\n  localASN:", gateDelay.Milliseconds())
	if err := s.cp.Apply(ctx, []byte(strings.Replace(plain.configuration, "spec:\n  localASN:", readiness, 1))); err != nil {
		return err
	}
	if err := c.quietFor(ctx, 2*time.Second); err != nil {
		return err
	}
	s.said.say("from here on announcements wait for %s", gateDelay)
	took, err := t.pace(ctx, w, 2*o.samples+2, time.Second/2) // every other one announces
	if err != nil {
		return err
	}
	if len(took.announced) < o.samples {
		r.doubt("only %d announcements were heard of that waited, want %d", len(took.announced), o.samples)
		return nil
	}
	if least := slices.Min(took.announced); least < milliseconds(gateDelay) {
		r.doubt("an announcement that had to wait for %s was heard of after %.1f ms", gateDelay, least)
	}
	r.GatedP50 = round(percentile(took.announced, 50))
	s.said.say("two changes a second: announcements p50 %.1f ms, p99 %.1f ms of %d, of all p50 %.1f ms",
		r.GatedP50, percentile(took.announced, 99), len(took.announced), percentile(took.wire, 50))
	_, _, err = s.churn(ctx, o, r, t, w)
	return err
}

// tellParts tells whose time it was.
func (s *site) tellParts(took times) {
	s.said.say("  until the API server answers the request: p50 %.1f ms, p99 %.1f ms; from a plain watch until the router: p50 %.1f ms, p99 %.1f ms",
		percentile(took.request, 50), percentile(took.request, 99), percentile(took.agent, 50), percentile(took.agent, 99))
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
