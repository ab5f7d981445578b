package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairway-bgp/fairway/test/raw"
)

const (
	senderASN = 65001
	nodeASN   = 64512
	// dialPause lies between the sender's attempts: a router that dials as hard as that is
	// there whenever the daemon under test is.
	dialPause = 10 * time.Millisecond
	holdTime  = 90
)

var senderID = netip.MustParseAddr("192.0.2.1")

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
			if err = raw.Handshake(conn, openFor(f), patience); err == nil {
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

// openFor offers one family, AS numbers of four octets, and graceful restart (RFC 4724), without which
// End-of-RIB says nothing.
func openFor(f family) raw.Open {
	return raw.Open{
		ASN: senderASN, HoldTime: holdTime, ID: senderID,
		Parameters: slices.Concat(
			raw.Capability(1, 0, f.afi, 0, 1),
			raw.Capability(65, 0, 0, senderASN>>8, senderASN&255),
			raw.Capability(64, 0, 120, 0, f.afi, 1, 0)),
	}
}

// listen keeps the session up until it ends.
func (s *sender) listen() {
	alive := time.NewTicker(holdTime / 3 * time.Second)
	defer alive.Stop()
	ended := make(chan error, 1)
	go func() {
		for {
			kind, body, err := raw.Read(s.conn)
			if err == nil && kind != raw.UpdateType && kind != raw.KeepaliveType {
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
			_ = s.write(raw.Message(raw.KeepaliveType)) // a dead session shows above
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
