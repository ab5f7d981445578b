package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// patience is how long a thing may take that is merely waited for.
const patience = 30 * time.Second

// show goes through everything there is to see, and counts the checks.
func (d *demo) show(ctx context.Context) {
	d.heading("Three nodes and two top-of-rack routers (raised in %s)", since(d.started))
	fmt.Print(picture)
	for _, part := range []func(context.Context){d.sessions, d.routes, d.reach, d.cut, d.restart, d.service} {
		if ctx.Err() == nil {
			part(ctx)
		}
	}
	fmt.Println()
}

func (d *demo) sessions(ctx context.Context) {
	d.heading("Sessions, as the gobgp client sees them on each node")
	for _, n := range d.nodes {
		d.check(ctx, n.Name()+" has four sessions up", func(ctx context.Context) error { return n.sessionsUp(ctx, 4) })
	}
	d.check(ctx, "all nodes have told and learned everything", func(ctx context.Context) error {
		return errors.Join(d.twoPaths(ctx, 0), d.twoPaths(ctx, 1), d.twoPaths(ctx, 2))
	})
	for _, n := range d.nodes {
		d.print(ctx, n, "gobgp", "neighbor")
	}
}

// sessionsUp reports whether that many sessions are established, as `gobgp neighbor` tells.
func (n *node) sessionsUp(ctx context.Context, want int) error {
	out, err := n.Run(ctx, "gobgp", "neighbor")
	if err != nil {
		return err
	}
	if up := strings.Count(out, "Establ"); up != want {
		return fmt.Errorf("%d of %d sessions are established", up, want)
	}
	return nil
}

func (d *demo) routes(ctx context.Context) {
	d.heading("What each node advertises, and has installed (protocol %d)", routeProtocol)
	for i, n := range d.nodes {
		for r, router := range d.routers {
			d.check(ctx, fmt.Sprintf("%s advertises its pods, IPv4 and IPv6, to %s", n.Name(), router.Name()), func(ctx context.Context) error {
				return errors.Join(
					d.hears(ctx, r, fmt.Sprintf("10.244.%d.0/24", i+1), n.links[r].B.Addrs[0]),
					d.hears(ctx, r, fmt.Sprintf("fd00:10:244:%d::/64", i+1), n.links[r].B.Addrs[1]))
			})
		}
		d.check(ctx, n.Name()+" has two equal paths to every other node's pods, IPv4 and IPv6", func(ctx context.Context) error { return d.twoPaths(ctx, i) })
		d.print(ctx, n, "gobgp", "neighbor", n.links[0].A.Addrs[0].String(), "adj-out")
		d.print(ctx, n, "ip", "route", "show", "proto", fmt.Sprint(routeProtocol))
		d.print(ctx, n, "ip", "-6", "route", "show", "proto", fmt.Sprint(routeProtocol))
	}
}

// hears reports whether router r has a prefix in its own routing table by way of a node.
func (d *demo) hears(ctx context.Context, r int, prefix string, via netip.Addr) error {
	hops, err := d.nextHops(ctx, r, prefix)
	if err != nil {
		return err
	}
	if !hops[via] {
		return fmt.Errorf("%s has %s by way of %v, not of %s", d.routers[r].Name(), prefix, hops, via)
	}
	return nil
}

// nextHops returns where the kernel of router r sends a prefix.
func (d *demo) nextHops(ctx context.Context, r int, prefix string) (map[netip.Addr]bool, error) {
	routes, err := d.routers[r].Routes(ctx)
	if err != nil {
		return nil, err
	}
	hops := map[netip.Addr]bool{}
	for _, route := range routes {
		if route.Dst != prefix && route.Dst+"/32" != prefix && route.Dst+"/128" != prefix {
			continue
		}
		for _, gateway := range gateways(route) {
			if addr, err := netip.ParseAddr(gateway); err == nil {
				hops[addr] = true
			}
		}
	}
	return hops, nil
}

func gateways(route lab.Route) []string {
	if len(route.NextHops) == 0 {
		return []string{route.Gateway}
	}
	var out []string
	for _, hop := range route.NextHops {
		out = append(out, hop.Gateway)
	}
	return out
}

