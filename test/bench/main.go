// Command bench measures Fairway as users run it: the built agent in network namespaces,
// against a real API server and real routers.
//
//	go run ./test/bench NAME [flags]
//
// It says what it does while it does it. The last line of its output is one JSON object,
// the result. A run that shows nothing, as when a router has not got everything, is told
// to be invalid and why, in "invalid" of the result too, and ends with a status other than 0.
// A figure that misses its aim is a result as any other.
//
// It needs root, and what test/setup/install.sh installs. Run it at the top of the project.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// bench is one thing that can be measured.
type bench struct {
	name, short string
	// run measures, and tells out what it does. The result is encoded as JSON.
	run func(ctx context.Context, args []string, out io.Writer) (result, error)
}

// result is what a bench has found.
type result interface {
	// invalid says why the figures show nothing; none: they count.
	invalid() []string
}

// leastSamples is how many a figure needs to count.
const leastSamples = 200

// tooFew says why so many samples make no figure; "" where they do.
func tooFew(samples int) string {
	if samples >= leastSamples {
		return ""
	}
	return fmt.Sprintf("%d samples are fewer than the %d that a figure needs to count", samples, leastSamples)
}

var benches = []bench{
	{"plan", "first plan, one changed Service, and memory in a cluster of 5,000 nodes and 10,000 Services", plan},
	{"fib", "100,000 learned routes from a session into the kernel, next to BIRD and FRR", fib},
	{"service", "how soon a router hears of a changed Service, one of 10,000", serviceBench},
	{"storm", "10,000 Services that come and go, and nobody else does", stormBench},
	{"repair", "how soon a route is back that something else deleted", repair},
	{"badinput", "bad peers: messages that are handled, and such as kill the speaker", badInput},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	chosen, err := choose(args)
	if err != nil {
		return err
	}
	found, err := chosen.run(ctx, args[1:], out)
	if err != nil {
		return fmt.Errorf("%s: %w", chosen.name, err)
	}
	for _, why := range found.invalid() {
		fmt.Fprintln(out, "INVALID:", why)
	}
	line, err := json.Marshal(found)
	if err != nil {
		return fmt.Errorf("%s: encoding the result: %w", chosen.name, err)
	}
	fmt.Fprintf(out, "%s\n", line)
	if len(found.invalid()) > 0 {
		return fmt.Errorf("%s: the run is invalid: %s", chosen.name, strings.Join(found.invalid(), "; "))
	}
	return nil
}

func choose(args []string) (bench, error) {
	var known []string
	for _, b := range benches {
		if len(args) > 0 && args[0] == b.name {
			return b, nil
		}
		known = append(known, fmt.Sprintf("\n  %-10s %s", b.name, b.short))
	}
	return bench{}, errors.New("name what to measure, one of:" + strings.Join(known, ""))
}
