package badpeer

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// Peer is one connection.
type Peer struct {
	conn net.Conn
	// notified is closed once the speaker has sent a NOTIFICATION or closed the connection.
	notified chan struct{}
	reading  sync.Once
	up       bool // the session was established
}

const (
	dialTimeout      = time.Second
	handshakeTimeout = 10 * time.Second
	// aliveEvery keeps sessions up with the hold times that are used here.
	aliveEvery = 20 * time.Second
)

// Dial connects once from an address of the host to the speaker.
func Dial(ctx context.Context, from *lab.Host, source netip.Addr, to netip.AddrPort) (*Peer, error) {
	dialer := net.Dialer{Timeout: dialTimeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}
	var conn net.Conn
	err := from.Inside(func() (err error) {
		conn, err = dialer.DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to the speaker: %w", err)
	}
	return &Peer{conn: conn, notified: make(chan struct{})}, nil
}

// Hear reads the speaker's next message.
func (p *Peer) Hear() (kind byte, body []byte, err error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return 0, nil, err
	}
	var header [headerLength]byte
	if _, err := io.ReadFull(p.conn, header[:]); err != nil {
		return 0, nil, err
	}
	length := int(binary.BigEndian.Uint16(header[16:]))
	if length < headerLength {
		return 0, nil, fmt.Errorf("the speaker sent a message of %d octets", length)
	}
	body = make([]byte, length-headerLength)
	_, err = io.ReadFull(p.conn, body)
	return header[18], body, err
}

// Handshake brings the session up. Without an error it is established.
func (p *Peer) Handshake(o Open) error {
	if err := p.Send(o.Encode()); err != nil {
		return err
	}
	for _, want := range []byte{TypeOpen, TypeKeepalive} {
		kind, body, err := p.Hear()
		if err != nil {
			return fmt.Errorf("waiting for a message of type %d: %w", want, err)
		}
		if kind != want {
			return fmt.Errorf("the speaker sent a message of type %d, not %d: %x", kind, want, body)
		}
		if kind == TypeOpen {
			if err := p.Send(Message(TypeKeepalive)); err != nil {
				return err
			}
		}
	}
	p.up = true
	return nil
}

// Send writes octets as they are.
func (p *Peer) Send(octets []byte) error {
	if err := p.conn.SetWriteDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	_, err := p.conn.Write(octets)
	return err
}

// Stay keeps the session up and reads what comes, until the speaker ends it or Close.
func (p *Peer) Stay() {
	p.reading.Do(func() {
		_ = p.conn.SetDeadline(time.Time{})
		go func() {
			defer close(p.notified)
			_, _ = io.Copy(io.Discard, p.conn)
		}()
		if !p.up {
			return // a KEEPALIVE would not be expected
		}
		go func() {
			alive := time.NewTicker(aliveEvery)
			defer alive.Stop()
			for {
				select {
				case <-p.notified:
					return
				case <-alive.C:
					_, _ = p.conn.Write(Message(TypeKeepalive)) // a dead session shows above
				}
			}
		}()
	})
}

// Ended is closed once the speaker has ended the connection. It needs Stay.
func (p *Peer) Ended() <-chan struct{} { return p.notified }

// Close ends the connection without a word.
func (p *Peer) Close() error { return p.conn.Close() }
