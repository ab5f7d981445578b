package services

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	// connectTime is more than two lost packets take: TCP sends the first again after one
	// second and after three.
	connectTime = 3500 * time.Millisecond
	// lateTime: a connection that took longer had lost its first packet.
	lateTime = 900 * time.Millisecond
	// pace is how long the client waits between two connections to an address.
	pace = 50 * time.Millisecond
	// beat is how often an open connection is used.
	beat = 200 * time.Millisecond
)

// answered is what a pod has said.
type answered struct {
	pod    string
	source netip.Addr
}

// ask makes a connection and reads what the pod says. It has to run inside the host.
func ask(ctx context.Context, to address) (conn net.Conn, a answered, err error) {
	return askFrom(ctx, nil, to)
}

// askFrom does it from an address and port of its own.
func askFrom(ctx context.Context, from net.Addr, to address) (conn net.Conn, a answered, err error) {
	dialer := net.Dialer{Timeout: connectTime, LocalAddr: from}
	conn, err = dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(to.addr, 80).String())
	if errors.Is(err, syscall.ECONNRESET) { // a connection that is not made is refused
		return nil, a, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	if err != nil {
		return nil, a, err
	}
	if a, err = listen(conn); err != nil {
		return nil, a, errors.Join(fmt.Errorf("%w: %w", errUnanswered, err), conn.Close())
	}
	return conn, a, nil
}

// errUnanswered: the connection was made, and broke before the pod had said anything.
var errUnanswered = errors.New("reading the answer")

// listen reads what the pod says first.
func listen(conn net.Conn) (a answered, err error) {
	if err := conn.SetDeadline(time.Now().Add(connectTime)); err != nil {
		return a, err
	}
	line, err := bufio.NewReaderSize(conn, 64).ReadString('\n')
	if err != nil {
		return a, err
	}
	name, source, _ := strings.Cut(strings.TrimSpace(line), " ")
	a.pod = name
	a.source, err = netip.ParseAddr(source)
	return a, err
}

// load makes new connections to addresses all the time, and holds some open.
type load struct {
	client *lab.Host
	began  time.Time
	stop   context.CancelFunc
	ctx    context.Context
	group  sync.WaitGroup
	routes *journal

	// localOnly has new connections made to addresses of policy Local alone: those of policy Cluster
	// are announced by nobody while no endpoint is ready anywhere.
	localOnly atomic.Bool
	ports     atomic.Uint32 // that ownPort has given

	mu       sync.Mutex
	made     int      // new connections that were answered
	late     []late   // of those, the ones that had lost their first packet
	failed   []broken // that no connection was made of
	early    []broken // that were made, and broke before the first answer
	failures []string // of anything else; all of them after the end
	opened   int
	ended    int                   // open connections that broke when their pod ended
	moved    int                   // open connections that broke while their pod lived on
	alive    func(pod string) bool // whether its process is there
}

// startLoad begins. Two connections are made at a time to each address: where one packet is
// lost one is late, and where an address is with nobody, both are.
func (a *app) startLoad(to ...address) *load {
	l := &load{client: a.rig.client, began: time.Now(), alive: a.alive, routes: a.rig.startJournal()}
	l.ctx, l.stop = context.WithCancel(a.rig.t.Context())
	for _, a := range to {
		for range 2 {
			l.group.Go(func() { l.inside(func() { l.connect(a) }) })
		}
		l.group.Go(func() { l.inside(func() { l.hold(a) }) })
	}
	return l
}

func (l *load) inside(do func()) {
	if err := l.client.Inside(func() error { do(); return nil }); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failures = append(l.failures, err.Error())
	}
}

func (l *load) at(when time.Time) string {
	return fmt.Sprintf("%6.2f s: ", when.Sub(l.began).Seconds())
}

