package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
)

// planOptions say how large the cluster is, and how often is measured.
type planOptions struct {
	clusterOptions
	samples, starts int
}

// planResult is what a run of the bench plan has found. The agent is a client of two route
// reflectors.
type planResult struct {
	Bench          string `json:"bench"`
	Topology       string `json:"topology"`
	Nodes          int    `json:"nodes"`
	Services       int    `json:"services"`
	EndpointSlices int    `json:"endpointslices"`
	// FirstPlanSeconds is the time from when /readyz of a starting API server is content until the
	// speaker holds the first plan of an agent that was waiting for it: the median of FirstPlans.
	FirstPlanSeconds float64   `json:"first_plan_seconds"`
	FirstPlans       []float64 `json:"first_plans"`
	// ReplanP50 and P99 are of the time from when the loop takes up the news of one changed Service
	// until the speaker holds the new plan.
	ReplanP50 float64 `json:"replan_ms_p50"`
	ReplanP99 float64 `json:"replan_ms_p99"`
	ReplanMax float64 `json:"replan_ms_max"`
	// RSS is the proportional set size of all processes of the agent, after the last sample.
	RSS     float64 `json:"rss_mb"`
	RSSPeak float64 `json:"rss_peak_mb"` // the sum of each process's greatest resident set
	Samples int     `json:"samples"`
	// Invalid says why the figures show nothing.
	Invalid []string `json:"invalid,omitempty"`
}

func (r *planResult) invalid() []string { return r.Invalid }

func (r *planResult) doubt(format string, args ...any) {
	r.Invalid = append(r.Invalid, fmt.Sprintf(format, args...))
}

// plan is the bench of that name.
func plan(ctx context.Context, args []string, out io.Writer) (result, error) {
	o := planOptions{}
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	flags.SetOutput(out)
	o.add(flags, 5000, 10_000)
	flags.IntVar(&o.samples, "samples", 400, fmt.Sprintf("changes of one Service to measure, %d at least for figures that count", leastSamples))
	flags.IntVar(&o.starts, "starts", 3, "starts of the API server to measure the first plan at")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return withSite(ctx, o.clusterOptions, wide, out, func(s *site, there bool) (result, error) {
		return s.measurePlan(ctx, o, there)
	})
}

func (o planOptions) check() error {
	if o.samples < 1 || o.starts < 1 {
		return errors.New("--samples and --starts have to be positive")
	}
	return o.clusterOptions.check()
}

func (s *site) measurePlan(ctx context.Context, o planOptions, there bool) (*planResult, error) {
	r := &planResult{Bench: "plan", Topology: "RouteReflectors", Nodes: o.nodes, Services: o.services, EndpointSlices: o.services}
	if err := s.furnishCluster(ctx, o.clusterOptions, there); err != nil {
		return nil, err
	}
	want, err := s.prefixes(ctx)
	if err != nil {
		return nil, err
	}
	for len(r.FirstPlans) < o.starts {
		if err := s.firstPlan(ctx, r, want); err != nil {
			return nil, err
		}
	}
	r.FirstPlanSeconds = percentile(r.FirstPlans, 50)
	if err := s.replans(ctx, r, o); err != nil {
		return nil, err
	}
	if err := s.agent.weigh(r); err != nil {
		return nil, err
	}
	s.said.say("memory: %.0f MB, at the most %.0f MB (aim: under 150 MB)", r.RSS, r.RSSPeak)
	if err := s.routersHave(ctx, want); err != nil {
		r.doubt("%v", err)
	}
	if err := s.eventually(ctx, func() error { return s.reflectorsHave(ctx) }); err != nil {
		r.doubt("%v", err)
	}
	return r, nil
}

// replans measures what one changed Service takes.
func (s *site) replans(ctx context.Context, r *planResult, o planOptions) error {
	took, err := s.sample(ctx, o.samples, o.services)
	if err != nil {
		return err
	}
	r.Samples = len(took)
	if r.Samples < o.samples {
		r.doubt("%d of %d samples: the rest made more plans than one", r.Samples, o.samples)
	}
	if why := tooFew(r.Samples); why != "" {
		r.doubt("%s", why)
	}
	if r.Samples == 0 {
		return nil
	}
	r.ReplanP50, r.ReplanP99, r.ReplanMax = percentile(took, 50), percentile(took, 99), slices.Max(took)
	s.said.say("a changed Service: p50 %.2f ms, p99 %.2f ms, at the most %.2f ms of %d (aim: p99 under 5 ms)",
		r.ReplanP50, r.ReplanP99, r.ReplanMax, r.Samples)
	return nil
}

// percentile returns the smallest value that at least p of a hundred values do not exceed.
func percentile(values []float64, p int) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
