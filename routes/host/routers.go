package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Routers finds the routers at the other end of links by their router advertisements, and makes
// this node known to them by its own, with lifetime 0: routers that look for us wait for them,
// and nobody takes us for a default router (RFC 4861, section 6.2.1).
type Routers struct {
	changed func() // is called when On has another answer

	mu    sync.Mutex
	links map[int]Neighborhood // what is to be followed, by index
	found map[int]Found

	woken    chan struct{}
	messages chan message
	open     map[int]*neighborhood // of Run alone
}

// Neighborhood is a link whose routers are looked for, and our link-local address there.
type Neighborhood struct {
	Link int
	Name string
	Addr netip.Addr
}

// Found is what is known of a link.
type Found struct {
	Routers []netip.Addr // without zone; default routers first, then the least address
	Problem string       // why nothing can be heard; "": it can
}

func (f Found) equal(other Found) bool {
	return f.Problem == other.Problem && slices.Equal(f.Routers, other.Routers)
}

// NewRouters calls changed when something else is found.
func NewRouters(changed func()) *Routers {
	return &Routers{
		changed: changed, links: map[int]Neighborhood{}, found: map[int]Found{},
		woken: make(chan struct{}, 1), messages: make(chan message), open: map[int]*neighborhood{},
	}
}

// Follow says on which links to look. Of a link that is no longer among them, or has another
// address, everything is forgotten.
func (r *Routers) Follow(links []Neighborhood) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := make(map[int]Neighborhood, len(links))
	for _, l := range links {
		now[l.Link] = l
	}
	for index, l := range r.links {
		if now[index] != l {
			delete(r.found, index)
		}
	}
	r.links = now
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// On returns what is known of a link.
func (r *Routers) On(link int) Found {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found[link]
}

// Run listens and speaks until ctx ends. Its sockets are of the network namespace of its thread.
func (r *Routers) Run(ctx context.Context) error {
	tick := time.NewTicker(leastGap)
	defer tick.Stop()
	defer func() {
		for index := range r.open {
			r.close(index)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.woken:
			r.reconcile(ctx)
		case m := <-r.messages:
			r.take(m)
		case <-tick.C:
			r.reconcile(ctx) // what could not be opened is tried again
			for index, n := range r.open {
				n.tick(time.Now())
				r.publish(index, n.found())
			}
		}
	}
}

// reconcile opens and closes what is to be followed now and is not, or no longer.
func (r *Routers) reconcile(ctx context.Context) {
	r.mu.Lock()
	wanted := r.links
	r.mu.Unlock()
	for index, n := range r.open {
		if wanted[index] != n.Neighborhood {
			r.close(index)
		}
	}
	for index, l := range wanted {
		if r.open[index] != nil {
			continue
		}
		conn, err := listenND(l)
		if err != nil {
			r.publish(index, Found{Problem: fmt.Sprintf("listening for router advertisements on %s: %v", l.Name, err)})
			continue
		}
		n := &neighborhood{Neighborhood: l, conn: conn, heard: map[netip.Addr]heard{}, over: make(chan struct{})}
		r.open[index] = n
		go r.read(ctx, n)
		n.tick(time.Now())
		r.publish(index, n.found())
	}
}

func (r *Routers) close(index int) {
	n := r.open[index]
	delete(r.open, index)
	close(n.over)
	_ = n.conn.Close() // nothing is written that could be lost
}

// read passes on what a link tells, until it is closed.
func (r *Routers) read(ctx context.Context, n *neighborhood) {
	for {
		m, err := n.conn.read()
		if errors.Is(err, errNotND) {
			continue
		}
		m.of, m.err = n, err
		select {
		case r.messages <- m:
		case <-n.over:
			return
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// take acts on one message.
func (r *Routers) take(m message) {
	index := m.of.Link
	if r.open[index] != m.of {
		return // it was closed since
	}
	if m.err != nil {
		r.close(index) // and opened again at the next tick
		return
	}
	m.of.take(m, time.Now())
	r.publish(index, m.of.found())
}

// publish has On answer so, as long as the link is followed.
func (r *Routers) publish(index int, now Found) {
	r.mu.Lock()
	_, followed := r.links[index]
	news := followed && !r.found[index].equal(now)
	if news {
		r.found[index] = now
	}
	r.mu.Unlock()
	if news {
		r.changed()
	}
}
