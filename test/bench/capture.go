package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/test/lab"
)

const bgpPort = 179

// capture reads, on a router's wire, the BGP messages of one peer, with the time at which the
// router's kernel had the packet.
type capture struct {
	file *os.File
	from netip.Addr
	tell func(update) // called by one goroutine

	stream stream
	ended  chan struct{}

	mu       sync.Mutex
	updates  int
	stopping bool
	err      error // what could not be read, or what a session that is left alone never shows
}

// startCapture begins to read what comes in over an interface of the host from an address.
func startCapture(h *lab.Host, device string, from netip.Addr, tell func(update)) (*capture, error) {
	c := &capture{from: from, tell: tell, ended: make(chan struct{})}
	err := h.Inside(func() (err error) {
		c.file, err = openPacketSocket(device)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capturing at %s: %w", h.Name(), err)
	}
	go c.run()
	return c, nil
}

// openPacketSocket returns a socket that has the IPv4 packets coming in over an interface.
func openPacketSocket(device string) (*os.File, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Index}),
	)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "capture"), nil
}

func (c *capture) run() {
	defer close(c.ended)
	buffer, control := make([]byte, 1<<17), make([]byte, 256)
	for {
		size, at, err := c.receive(buffer, control)
		if err != nil {
			c.fault(err)
			return
		}
		segment, ok := segmentOf(buffer[:size])
		if !ok || segment.from.Addr() != c.from || segment.from.Port() != bgpPort && segment.to.Port() != bgpPort {
			continue
		}
		c.take(segment, at)
	}
}

func (c *capture) take(segment segment, at time.Time) {
	if segment.ends {
		c.fault(errors.New("the TCP connection of the session has ended"))
	}
	messages, err := c.stream.add(segment)
	if err != nil {
		c.fault(err)
	}
	for _, message := range messages {
		u, isUpdate, err := parseUpdate(message)
		if err != nil {
			c.fault(err)
		}
		if isUpdate {
			c.mu.Lock()
			c.updates++
			c.mu.Unlock()
			u.at = at
			c.tell(u)
		}
	}
}

// receive waits for the next packet.
func (c *capture) receive(buffer, control []byte) (size int, at time.Time, err error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return 0, at, err
	}
	var controlled int
	waited := raw.Read(func(fd uintptr) bool {
		size, controlled, _, _, err = unix.Recvmsg(int(fd), buffer, control, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err := errors.Join(waited, err); err != nil {
		return 0, at, err
	}
	messages, err := syscall.ParseSocketControlMessage(control[:controlled])
	if err != nil {
		return 0, at, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			seconds, nanoseconds := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return size, time.Unix(int64(seconds), int64(nanoseconds)), nil
		}
	}
	return 0, at, errors.New("a captured packet has no timestamp")
}

func (c *capture) fault(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && !c.stopping {
		c.err = err
	}
}

// count returns how many UPDATEs there were.
func (c *capture) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updates
}

// stop ends the capture and returns what was wrong with it, or with the session.
func (c *capture) stop() error {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	var dropped uint32
	raw, err := c.file.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			var statistics *unix.TpacketStats
			if statistics, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
				dropped = statistics.Drops
			}
		})
	}
	err = errors.Join(err, c.file.Close())
	<-c.ended // its reads fail now
	if dropped > 0 {
		err = errors.Join(err, fmt.Errorf("the capture has lost %d packets", dropped))
	}
	return errors.Join(err, c.err)
}

// quietFor waits until no UPDATE has come for that long.
func (c *capture) quietFor(ctx context.Context, d time.Duration) error {
	for {
		before := c.count()
		if err := pause(ctx, d); err != nil {
			return err
		}
		if c.count() == before {
			return nil
		}
	}
}
