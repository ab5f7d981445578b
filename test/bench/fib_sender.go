package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	senderASN = 65001
	nodeASN   = 64512
	// dialPause lies between the sender's attempts: a router that dials as hard as that is
	// there whenever the daemon under test is.
	dialPause = 10 * time.Millisecond
	holdTime  = 90
)

// sender is the router that the node learns from. It writes UPDATEs that were encoded before.
type sender struct {
	conn net.Conn
	up   time.Time // when the session was established
	end  chan error

	writing sync.Mutex
}

// connect dials until a session is established. dial makes one attempt.
func connect(ctx context.Context, f family, dial func(context.Context) (net.Conn, error)) (*sender, error) {
	for {
		conn, err := dial(ctx)
		if err == nil {
			if err = handshake(conn, f); err == nil {
				s := &sender{conn: conn, up: time.Now(), end: make(chan error, 1)}
				go s.listen()
				return s, nil
			}
			_ = conn.Close()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no session came about: %w (%w)", context.Cause(ctx), err)
		case <-time.After(dialPause):
		}
	}
}

// handshake exchanges OPEN and KEEPALIVE.
func handshake(conn net.Conn, f family) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Write(appendOpen(nil, f)); err != nil {
		return err
	}
	for _, want := range []byte{typeOpen, typeKeepalive} {
		kind, _, err := readMessage(conn)
		if err != nil {
			return err
		}
		if kind != want {
			return fmt.Errorf("a message of type %d came, want %d", kind, want)
		}
		if kind == typeOpen {
			if _, err := conn.Write(keepalive()); err != nil {
				return err
			}
		}
	}
	return conn.SetDeadline(time.Time{})
}

// appendOpen offers one family, AS numbers of four octets, and graceful restart (RFC 4724),
// without which End-of-RIB says nothing.
func appendOpen(b []byte, f family) []byte {
	return appendMessage(b, typeOpen, func(b []byte) []byte {
		b = append(b, 4)
		b = binary.BigEndian.AppendUint16(b, senderASN)
		b = binary.BigEndian.AppendUint16(b, holdTime)
		b = append(b, 192, 0, 2, 1)
		capabilities := []byte{1, 4, 0, f.afi, 0, 1, 65, 4}
		capabilities = binary.BigEndian.AppendUint32(capabilities, senderASN)
		capabilities = append(capabilities, 64, 6, 0, 120, 0, f.afi, 1, 0)
		n := byte(len(capabilities))
		return append(append(b, n+2, 2, n), capabilities...)
	})
}

func keepalive() []byte {
	return appendMessage(nil, typeKeepalive, func(b []byte) []byte { return b })
}

func readMessage(r io.Reader) (kind byte, body []byte, err error) {
	var header [messageHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	length := int(binary.BigEndian.Uint16(header[16:]))
	if length < messageHeader {
		return 0, nil, fmt.Errorf("a message of %d octets came", length)
	}
	body = make([]byte, length-messageHeader)
	_, err = io.ReadFull(r, body)
	return header[18], body, err
}

// listen keeps the session up until it ends.
func (s *sender) listen() {
	alive := time.NewTicker(holdTime / 3 * time.Second)
	defer alive.Stop()
	ended := make(chan error, 1)
	go func() {
		for {
			kind, body, err := readMessage(s.conn)
			if err == nil && kind != typeUpdate && kind != typeKeepalive {
				err = fmt.Errorf("a message of type %d came: %x", kind, body)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	for {
		select {
		case err := <-ended:
			s.end <- err
			return
		case <-alive.C:
			_ = s.write(keepalive()) // a dead session shows above
		}
	}
}

func (s *sender) write(messages []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.conn.Write(messages)
	return err
}

// alive returns why the session has ended, nil while it stands.
func (s *sender) alive() error {
	select {
	case err := <-s.end:
		s.end <- err
		return fmt.Errorf("the session has ended: %w", err)
	default:
		return nil
	}
}

// close ends the session without a word, and waits until nothing reads from it any more.
func (s *sender) close() error {
	err := s.conn.Close()
	<-s.end
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// family is an address family as the bench uses it.
type family struct {
	name   string // of keys in the result: "", "_v6"
	afi    byte
	flag   string // of ip
	pool   netip.Prefix
	length int
	node   netip.Addr // of the daemon under test
	hops   [2]netip.Addr
}

// The sender has the first of the next hops as its own address.
var families = map[string]family{
	"4": {
		afi: 1, flag: "-4", pool: netip.MustParsePrefix(poolIPv4), length: lengthIPv4,
		node: netip.MustParseAddr("192.0.2.2"),
		hops: [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.3")},
	},
	"6": {
		name: "_v6", afi: 2, flag: "-6", pool: netip.MustParsePrefix(poolIPv6), length: lengthIPv6,
		node: netip.MustParseAddr("2001:db8::2"),
		hops: [2]netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::3")},
	},
}
