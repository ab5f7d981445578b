package gobgp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"syscall"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/server"
)

// Connections of callers, held until the caller is a peer.
//
// GoBGP closes the connection of a stranger, and a router that meets that waits: FRR for its connect
// retry time, 120 seconds if nobody has set it, and while it keeps our routes for a graceful restart until
// that is over. But before GoBGP closes a connection it says so in its log, in the same goroutine, and a
// duplicate of the descriptor made there keeps the connection open. Once the caller is a peer, the
// duplicate takes the way that GoBGP's own listeners use. That way is none of GoBGP's API: where it is not
// as it is in this version, the caller is refused once, and nothing else changes.

const (
	// maxHeld bounds the connections that are held at once; others are refused.
	maxHeld = 64
	// holdFor is how long a caller has to become a peer.
	holdFor = 5 * time.Second
	// activePatience is how long a new peer may take until it takes connections, which is in no time.
	activePatience = time.Second
)

// heldConn is a connection whose address is no peer's yet.
type heldConn struct {
	*net.TCPConn
	since time.Time
}

// hold keeps the connection of a caller open that GoBGP is about to close.
func (c *callers) hold(addr netip.Addr, now time.Time) {
	if _, held := c.held[addr]; held || len(c.held) >= maxHeld || c.port == 0 {
		return
	}
	conn, err := duplicate(addr, c.port)
	if err != nil {
		return // the caller is refused, and comes again
	}
	if c.held == nil {
		c.held = map[netip.Addr]heldConn{}
	}
	c.held[addr] = heldConn{conn, now}
}

// expire closes the connections of those that have not become peers in time.
func (c *callers) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for addr, h := range c.held {
		if now.Sub(h.since) >= holdFor {
			h.Close()
			delete(c.held, addr)
		}
	}
}

// take returns the connection of a caller that has become a peer. Closing nil is no mistake.
func (c *callers) take(addr netip.Addr) *net.TCPConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[addr]
	delete(c.held, addr)
	return h.TCPConn
}

// admit hands GoBGP the connections of callers that are peers now.
func (s *Speaker) admit(ctx context.Context) {
	for _, addr := range s.log.callers.holding() {
		if _, is := s.held.peers[addr]; !is {
			continue
		}
		conn, accepts := s.log.callers.take(addr), acceptsOf(s.server)
		if accepts == nil || !s.awaitActive(ctx, addr) {
			conn.Close()
			continue
		}
		select {
		case accepts <- conn:
		case <-ctx.Done():
			conn.Close()
		}
	}
}

// holding returns the callers whose connections are held, sorted.
func (c *callers) holding() []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sortedAddrs(c.held)
}

// awaitActive waits until a peer that was added a moment ago takes connections.
func (s *Speaker) awaitActive(ctx context.Context, addr netip.Addr) bool {
	for deadline := time.Now().Add(activePatience); ; {
		live, err := s.livePeer(ctx, addr)
		switch {
		case err != nil || time.Now().After(deadline):
			return false
		case live.GetState().GetSessionState() == api.PeerState_ACTIVE:
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(activePatience / 200):
		}
	}
}

// acceptsOf returns the channel on which GoBGP's listeners hand over connections; nil if there is none.
func acceptsOf(s *server.BgpServer) chan<- *net.TCPConn {
	field := reflect.ValueOf(s).Elem().FieldByName("acceptCh")
	if !field.IsValid() || field.Type() != reflect.TypeFor[chan *net.TCPConn]() {
		return nil
	}
	return *(*chan *net.TCPConn)(field.Addr().UnsafePointer())
}

var errNoConnection = errors.New("there is no such connection")

// duplicate finds a connection of this process by the address of its other end and our port, and
// returns one more of it.
func duplicate(from netip.Addr, port uint16) (*net.TCPConn, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || !connects(fd, from, port) {
			continue
		}
		again, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			return nil, errno
		}
		return adopt(int(again), from, port)
	}
	return nil, errNoConnection
}

// adopt makes a connection of a descriptor, unless that was closed and used anew before it was duplicated.
func adopt(fd int, from netip.Addr, port uint16) (*net.TCPConn, error) {
	file := os.NewFile(uintptr(fd), "caller")
	defer file.Close()
	if !connects(fd, from, port) {
		return nil, errNoConnection
	}
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errNoConnection, conn.Close())
	}
	return tcp, nil
}

// connects reports whether a descriptor is a connection from the address to our port.
func connects(fd int, from netip.Addr, port uint16) bool {
	remote, err := syscall.Getpeername(fd)
	if err != nil {
		return false
	}
	local, err := syscall.Getsockname(fd)
	return err == nil && addrPort(remote).Addr() == from.WithZone("") && addrPort(local).Port() == port
}

func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
