// Command demo shows the whole main job of Fairway on one machine, without Kubernetes: three
// nodes, two FRR routers and an outside host in network namespaces, the agents reading
// deploy/examples/demo. Everything it prints was asked of the running programs; it ends
// with the number of checks that passed, and leaves nothing behind. With KEEP=1 in the
// environment it leaves the lab standing and says how to look around.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// limit ends a demo that hangs.
const limit = 3 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, limit)
	failed, err := run(ctx, os.Getenv("KEEP") != "")
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, keep bool) (failed int, err error) {
	dir, err := os.MkdirTemp("", "fairway-demo-")
	if err != nil {
		return 0, fmt.Errorf("making a folder for logs: %w", err)
	}
	l, err := lab.Start(ctx, lab.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	d := &demo{lab: l, dir: dir, started: time.Now()}
	if err := d.raise(ctx); err != nil {
		_ = l.Close()
		return 0, fmt.Errorf("%w\nlogs are in %s", err, dir)
	}
	d.show(ctx)
	if ctx.Err() != nil {
		return 0, errors.Join(fmt.Errorf("ended before all was shown: %w", context.Cause(ctx)), l.Close(), os.RemoveAll(dir))
	}
	if keep {
		err = d.detach()
	} else {
		err = l.Close()
	}
	if d.failed == 0 && !keep {
		_ = os.RemoveAll(dir)
	} else {
		fmt.Println("logs are in", dir)
	}
	fmt.Printf("demo: %d checks passed, %d failed\n", d.passed, d.failed)
	return d.failed, err
}

// detach leaves the lab standing and prints how to look around in it.
func (d *demo) detach() error {
	if err := d.lab.Detach(); err != nil {
		return err
	}
	fmt.Printf(`
The lab is left standing. To look around:
  %[1]s gobgp neighbor
  %[1]s gobgp global rib
  %[1]s gobgp -a ipv6 global rib
  %[1]s ip route show proto %[2]d
  %[1]s curl -s 127.0.0.1:9479/metrics
  %[3]s
  cat %[4]s/state-node-1/status/BGPNodeState_node-1.yaml
What the agents read, to be changed while they run: %[4]s/config
To take it down: kill -9 %[5]d; rm -r %[4]s
`, d.lab.Enter("node-1"), routeProtocol, d.routers[0].Shell(), d.dir, d.lab.Pid())
	return nil
}
