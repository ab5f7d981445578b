package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// ErrRefused is that of a session that the other side ends before it is up.
var ErrRefused = errors.New("the session is refused")

// Notification is one that was received (RFC 4271, section 4.5); the zero value is none.
type Notification struct {
	Code, Subcode byte
}

// String renders it as "3/1".
func (n Notification) String() string { return fmt.Sprintf("%d/%d", n.Code, n.Subcode) }

// Session is one end of a connection. What comes is read and dropped, but for how it ends.
type Session struct {
	net.Conn
	ended chan struct{}

	mu    sync.Mutex
	final Notification
}

// Establish speaks over a fresh connection until the session is up, and follows it then.
func Establish(conn net.Conn, open Open, patience time.Duration) (*Session, error) {
	if err := Handshake(conn, open, patience); err != nil {
		return nil, err
	}
	return Follow(conn), nil
}

// Handshake speaks over a fresh connection until the session is up. Who calls it has to read what comes then.
func Handshake(conn net.Conn, open Open, patience time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Write(append(open.Message(), Message(KeepaliveType)...)); err != nil {
		return err
	}
	for _, want := range []byte{OpenType, KeepaliveType} { // its OPEN, and what accepts ours
		kind, body, err := Read(conn)
		switch {
		case err != nil:
			return err
		case kind == NotificationType && len(body) >= 2:
			return fmt.Errorf("%w: NOTIFICATION %s", ErrRefused, Notification{body[0], body[1]})
		case kind != want:
			return fmt.Errorf("a message of type %d came, want %d", kind, want)
		}
	}
	return conn.SetDeadline(time.Time{})
}

// Follow reads what comes over the connection, whatever state it is in.
func Follow(conn net.Conn) *Session {
	s := &Session{Conn: conn, ended: make(chan struct{})}
	go s.follow()
	return s
}

func (s *Session) follow() {
	defer close(s.ended)
	for {
		kind, body, err := Read(s.Conn)
		if err != nil {
			return
		}
		if kind == NotificationType && len(body) >= 2 {
			s.mu.Lock()
			s.final = Notification{body[0], body[1]}
			s.mu.Unlock()
		}
	}
}

// Ended is closed once the other side has closed the connection.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Final is the NOTIFICATION that came last.
func (s *Session) Final() Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.final
}

// Read reads one message.
func Read(from io.Reader) (kind byte, body []byte, err error) {
	head := make([]byte, headLength)
	if _, err := io.ReadFull(from, head); err != nil {
		return 0, nil, err
	}
	length := int(binary.BigEndian.Uint16(head[16:]))
	if length < headLength {
		return 0, nil, fmt.Errorf("a message of %d bytes", length)
	}
	body = make([]byte, length-headLength)
	_, err = io.ReadFull(from, body)
	return head[18], body, err
}
