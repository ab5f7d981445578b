package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/routes/host"
	"github.com/fairway-bgp/fairway/routes/netlink"
)

// kernel joins what the agent knows of its kernel: the routes, the facts of the host, and
// the news about both.
type kernel struct {
	fib   *netlink.FIB
	table *routes.Table
	log   *slog.Logger
	host  chan struct{} // links or addresses changed
	drift chan struct{} // our routes may have been changed by others
	moved chan struct{} // routes of others that next hops rest on may have changed

	sysctls  sysctls
	gateways gateways
	routed   routed
	routers  *host.Routers
}

func openKernel(protocol uint8, log *slog.Logger) (*kernel, error) {
	fib, err := netlink.New(netlink.Options{Protocol: protocol})
	if err != nil {
		return nil, fmt.Errorf("opening rtnetlink: %w", err)
	}
	k := &kernel{
		fib:   fib,
		table: routes.NewTable(fib, time.Now),
		log:   log,
		host:  make(chan struct{}, 1),
		drift: make(chan struct{}, 1),
		moved: make(chan struct{}, 1),
	}
	k.routers = host.NewRouters(func() { wake(k.host) })
	return k, nil
}

// Run passes on the kernel's news until ctx ends.
func (k *kernel) Run(ctx context.Context) error {
	return k.fib.Watch(ctx, func(e netlink.Event) {
		if e.Resync || e.Default || k.gateways.over(e.Links) {
			k.gateways.stale.Store(true)
		}
		if e.Resync || e.Routed || k.routed.over(e.Links) {
			k.routed.stale.Store(true)
		}
		if e.Resync || e.Host || e.Default || e.Routed {
			wake(k.host)
		}
		if k.suspect(e) {
			k.log.Debug("the kernel changed", "resync", e.Resync, "links", len(e.Links), "routes", len(e.Routes), "fallen", len(e.Fallen))
			wake(k.drift)
		}
		if e.Resync || e.Moved {
			wake(k.moved)
		}
	})
}

// suspect tells the table where to look, and reports whether anything concerns it: the
// links of pods, which come and go, do not.
func (k *kernel) suspect(e netlink.Event) bool {
	if e.Resync {
		k.table.SuspectAll()
	}
	named, fallen, links := k.table.Suspect(e.Routes), k.table.SuspectFallen(e.Fallen), k.table.SuspectLinks(e.Links)
	return e.Resync || named || fallen || links
}

// Changed is readable when the facts of the host may have changed.
func (k *kernel) Changed() <-chan struct{} { return k.host }

// Drift is readable when our routes may have been changed by others.
func (k *kernel) Drift() <-chan struct{} { return k.drift }

// Moved is readable when routes of others that lead to followed addresses may have changed.
func (k *kernel) Moved() <-chan struct{} { return k.moved }

// Follow returns the routes of others that lead to the addresses.
func (k *kernel) Follow(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]routes.Route, error) {
	return k.fib.Follow(ctx, addrs)
}

// Local reads the facts of the host. Of the links of pods, which come and go all the time and
// lead to no network, it says nothing: a plan that nothing concerns need not be made again.
// What takes a reading of the kernel's routes is among them where it is asked for.
func (k *kernel) Local(ctx context.Context, needs plan.Needs) (plan.Local, error) {
	facts, err := k.sysctls.readHost()
	if err != nil {
		return plan.Local{}, err
	}
	local := plan.Local{LinksDown: map[int]bool{}, Sysctls: k.sysctls.wrong(facts)}
	for _, a := range facts.Networks() {
		if link, ok := facts.Link(a.Link); ok && !link.Carrier {
			local.LinksDown[a.Link] = true
		}
		local.Networks = append(local.Networks, plan.Network{Prefix: a.Network, Addr: a.Addr, Link: a.Link})
	}
	// Where two links lead to one network, that with carrier counts.
	slices.SortStableFunc(local.Networks, func(a, b plan.Network) int {
		return cmp.Compare(rank(local.LinksDown[a.Link]), rank(local.LinksDown[b.Link]))
	})
	local.Sources = sources(facts)
	for _, a := range facts.Addresses {
		if !a.Addr.IsLinkLocalUnicast() {
			local.Addresses = append(local.Addresses, a.Addr)
		}
	}
	if needs.Gateways {
		if local.Gateways, err = k.gateways.read(ctx, k.fib, facts); err != nil {
			return local, err
		}
	}
	k.addLinks(&local, needs, facts)
	local.Routed, err = k.routed.read(ctx, k.fib, needs.Routes, facts)
	return local, err
}

// sources returns the first lasting address of each family of the links that have one.
func sources(facts host.Facts) map[string]plan.Source {
	out := map[string]plan.Source{}
	for _, link := range facts.Links {
		s := plan.Source{IPv4: facts.AddressOn(link.Index, true), IPv6: facts.AddressOn(link.Index, false)}
		if s != (plan.Source{}) {
			out[link.Name] = s
		}
	}
	return out
}

func rank(down bool) int {
	if down {
		return 1
	}
	return 0
}

// wake makes a channel of capacity one readable.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
