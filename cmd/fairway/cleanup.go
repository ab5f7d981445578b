package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/routes/netlink"
	"github.com/fairway-bgp/fairway/routes/nft"
)

// cleanupFlags are the flags of `fairway cleanup`.
type cleanupFlags struct {
	routeProtocol int
	dryRun        bool
}

func cleanupCommand() *cobra.Command {
	f := &cleanupFlags{}
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove from the kernel all that the agent put there",
		Long: `Remove from this host's kernel all that is Fairway's, and nothing else: the routes of our
protocol number, in all tables, and the nftables table inet fairway. Stop the agent first,
or it puts them back. Sysctls that the agent was told to set stay as they are.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	flags := cmd.Flags()
	flags.IntVar(&f.routeProtocol, "route-protocol", netlink.DefaultProtocol, "rtnetlink protocol number that marks our kernel routes, as it was given to the agent")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only list what would be removed")
	return cmd
}

// returnTime is how long cleanup watches for what it removed to come back: an agent that
// still runs is quicker.
const returnTime = 300 * time.Millisecond

func (f *cleanupFlags) run(ctx context.Context, out io.Writer) error {
	if err := netlink.ValidateProtocol(f.routeProtocol); err != nil {
		return fmt.Errorf("--route-protocol: %w", err)
	}
	if err := netlink.CheckPermission(); err != nil && !f.dryRun {
		return err
	}
	fib, err := netlink.New(netlink.Options{Protocol: uint8(f.routeProtocol)})
	if err != nil {
		return fmt.Errorf("opening rtnetlink: %w", err)
	}
	if f.dryRun {
		return errors.Join(list(ctx, fib, out), listFilter(out), fib.Close())
	}
	removed, err := removeAll(ctx, fib)
	fmt.Fprintf(out, "removed %s of protocol %d\n", counted(removed), f.routeProtocol)
	if err == nil {
		err = stayedAway(ctx, fib)
	}
	return errors.Join(err, removeFilter(out), fib.Close())
}

// listFilter tells whether there is a table of ours, as far as it may look.
func listFilter(out io.Writer) error {
	there, err := nft.Filter{}.Present()
	switch {
	case errors.Is(err, fs.ErrPermission):
		fmt.Fprintf(out, "would remove the nftables table inet %s if it is there, which cannot be seen without CAP_NET_ADMIN\n", nft.TableName)
		return nil
	case there:
		fmt.Fprintf(out, "would remove the nftables table inet %s\n", nft.TableName)
	}
	return withFilter(err)
}

// removeFilter comes last: as long as addresses are announced, it keeps packets from going round.
func removeFilter(out io.Writer) error {
	removed, err := nft.Filter{}.Remove()
	if removed && err == nil {
		fmt.Fprintf(out, "removed the nftables table inet %s\n", nft.TableName)
	}
	return withFilter(err)
}

// withFilter makes no error of a kernel that cannot have a table.
func withFilter(err error) error {
	if errors.Is(err, nft.ErrUnsupported) {
		return nil
	}
	return err
}

func list(ctx context.Context, fib *netlink.FIB, out io.Writer) error {
	present, err := fib.Dump(ctx)
	if err != nil {
		return err
	}
	for _, r := range present {
		fmt.Fprintln(out, "would remove", r)
	}
	fmt.Fprintf(out, "would remove %s\n", counted(present))
	return nil
}

// removeAll deletes what is ours and returns what it deleted. It goes on past what cannot
// be deleted.
func removeAll(ctx context.Context, fib *netlink.FIB) (removed []routes.Route, err error) {
	present, err := fib.Dump(ctx)
	if err != nil {
		return nil, err
	}
	ops := make([]routes.Op, len(present))
	for i, r := range present {
		ops[i] = routes.Op{Verb: routes.Delete, Route: r}
	}
	var failed []error
	for i, err := range fib.Apply(ctx, ops) {
		switch {
		case err == nil:
			removed = append(removed, present[i])
		case !errors.Is(err, routes.ErrVanished):
			failed = append(failed, fmt.Errorf("deleting %s: %w", present[i], err))
		}
	}
	return removed, errors.Join(failed...)
}

var errStillRuns = errors.New("routes come back as soon as they are removed, most likely from an agent that still runs: stop it first")

func stayedAway(ctx context.Context, fib *netlink.FIB) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(returnTime):
	}
	present, err := fib.Dump(ctx)
	if err == nil && len(present) > 0 {
		return errStillRuns
	}
	return err
}

// counted tells how many routes there are, by family and table.
func counted(list []routes.Route) string {
	type kind struct {
		family string
		table  uint32
	}
	counts := map[kind]int{}
	for _, r := range list {
		k := kind{"IPv6", r.Table}
		if r.Prefix.Addr().Is4() {
			k.family = "IPv4"
		}
		counts[k]++
	}
	parts := []string{fmt.Sprintf("%d routes", len(list))}
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b kind) int {
		if a.family != b.family {
			return strings.Compare(a.family, b.family)
		}
		return int(a.table) - int(b.table)
	})
	for _, k := range kinds {
		parts = append(parts, fmt.Sprintf("%d %s in table %d", counts[k], k.family, k.table))
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return parts[0] + " (" + strings.Join(parts[1:], ", ") + ")"
}
