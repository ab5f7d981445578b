package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	floorProtocol = 219
	floorBatch    = 128 // messages in one write
)

// floor writes the feed into the node's kernel with nothing around it: messages encoded
// before, many in one write, an acknowledgement for the last of each. No daemon can be faster.
func (s *fibSite) floor(ctx context.Context, set feed) (time.Duration, error) {
	var batches [][]byte
	for start := 0; start < len(set.prefixes); start += floorBatch {
		var batch []byte
		for i := start; i < min(start+floorBatch, len(set.prefixes)); i++ {
			last := i == min(start+floorBatch, len(set.prefixes))-1
			batch = appendRoute(batch, set.prefixes[i], set.hop(i), s.link, last)
		}
		batches = append(batches, batch)
	}
	var took time.Duration
	err := s.node.Inside(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("opening rtnetlink: %w", err)
		}
		defer func() { _ = unix.Close(fd) }()
		began := time.Now()
		for _, batch := range batches {
			if err := writeBatch(fd, batch); err != nil {
				return err
			}
		}
		took = time.Since(began)
		return ctx.Err()
	})
	return took, err
}

// writeBatch sends one batch and reads the answer to its last message. The kernel answers an
// earlier one only to say that it failed.
func writeBatch(fd int, batch []byte) error {
	if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("writing routes: %w", err)
	}
	var answer [4096]byte
	n, _, err := unix.Recvfrom(fd, answer[:], 0)
	if err != nil {
		return fmt.Errorf("reading the kernel's answer: %w", err)
	}
	if n < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("the kernel answered with %d bytes", n)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return fmt.Errorf("writing routes: %w", unix.Errno(-code))
	}
	return nil
}

// appendRoute appends an RTM_NEWROUTE that creates the route.
func appendRoute(b []byte, prefix netip.Prefix, hop netip.Addr, link int, acknowledge bool) []byte {
	start := len(b)
	flags := uint16(unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	if acknowledge {
		flags |= unix.NLM_F_ACK
	}
	af := byte(unix.AF_INET)
	if prefix.Addr().Is6() {
		af = unix.AF_INET6
	}
	b = append(b, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_NEWROUTE)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(b,
		0, 0, 0, 0, 0, 0, 0, 0, // sequence, port
		af, byte(prefix.Bits()), 0, 0, unix.RT_TABLE_MAIN, floorProtocol, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0)
	b = appendAttribute(b, unix.RTA_DST, prefix.Addr().AsSlice())
	b = appendAttribute(b, unix.RTA_GATEWAY, hop.AsSlice())
	b = appendAttribute(b, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(link)))
	b = appendAttribute(b, unix.RTA_PRIORITY, binary.NativeEndian.AppendUint32(nil, 2048))
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendAttribute appends a value whose length is a multiple of four.
func appendAttribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	return append(binary.NativeEndian.AppendUint16(b, kind), value...)
}
