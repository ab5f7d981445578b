// Package netlink is the one place that knows rtnetlink: it reads the routes that bear our
// protocol number, writes routes in batches, and watches for changes made by others.
//
// It never changes a route that is not ours, as far as the kernel lets it tell: adds are
// exclusive, deletes name our protocol number, and nothing is ever appended, for in IPv6
// that would merge our next hops into someone else's route.
package netlink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
)

// Options of New.
type Options struct {
	// Protocol marks routes as ours in the kernel; ValidateProtocol says which may be used.
	Protocol uint8
}

// FIB implements routes.FIB for the network namespace in which New was called. Its methods
// may be called from any goroutine; one at a time works, the others wait.
type FIB struct {
	protocol  uint8
	following following

	mu   sync.Mutex
	conn conn
	seq  uint32
	in   []byte // one datagram
	out  []byte // one batch
}

var _ routes.FIB = (*FIB)(nil)

// New opens the kernel's routes in the current network namespace. Close it after use.
func New(options Options) (*FIB, error) {
	if err := ValidateProtocol(int(options.Protocol)); err != nil {
		return nil, err
	}
	conn, err := open()
	if err != nil {
		return nil, err
	}
	return newFIB(options.Protocol, conn), nil
}

func newFIB(protocol uint8, conn conn) *FIB {
	return &FIB{protocol: protocol, conn: conn, in: make([]byte, datagram)}
}

// Close releases the socket. The routes stay.
func (f *FIB) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conn.close()
}

const (
	// dumpAttempts bounds how often a dump is begun again because the table changed under it.
	dumpAttempts = 7
	// dumpPause is the wait before the second attempt; it doubles, to 310 ms in all.
	dumpPause = 5 * time.Millisecond
)

var errInterrupted = errors.New("the table changed while it was read")

// Dump implements routes.FIB. The kernel itself leaves out what is not ours (since 4.20), so
// that foreign routes cost no memory here. A dump that the kernel marks as inconsistent is
// begun again, and is an error in the end: it may lack routes.
func (f *FIB) Dump(ctx context.Context) ([]routes.Route, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []routes.Route
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		part, err := f.dumpFamily(ctx, dump{family: family, protocol: f.protocol})
		if err != nil {
			return nil, fmt.Errorf("listing %s routes of protocol %d: %w", familyName(family), f.protocol, err)
		}
		list = append(list, part...)
	}
	return list, nil
}

func familyName(family uint8) string {
	if family == unix.AF_INET {
		return "IPv4"
	}
	return "IPv6"
}

func (f *FIB) dumpFamily(ctx context.Context, d dump) ([]routes.Route, error) {
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		list, err := f.dumpOnce(d)
		if !errors.Is(err, errInterrupted) || attempt == dumpAttempts {
			return list, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(dumpPause << (attempt - 1)):
		}
	}
}

func (f *FIB) dumpOnce(d dump) ([]routes.Route, error) {
	f.seq++
	request := appendHeader(nil, unix.RTM_GETROUTE, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, f.seq)
	request = append(request, d.family, 0, 0, 0, d.table, d.protocol, 0, 0, 0, 0, 0, 0)
	if err := f.conn.send(finish(request, 0)); err != nil {
		return nil, err
	}
	for !d.done {
		n, err := f.conn.receive(f.in)
		if errors.Is(err, unix.ENOBUFS) {
			d.note(errInterrupted)
			continue
		}
		if err != nil {
			return nil, noAnswer(err)
		}
		f.eachAnswer(f.in[:n], func(h header, payload []byte) { d.take(h, payload) })
	}
	if d.err != nil {
		return nil, d.err
	}
	return d.list, nil
}

// eachAnswer hands over the messages of a datagram that answer the last request; others
// are late answers to a request that was given up.
func (f *FIB) eachAnswer(b []byte, take func(header, []byte)) {
	for len(b) > 0 {
		h, payload, rest, err := nextMessage(b)
		if err != nil {
			return // what the datagram lacks is then waited for, and reported, as no answer
		}
		if h.seq == f.seq {
			take(h, payload)
		}
		b = rest
	}
}

// noAnswer gives a receive timeout its meaning.
func noAnswer(err error) error {
	if errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("the kernel gave no answer within %v", patience)
	}
	return fmt.Errorf("reading the kernel's answer: %w", err)
}

// dump collects the answers of one dump. It reads on to the end after an error, for the
// kernel starts no other dump on the socket before.
type dump struct {
	family   uint8
	protocol uint8             // 0: any
	table    uint8             // 0: any
	keep     func(parsed) bool // nil: all
	list     []routes.Route
	err      error // the first
	done     bool
}

func (d *dump) note(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *dump) take(h header, payload []byte) {
	if h.flags&unix.NLM_F_DUMP_INTR != 0 {
		d.note(errInterrupted)
	}
	switch h.kind {
	case unix.NLMSG_DONE, unix.NLMSG_ERROR:
		d.done = true
		if err := answerOf(payload); err != nil && !d.unsupported(err) {
			d.note(err)
		}
	case unix.RTM_NEWROUTE:
		p, err := parseRoute(payload)
		if err != nil {
			d.note(err)
			return
		}
		// A kernel that cannot filter sends all protocols and the clones of the route cache;
		// one without IPv6 answers with IPv4.
		if d.wants(p) {
			d.list = append(d.list, d.read(p))
		}
	}
}

func (d *dump) read(p parsed) routes.Route {
	if d.protocol == 0 {
		return p.route
	}
	return p.asOurs()
}

func (d *dump) wants(p parsed) bool {
	return p.family == d.family && p.flags&unix.RTM_F_CLONED == 0 &&
		(d.protocol == 0 || p.protocol == d.protocol) && (d.table == 0 || p.route.Table == uint32(d.table)) &&
		(d.keep == nil || d.keep(p))
}

// unsupported reports whether the error says that this kernel has no IPv6, and so no
// IPv6 routes.
func (d *dump) unsupported(err error) bool {
	return d.family == unix.AF_INET6 &&
		(errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP))
}