// twoPaths reports whether node i has exactly a route by way of both routers for each other
// node's pods and family.
func (d *demo) twoPaths(ctx context.Context, i int) error {
	routes, err := d.nodes[i].Routes(ctx, "proto", fmt.Sprint(routeProtocol), "type", "unicast")
	if err != nil {
		return err
	}
	found := 0
	for _, route := range routes {
		if !isPods(route.Dst) {
			continue
		}
		if found++; len(gateways(route)) != len(d.routers) {
			return fmt.Errorf("%s has %d next hops, want %d", route.Dst, len(gateways(route)), len(d.routers))
		}
	}
	if want := 2 * (nodeCount - 1); found != want {
		return fmt.Errorf("%d routes to pods, want %d", found, want)
	}
	return nil
}

func isPods(prefix string) bool {
	return strings.HasPrefix(prefix, "10.244.") || strings.HasPrefix(prefix, "fd00:10:244:")
}

func (d *demo) reach(ctx context.Context) {
	d.heading("Pods and the world, with no overlay and no NAT")
	for _, to := range d.nodes[1:] {
		d.pings(ctx, d.nodes[0].pod, to.pod)
	}
	d.pings(ctx, d.client, d.nodes[0].pod)
	d.pings(ctx, d.nodes[1].pod, d.client)
}

func (d *demo) pings(ctx context.Context, from, to *lab.Host) {
	for _, addr := range []netip.Addr{to.IPv4(), to.IPv6()} {
		d.check(ctx, fmt.Sprintf("%s reaches %s at %s", from.Name(), to.Name(), addr), func(ctx context.Context) error { return from.Ping(ctx, addr) })
	}
}

// cut takes away the uplink that a flow uses and measures how long the flow stays away.
func (d *demo) cut(ctx context.Context) {
	d.heading("One uplink is cut")
	from, to := d.nodes[0], d.nodes[1]
	var report lab.FlowReport
	var used int
	d.check(ctx, "the other path takes over", func(ctx context.Context) (err error) {
		if used, err = d.uplink(ctx, from, to.pod.IPv4()); err != nil {
			return lab.Never(err)
		}
		flow, err := from.pod.Flow(ctx, to.pod.IPv4(), 10*time.Millisecond)
		if err != nil {
			return lab.Never(err)
		}
		err = from.links[used].Cut(ctx)
		if err == nil {
			err = until(ctx, func() error { return d.onePath(ctx, to, used) })
		}
		stopped, stopErr := flow.Stop(ctx)
		report = stopped
		if err = errors.Join(err, stopErr); err == nil && report.Outage > 5*time.Second {
			err = fmt.Errorf("the flow was away for %s", report.Outage)
		}
		if err != nil {
			return lab.Never(err)
		}
		return nil
	})
	d.note(ctx, "the uplink of %s to %s was cut; its flow to %s was away for %s",
		from.Name(), d.routers[used].Name(), to.Name(), report.Outage.Round(time.Millisecond))
	d.pings(ctx, from.pod, to.pod)
	d.check(ctx, "mended, both paths are back", func(ctx context.Context) error {
		return errors.Join(from.links[used].Mend(ctx), until(ctx, func() error {
			return errors.Join(d.twoPaths(ctx, 0), d.twoPaths(ctx, 1), d.twoPaths(ctx, 2), from.sessionsUp(ctx, 4))
		}))
	})
}

// uplink returns which router a flow from the node's pod goes by.
func (d *demo) uplink(ctx context.Context, n *node, to netip.Addr) (int, error) {
	out, err := n.Run(ctx, "ip", "route", "get", to.String(), "from", n.pod.IPv4().String(), "iif", "cni0")
	if err != nil {
		return 0, err
	}
	for i, link := range n.links {
		if strings.Contains(out, "via "+link.A.Addrs[0].String()+" ") {
			return i, nil
		}
	}
	return 0, fmt.Errorf("cannot tell the uplink from %q", out)
}

// onePath reports whether a node has stopped to send to the first node's pods by way of a router.
func (d *demo) onePath(ctx context.Context, n *node, gone int) error {
	routes, err := n.Routes(ctx, "proto", fmt.Sprint(routeProtocol))
	if err != nil {
		return err
	}
	for _, route := range routes {
		if route.Dst == "10.244.1.0/24" && len(gateways(route)) == 1 && route.Gateway == n.links[1-gone].A.Addrs[0].String() {
			return nil
		}
	}
	return fmt.Errorf("%s still sends by way of %s", n.Name(), d.routers[gone].Name())
}

// restart ends an agent and starts it again while packets flow.
func (d *demo) restart(ctx context.Context) {
	d.heading("An agent is restarted")
	n := d.nodes[1]
	var report lab.FlowReport
	d.check(ctx, "the routes of "+n.Name()+" stay, and its sessions come back", func(ctx context.Context) error {
		err := d.restartAgent(ctx, n, &report)
		if err != nil {
			return lab.Never(err)
		}
		return nil
	})
	d.note(ctx, "meanwhile %d of %d packets from the client to its pod were lost", report.Lost, report.Sent)
}