func (l *load) wait(d time.Duration) (goOn bool) {
	select {
	case <-l.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// connect makes one new connection after another.
func (l *load) connect(to address) {
	for l.wait(pace) {
		if l.localOnly.Load() && !to.service.local {
			continue
		}
		began := time.Now()
		conn, _, err := ask(context.WithoutCancel(l.ctx), to)
		took := time.Since(began)
		if errors.Is(err, errUnanswered) {
			l.mu.Lock()
			l.early = append(l.early, broken{to, began, began.Add(took), err})
			l.mu.Unlock()
			continue
		}
		if err != nil {
			l.mu.Lock()
			l.failed = append(l.failed, broken{to, began, began.Add(took), err})
			l.mu.Unlock()
			continue
		}
		_ = conn.Close()
		l.mu.Lock()
		l.made++
		if took > lateTime {
			l.late = append(l.late, late{to, began, began.Add(took)})
		}
		l.mu.Unlock()
	}
}

// broken is a connection that was not answered.
type broken struct {
	to          address
	began, done time.Time
	err         error
}

// judge makes failures of those that have no excuse. The routers' kernels may tell of a move after
// it has broken a connection, so that this is for the end.
func (l *load) judge() {
	for _, b := range l.failed {
		l.failures = append(l.failures, l.tell(b))
	}
	for _, b := range l.early {
		// Made over one path when the routers took another: its next packet came to a node that does
		// not know it, which nobody can mend but the routers.
		if l.routes.moved(b.to.addr, b.began, b.done) {
			l.opened++
			l.moved++
			continue
		}
		l.failures = append(l.failures, l.tell(b)+"; they were not seen to move its path")
	}
}

func (l *load) tell(b broken) string {
	return fmt.Sprintf("%s%s, after %.3f s: %v; the routers changed their routes to it %s",
		l.at(b.began), b.to, b.done.Sub(b.began).Seconds(), b.err, l.routes.near(b.to.addr, b.began))
}

// hold keeps a connection open and in use. Where it breaks another one follows.
func (l *load) hold(to address) {
	for l.wait(pace) {
		conn, a, err := askFrom(context.WithoutCancel(l.ctx), l.ownPort(to), to)
		if err != nil {
			continue // connect tells of it
		}
		l.mu.Lock()
		l.opened++
		l.mu.Unlock()
		broke := l.use(conn)
		_ = conn.Close()
		if !broke {
			return
		}
		l.mu.Lock()
		if l.alive(a.pod) {
			l.moved++
		} else {
			l.ended++
		}
		l.mu.Unlock()
	}
}

// ownPort returns a port that no other connection is made from: a pod that does not hear of the end of
// one whose path has moved keeps it, and a new one from there would meet it.
func (l *load) ownPort(to address) net.Addr {
	from := l.client.IPv4()
	if to.addr.Is6() {
		from = l.client.IPv6()
	}
	const firstPort = 10_000 // those up to 32767 are none that the kernel chooses
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, firstPort+uint16(l.ports.Add(1))))
}

func (l *load) use(conn net.Conn) (broke bool) {
	const line = "still there\n"
	answer := make([]byte, len(line))
	for l.wait(beat) {
		if err := conn.SetDeadline(time.Now().Add(connectTime)); err != nil {
			return true
		}
		if _, err := io.WriteString(conn, line); err != nil {
			return true
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return true
		}
	}
	return false
}

// end stops the load and returns the failures of new connections.
func (l *load) end() []string {
	l.stop()
	l.group.Wait()
	l.judge()
	return append(l.failures, l.routes.broke()...)
}

// late is a connection that was answered after its first packet had been lost.
type late struct {
	to          address
	began, done time.Time
}

// silences names the addresses that nobody answered at for a while: two connections to one were
// late at the same time.
func (l *load) silences() []string {
	var out []string
	for i, a := range l.late {
		for _, b := range l.late[:i] {
			if a.to == b.to && a.began.Before(b.done) && b.began.Before(a.done) {
				out = append(out, fmt.Sprintf("%s%s answered none of two connections for %.2f s", l.at(a.began), a.to, min(a.done.Sub(a.began), b.done.Sub(b.began)).Seconds()))
			}
		}
	}
	return out
}

func (l *load) String() string {
	return fmt.Sprintf("%d new connections in %.0f s, %d of them late by a lost packet; of %d open ones %d broke when their pod ended, %d when their path moved (%d before the first answer)",
		l.made, time.Since(l.began).Seconds(), len(l.late), l.opened, l.ended, l.moved, len(l.early))
}
