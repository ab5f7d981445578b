package services

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// journal is when the routers' kernels changed their route to an address.
type journal struct {
	mu      sync.Mutex
	changes map[netip.Addr][]change
	broken  []string
}

type change struct {
	at     time.Time
	router string
	gone   bool // the route was removed, and not replaced
}

func (r *rig) startJournal() *journal {
	r.t.Helper()
	j := &journal{changes: map[netip.Addr][]change{}}
	for _, router := range r.routers {
		handle, err := netns.GetFromPath(router.NetNS())
		if err != nil {
			r.t.Fatal(err)
		}
		updates, end := make(chan netlink.RouteUpdate, 1024), make(chan struct{})
		err = netlink.RouteSubscribeWithOptions(updates, end, netlink.RouteSubscribeOptions{
			Namespace: &handle, ReceiveBufferSize: 4 << 20, ReceiveBufferForceSize: true,
			ErrorCallback: func(err error) { j.note(router.Name(), err) },
		})
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() {
			close(end)
			_ = handle.Close()
		})
		go j.keep(router.Name(), updates)
	}
	return j
}

// note keeps what kept it from listening.
func (j *journal) note(router string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = append(j.broken, fmt.Sprintf("listening to the routes of %s: %v", router, err))
}

// broke says what was not listened to.
func (j *journal) broke() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.broken
}

func (j *journal) keep(router string, updates <-chan netlink.RouteUpdate) {
	for update := range updates {
		if update.Dst == nil {
			continue
		}
		if addr, ok := netip.AddrFromSlice(update.Dst.IP); ok {
			j.mu.Lock()
			j.changes[addr.Unmap()] = append(j.changes[addr.Unmap()], change{time.Now(), router, update.Type == unix.RTM_DELROUTE})
			j.mu.Unlock()
		}
	}
}

// near tells of the changes around a moment, for somebody who looks for the reason of a failure.
func (j *journal) near(addr netip.Addr, when time.Time) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, c := range j.changes[addr] {
		apart := c.at.Sub(when)
		if apart.Abs() > 2*time.Second {
			continue
		}
		how := "set"
		if c.gone {
			how = "removed"
		}
		out = append(out, fmt.Sprintf("%+.3f s (%s by %s)", apart.Seconds(), how, c.router))
	}
	return strings.Join(out, ", ")
}

// moved reports whether the router that the client's packets to the address pass changed its route from
// one time to the other. The kernel's message may be read a little after what it tells of, where others
// want the processor.
func (j *journal) moved(addr netip.Addr, from, to time.Time) bool {
	const slack = 50 * time.Millisecond
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.changes[addr] {
		if c.router == firstHop(addr) && c.at.After(from.Add(-slack)) && c.at.Before(to.Add(slack)) {
			return true
		}
	}
	return false
}