func (d *demo) restartAgent(ctx context.Context, n *node, report *lab.FlowReport) error {
	before, err := n.Run(ctx, "ip", "route", "show", "proto", fmt.Sprint(routeProtocol))
	if err != nil {
		return err
	}
	flow, err := d.client.Flow(ctx, n.pod.IPv4(), 10*time.Millisecond)
	if err != nil {
		return err
	}
	if err := n.agent.Stop(ctx); err != nil {
		return err
	}
	after, err := n.Run(ctx, "ip", "route", "show", "proto", fmt.Sprint(routeProtocol))
	if err == nil && after != before {
		err = fmt.Errorf("the agent left the routes\n%sin place of\n%s", after, before)
	}
	if err != nil {
		return err
	}
	binary, err := lab.Build(ctx)
	if err != nil {
		return err
	}
	if n.agent, err = n.Start(ctx, "agent", d.agentCommand(binary, n)...); err != nil {
		return err
	}
	if err := until(ctx, func() error { return n.sessionsUp(ctx, 4) }); err != nil {
		return err
	}
	*report, err = flow.Stop(ctx)
	return err
}

// service puts the example's Service where the agents read, and takes it away.
func (d *demo) service(ctx context.Context) {
	d.heading("A Service's ClusterIP at the routers")
	manifest, err := os.ReadFile(filepath.Join(examples, "service.yaml"))
	d.check(ctx, "its manifest is there", func(context.Context) error { return err })
	file := filepath.Join(d.dir, "config", "service.yaml")
	began := time.Now()
	d.check(ctx, "10.96.0.80 and fd00:10:96::80 appear at both routers by way of all nodes", func(ctx context.Context) error {
		return errors.Join(os.WriteFile(file, manifest, 0o644), until(ctx, func() error { return d.serviceHops(ctx, nodeCount) }))
	})
	d.note(ctx, "after %s", since(began))
	for _, r := range d.routers {
		d.print(ctx, r, "ip", "route", "show", "10.96.0.80")
	}
	began = time.Now()
	d.check(ctx, "and go when it goes", func(ctx context.Context) error {
		return errors.Join(os.Remove(file), until(ctx, func() error { return d.serviceHops(ctx, 0) }))
	})
	d.note(ctx, "after %s", since(began))
}

// serviceHops reports whether both routers send the Service's addresses to that many nodes.
func (d *demo) serviceHops(ctx context.Context, want int) error {
	for r, router := range d.routers {
		for _, prefix := range []string{"10.96.0.80/32", "fd00:10:96::80/128"} {
			hops, err := d.nextHops(ctx, r, prefix)
			if err != nil {
				return err
			}
			if len(hops) != want {
				return fmt.Errorf("%s sends %s to %d nodes, want %d", router.Name(), prefix, len(hops), want)
			}
		}
	}
	return nil
}

func (d *demo) heading(format string, args ...any) {
	fmt.Printf("\n== "+format+"\n", args...)
}

// check waits until something is so, and counts.
func (d *demo) check(ctx context.Context, what string, so func(context.Context) error) {
	interrupted := ctx
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := lab.Until(ctx, func() error { return so(ctx) })
	if interrupted.Err() != nil {
		return // what was cut short shows nothing
	}
	if err != nil {
		d.failed++
		fmt.Printf("FAIL   %s: %v\n", what, err)
		return
	}
	d.passed++
	fmt.Printf("ok     %s\n", what)
}

// until waits for a condition inside a check.
func until(ctx context.Context, so func() error) error { return lab.Until(ctx, so) }

// runner is a host on which commands run.
type runner interface {
	Name() string
	Run(ctx context.Context, argv ...string) (string, error)
}

// note adds a figure to a check.
func (d *demo) note(ctx context.Context, format string, args ...any) {
	if ctx.Err() == nil {
		fmt.Printf("       "+format+"\n", args...)
	}
}

// print shows a command and what it says on a host.
func (d *demo) print(ctx context.Context, on runner, argv ...string) {
	if ctx.Err() != nil {
		return
	}
	out, err := on.Run(ctx, argv...)
	fmt.Printf("  %s# %s\n", on.Name(), strings.Join(argv, " "))
	if err != nil {
		out = err.Error()
	}
	for line := range strings.Lines(strings.TrimRight(out, "\n") + "\n") {
		fmt.Print("    ", line)
	}
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }
