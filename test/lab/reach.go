package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// NetNS is the file of the host's network namespace, as seen from outside the lab.
func (h *Host) NetNS() string {
	return fmt.Sprintf("/proc/%d/root/run/netns/%s", h.lab.keeper.pid, h.name)
}

// Dial connects as a program on the host would, from this process.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	entered := h.Inside(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, entered
}

// Listen listens as a program on the host would, from this process.
func (h *Host) Listen(network, address string) (listener net.Listener, err error) {
	entered := h.Inside(func() error {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, entered
}

// Inside calls do on a thread that is in the host's network namespace: sockets made there
// belong to it. do must not start goroutines that make sockets of their own.
func (h *Host) Inside(do func() error) error {
	file, err := os.Open(h.NetNS())
	if err != nil {
		return fmt.Errorf("entering the network of %s: %w", h.name, err)
	}
	defer file.Close()
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("entering the network of %s: %w", h.name, err)
			return
		}
		result <- do()
	}()
	return <-result
}
