package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// repairOptions say how much is repaired.
type repairOptions struct {
	routes, samples int
	keepLogs        bool
}

// repairResult is what a run of the bench repair has found.
type repairResult struct {
	Bench  string `json:"bench"`
	Routes int    `json:"routes"` // of each family
	// RepairP50 and RepairMax are of the time from before a route was deleted until it was there again.
	RepairP50 float64 `json:"repair_ms_p50"`
	RepairP99 float64 `json:"repair_ms_p99"`
	RepairMax float64 `json:"repair_ms_max"`
	Samples   int     `json:"samples"`
	// Invalid says why the figures show nothing.
	Invalid []string `json:"invalid,omitempty"`
}

func (r *repairResult) invalid() []string { return r.Invalid }

func repair(ctx context.Context, args []string, out io.Writer) (result, error) {
	o := repairOptions{}
	flags := flag.NewFlagSet("repair", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&o.routes, "routes", 100_000, "learned routes of each family")
	flags.IntVar(&o.samples, "samples", 300, fmt.Sprintf("routes to delete, %d at least for figures that count", leastSamples))
	flags.BoolVar(&o.keepLogs, "keep-logs", false, "keep the logs of all processes, and print where they are")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if o.routes < 2 || o.routes > maxRoutes || o.samples < 2 {
		return nil, fmt.Errorf("-routes has to be 2 to %d, -samples 2 or more", maxRoutes)
	}
	return perform(ctx, o.keepLogs, out, raiseFIB, func(s *fibSite, said *narrator) (result, error) {
		return s.measureRepair(ctx, o, said)
	})
}

// measureRepair deletes half of the routes from each family, with an agent that learns one
// family at a time.
func (s *fibSite) measureRepair(ctx context.Context, o repairOptions, said *narrator) (*repairResult, error) {
	r := &repairResult{Bench: "repair", Routes: o.routes}
	var all []float64
	for name, samples := range map[string]int{"4": o.samples - o.samples/2, "6": o.samples / 2} {
		took, difference, err := s.repairFamily(ctx, families[name], o.routes, samples)
		if err != nil {
			return nil, fmt.Errorf("IPv%s: %w", name, err)
		}
		if difference != "" {
			r.Invalid = append(r.Invalid, fmt.Sprintf("IPv%s: after all repairs %s", name, difference))
		}
		said.say("IPv%s: %d repairs, p50 %.2f ms, p99 %.2f ms, at the most %.2f ms", name, len(took), percentile(took, 50), percentile(took, 99), slices.Max(took))
		all = append(all, took...)
	}
	r.conclude(all)
	return r, nil
}

// conclude takes the figures from how long each repair took.
func (r *repairResult) conclude(took []float64) {
	r.Samples = len(took)
	r.RepairP50, r.RepairP99, r.RepairMax = percentile(took, 50), percentile(took, 99), slices.Max(took)
	if why := tooFew(r.Samples); why != "" {
		r.Invalid = append(r.Invalid, why)
	}
}

// repairFamily has a fresh agent learn the routes and repair one after the other. It returns
// what each took, and how the kernel differs in the end from what it should hold.
func (s *fibSite) repairFamily(ctx context.Context, f family, routes, samples int) (took []float64, difference string, err error) {
	run, err := s.newRun(ctx, f, newFeed(f, routes))
	if err != nil {
		return nil, "", err
	}
	defer run.close()
	s.starts++
	agent, err := startFairway(ctx, s, f)
	if err != nil {
		return nil, "", err
	}
	took, difference, err = run.learnAndRepair(ctx, samples)
	return took, difference, errors.Join(err, agent.stop(ctx), s.clear(ctx, daemons[0].protocol))
}

func (run *fibRun) learnAndRepair(ctx context.Context, samples int) (took []float64, difference string, err error) {
	tell, err := run.connect(ctx)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = tell.close() }()
	if err := tell.write(run.set.announcements()); err != nil {
		return nil, "", err
	}
	if _, err := run.meter.reach(ctx, run.full); err != nil {
		return nil, "", err
	}
	if took, err = run.repairs(ctx, samples); err != nil {
		return took, "", errors.Join(err, tell.alive())
	}
	difference, err = run.verify(ctx, daemons[0].protocol)
	return took, difference, errors.Join(err, tell.alive())
}

// repairs deletes that many routes, one after the other.
func (run *fibRun) repairs(ctx context.Context, samples int) ([]float64, error) {
	w, err := run.site.listen()
	if err != nil {
		return nil, err
	}
	defer w.close()
	ns, err := netns.GetFromPath(run.site.node.NetNS())
	if err != nil {
		return nil, fmt.Errorf("entering the node's network: %w", err)
	}
	defer func() { _ = ns.Close() }()
	kernel, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, fmt.Errorf("opening the node's rtnetlink: %w", err)
	}
	defer kernel.Close()
	var took []float64
	for _, i := range rand.Perm(len(run.set.prefixes))[:min(samples, len(run.set.prefixes))] {
		t, err := run.repairOne(ctx, kernel, w, i)
		if err != nil {
			return took, err
		}
		took = append(took, t)
		if err := pause(ctx, rand.N(50*time.Millisecond)); err != nil {
			return took, err
		}
	}
	return took, nil
}

// repairOne deletes one route as anybody else would, and returns after how many milliseconds
// it was there again.
func (run *fibRun) repairOne(ctx context.Context, kernel *netlink.Handle, w *witness, i int) (float64, error) {
	prefix := run.set.prefixes[i]
	route := &netlink.Route{Dst: &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}}
	began := time.Now()
	if err := kernel.RouteDel(route); err != nil {
		return 0, fmt.Errorf("deleting %s: %w", prefix, err)
	}
	back, err := w.await(ctx, prefix, run.set.hop(i))
	return 1000 * back.Sub(began).Seconds(), err
}
