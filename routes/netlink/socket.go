package netlink

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// conn is a netlink socket as the requests need it; tests put answers of a kernel under
// pressure in its place.
type conn interface {
	send(b []byte) error
	// receive reads one datagram. It returns EAGAIN when none came in time.
	receive(buf []byte) (int, error)
	// port is the address of the socket: the kernel names it in what it tells others of
	// changes that were asked for here.
	port() uint32
	close() error
}

const (
	// receiveBuffer is asked of the kernel. Answers to a batch must fit, or an error is lost.
	receiveBuffer = 4 << 20
	// datagram is the most that one receive may bring: the kernel's dumps use up to 32 KiB.
	datagram = 64 << 10
	// patience is how long an answer may take. The kernel carries out route changes within
	// the send, so only a kernel in deep trouble keeps one waiting.
	patience = 10 * time.Second
)

type socket struct {
	fd     int
	portID uint32
}

// open opens a request socket in the current network namespace, where it stays.
func open() (*socket, error) {
	fd, portID, err := bound(0)
	if err != nil {
		return nil, err
	}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("opening a netlink socket: %w", err), unix.Close(fd))
	}
	// Before 4.20 the kernel lacks some of these: errors then come without words, and dumps
	// without filter. Both are handled where they are read.
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK, unix.NETLINK_GET_STRICT_CHK} {
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1)
	}
	return &socket{fd: fd, portID: portID}, nil
}

// bound returns a route netlink socket that has its address.
func bound(flags int) (fd int, portID uint32, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, 0, fmt.Errorf("opening a netlink socket: %w", err)
	}
	if portID, err = bind(fd); err != nil {
		return 0, 0, errors.Join(fmt.Errorf("opening a netlink socket: %w", err), unix.Close(fd))
	}
	// With CAP_NET_ADMIN the limit of the system does not apply; without, it is what it is.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	return fd, portID, nil
}

// bind lets the kernel choose the socket's address, and returns it.
func bind(fd int) (uint32, error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	own, ok := address.(*unix.SockaddrNetlink)
	if !ok {
		return 0, fmt.Errorf("the kernel gave it the address %v", address)
	}
	return own.Pid, nil
}

func (s *socket) port() uint32 { return s.portID }

func (s *socket) close() error { return unix.Close(s.fd) }

func (s *socket) send(b []byte) error {
	for {
		err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s *socket) receive(buf []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, buf, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n > len(buf):
			return 0, fmt.Errorf("the kernel sent %d bytes at once, more than the %d expected", n, len(buf))
		default:
			return n, nil
		}
	}
}
