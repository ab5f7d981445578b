package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// fibOptions say how much is measured, and of whom.
type fibOptions struct {
	routes, runs int
	changes      int // of one prefix, there and back, in each run
	families     []string
	only         []string
	withhold     bool
	keepLogs     bool
}

const floorName = "floor"

func fib(ctx context.Context, args []string, out io.Writer) (result, error) {
	o := fibOptions{}
	flags := flag.NewFlagSet("fib", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&o.routes, "routes", 100_000, "prefixes of each family")
	flags.IntVar(&o.runs, "runs", 5, "runs of each daemon and family")
	flags.IntVar(&o.changes, "changes", 100, "times in each run that one prefix changes its next hop and back")
	chosen := flags.String("families", "4,6", "address families to measure")
	only := flags.String("only", "fairway,bird,frr,floor", "what to measure")
	flags.BoolVar(&o.withhold, "withhold", false, "have the sender keep one prefix back: every run has to come out invalid")
	flags.BoolVar(&o.keepLogs, "keep-logs", false, "keep the logs of all processes, and print where they are")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	o.families, o.only = strings.Split(*chosen, ","), strings.Split(*only, ",")
	if err := o.check(); err != nil {
		return nil, err
	}
	return perform(ctx, o.keepLogs, out, raiseFIB, func(s *fibSite, said *narrator) (result, error) {
		return s.measureFIB(ctx, o, said)
	})
}

func (o fibOptions) check() error {
	if o.routes < 2 || o.routes > maxRoutes {
		return fmt.Errorf("-routes %d: use 2 to %d", o.routes, maxRoutes)
	}
	if o.runs < 1 || o.changes < 1 {
		return errors.New("-runs and -changes have to be 1 or more")
	}
	for _, name := range o.families {
		if _, known := families[name]; !known {
			return fmt.Errorf("-families: there is no %q, use 4 and 6", name)
		}
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(daemons, func(d daemon) bool { return d.name == name }) && name != floorName {
			return fmt.Errorf("-only: there is no %q", name)
		}
	}
	return nil
}

// fibResult is what a run of the bench fib has found: the figures of its keys, medians unless
// they say otherwise. Keys that end in _v6 are of IPv6, all others of IPv4.
//
//	X_seconds               from the start of the daemon until the kernel has all routes
//	X_from_session_seconds  from when the session is up
//	X_cpu_seconds           of its processes until then
//	X_mb                    the proportional set size of all its processes, 5 seconds later
//	X_peak_mb               the sum of each process's greatest resident set
//	withdraw_seconds        from the first withdrawal until the last route has gone: Fairway's
//	one_change_ms_p99       from one UPDATE until the kernel has it: Fairway's
//	floor_seconds           to write the routes with no daemon at all
type fibResult struct {
	routes, runs int
	samples      map[string][]float64
	doubts       []string
}

func (r *fibResult) invalid() []string { return r.doubts }

func (r *fibResult) add(key string, values ...float64) {
	r.samples[key] = append(r.samples[key], values...)
}

// MarshalJSON implements json.Marshaler.
func (r *fibResult) MarshalJSON() ([]byte, error) {
	line := map[string]any{"bench": "fib", "routes": r.routes, "runs": r.runs}
	if len(r.doubts) > 0 {
		line["invalid"] = r.doubts
	}
	for key, values := range r.samples {
		if strings.Contains(key, "_ms") {
			name, v6 := strings.CutSuffix(key, "_v6")
			suffix := ""
			if v6 {
				suffix = "_v6"
			}
			line[name+"_p50"+suffix], line[name+"_p99"+suffix] = round(percentile(values, 50)), round(percentile(values, 99))
			continue
		}
		line[key] = round(percentile(values, 50))
	}
	return json.Marshal(line)
}

func round(v float64) float64 { return float64(int(v*1000+0.5)) / 1000 }

// measureFIB measures everyone in random order, anew in each round.
func (s *fibSite) measureFIB(ctx context.Context, o fibOptions, said *narrator) (*fibResult, error) {
	r := &fibResult{routes: o.routes, runs: o.runs, samples: map[string][]float64{}}
	for _, name := range o.families {
		f := families[name]
		set := newFeed(f, o.routes)
		said.say("IPv%s: %d prefixes", name, o.routes)
		for range o.runs {
			for _, i := range rand.Perm(len(o.only)) {
				if err := s.measureOne(ctx, o, r, f, set, o.only[i], said); err != nil {
					return nil, fmt.Errorf("%s, IPv%s: %w", o.only[i], name, err)
				}
			}
		}
	}
	r.tell(said)
	return r, nil
}

// tell prints the best and the median of each figure.
func (r *fibResult) tell(said *narrator) {
	for _, key := range slices.SortedFunc(maps.Keys(r.samples), func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "_v6"), strings.Count(b, "_v6")), cmp.Compare(a, b))
	}) {
		values := r.samples[key]
		said.say("%-32s best %8.3f, median %8.3f, p99 %8.3f of %d", key, slices.Min(values), percentile(values, 50), percentile(values, 99), len(values))
	}
}

// measureOne measures one start of one daemon, or the floor.
func (s *fibSite) measureOne(ctx context.Context, o fibOptions, r *fibResult, f family, set feed, name string, said *narrator) error {
	run, err := s.newRun(ctx, f, set)
	if err != nil {
		return err
	}
	defer run.close()
	run.said = said
	if name == floorName {
		return run.floor(ctx, r)
	}
	i := slices.IndexFunc(daemons, func(d daemon) bool { return d.name == name })
	return run.daemon(ctx, o, r, daemons[i])
}
