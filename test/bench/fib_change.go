package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// placed is a route that appeared in the node's kernel.
type placed struct {
	prefix netip.Prefix
	hop    netip.Addr
	at     time.Time
}

// witness hears from the node's kernel of every route that appears there.
type witness struct {
	seen chan placed
	lost chan error
	end  chan struct{}
}

// listen subscribes to the kernel's own news, which are there as soon as the route is.
func (s *fibSite) listen() (*witness, error) {
	ns, err := netns.GetFromPath(s.node.NetNS())
	if err != nil {
		return nil, fmt.Errorf("entering the node's network: %w", err)
	}
	defer func() { _ = ns.Close() }()
	w := &witness{seen: make(chan placed, 1<<16), lost: make(chan error, 1), end: make(chan struct{})}
	updates := make(chan netlink.RouteUpdate, 1<<12)
	err = netlink.RouteSubscribeWithOptions(updates, w.end, netlink.RouteSubscribeOptions{
		Namespace:              &ns,
		ReceiveBufferSize:      16 << 20,
		ReceiveBufferForceSize: true,
		ErrorCallback: func(err error) {
			select {
			case w.lost <- err:
			default:
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("listening to the node's kernel: %w", err)
	}
	go w.follow(updates)
	return w, nil
}

func (w *witness) follow(updates <-chan netlink.RouteUpdate) {
	for u := range updates {
		if u.Type != unix.RTM_NEWROUTE || u.Dst == nil {
			continue
		}
		addr, _ := netip.AddrFromSlice(u.Dst.IP)
		bits, _ := u.Dst.Mask.Size()
		hop, _ := netip.AddrFromSlice(u.Gw)
		w.seen <- placed{netip.PrefixFrom(addr.Unmap(), bits), hop.Unmap(), time.Now()}
	}
}

func (w *witness) close() { close(w.end) }

// await waits for the route to appear.
func (w *witness) await(ctx context.Context, prefix netip.Prefix, hop netip.Addr) (time.Time, error) {
	limit := time.NewTimer(stalled)
	defer limit.Stop()
	for {
		select {
		case p := <-w.seen:
			if p.prefix == prefix && p.hop == hop {
				return p.at, nil
			}
		case err := <-w.lost:
			return time.Time{}, fmt.Errorf("the kernel's news: %w", err)
		case <-limit.C:
			return time.Time{}, fmt.Errorf("%s via %s has not come within %s", prefix, hop, stalled)
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// changes moves one prefix after the other to its other next hop, and returns how many
// milliseconds each took from before the UPDATE was written until it was in the kernel.
func (s *fibSite) changes(ctx context.Context, tell *sender, set feed, count int) ([]float64, error) {
	w, err := s.listen()
	if err != nil {
		return nil, err
	}
	defer w.close()
	var took []float64
	for range count {
		i := rand.IntN(len(set.prefixes))
		prefix := set.prefixes[i]
		for _, hop := range []netip.Addr{set.hop(i + 1), set.hop(i)} { // there, and back
			update := appendUpdate(nil, []netip.Prefix{prefix}, hop)
			began := time.Now()
			if err := tell.write(update); err != nil {
				return took, err
			}
			placed, err := w.await(ctx, prefix, hop)
			if err != nil {
				return took, errors.Join(err, tell.alive())
			}
			took = append(took, 1000*placed.Sub(began).Seconds())
			if err := pause(ctx, 2*time.Millisecond+rand.N(10*time.Millisecond)); err != nil {
				return took, err
			}
		}
	}
	return took, nil
}
