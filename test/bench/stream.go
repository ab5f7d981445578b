package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// segment is one of TCP.
type segment struct {
	from, to netip.AddrPort
	sequence uint32
	begins   bool // SYN
	ends     bool // FIN or RST
	data     []byte
}

// segmentOf reads an IPv4 packet. False: it holds no segment.
func segmentOf(ip []byte) (s segment, ok bool) {
	const tcp = 6
	if len(ip) < 20 || ip[0]>>4 != 4 || ip[9] != tcp {
		return s, false
	}
	header, length := int(ip[0]&0xf)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if length == 0 || length > len(ip) { // a packet that is yet to be cut up
		length = len(ip)
	}
	if length < header+20 {
		return s, false
	}
	source, _ := netip.AddrFromSlice(ip[12:16])
	destination, _ := netip.AddrFromSlice(ip[16:20])
	t := ip[header:length]
	offset := int(t[12]>>4) * 4
	if offset > len(t) {
		return s, false
	}
	const fin, syn, rst = 1, 2, 4
	return segment{
		from:     netip.AddrPortFrom(source, binary.BigEndian.Uint16(t)),
		to:       netip.AddrPortFrom(destination, binary.BigEndian.Uint16(t[2:])),
		sequence: binary.BigEndian.Uint32(t[4:]),
		begins:   t[13]&syn != 0,
		ends:     t[13]&(fin|rst) != 0,
		data:     t[offset:],
	}, true
}

// stream puts the segments of one direction of a connection in order, and cuts them into BGP
// messages. It may begin in the middle of a connection, at the start of a message.
type stream struct {
	started bool
	next    uint32 // the sequence number that comes next
	early   []segment
	buffer  []byte
}

// add returns the messages that are complete with this segment.
func (s *stream) add(seg segment) ([][]byte, error) {
	if seg.begins {
		*s = stream{started: true, next: seg.sequence + 1}
		return nil, nil
	}
	if len(seg.data) == 0 {
		return nil, nil
	}
	if !s.started {
		s.started, s.next = true, seg.sequence
	}
	seg.data = slices.Clone(seg.data)
	s.early = append(s.early, seg)
	for s.advance() {
	}
	return s.cut()
}

// advance takes in what follows upon what is there.
func (s *stream) advance() bool {
	for i, seg := range s.early {
		known := int32(s.next - seg.sequence) // how much of it came before
		if known < 0 {
			continue
		}
		if int(known) < len(seg.data) {
			s.buffer = append(s.buffer, seg.data[known:]...)
			s.next += uint32(len(seg.data)) - uint32(known)
		}
		s.early = slices.Delete(s.early, i, i+1)
		return true
	}
	return false
}

const bgpHeader = 19

func (s *stream) cut() (messages [][]byte, err error) {
	for len(s.buffer) >= bgpHeader {
		length := int(binary.BigEndian.Uint16(s.buffer[16:]))
		if s.buffer[0] != 0xff || s.buffer[15] != 0xff || length < bgpHeader {
			return messages, errors.New("what was captured is no sequence of BGP messages")
		}
		if len(s.buffer) < length {
			break
		}
		messages = append(messages, slices.Clone(s.buffer[:length]))
		s.buffer = s.buffer[length:]
	}
	return messages, nil
}

// update is what an UPDATE says.
type update struct {
	at                   time.Time
	announced, withdrawn []netip.Prefix
}

// parseUpdate reads a message. A NOTIFICATION is an error.
func parseUpdate(message []byte) (u update, isUpdate bool, err error) {
	m, err := packet.ParseBGPMessage(message)
	if err != nil {
		return u, false, fmt.Errorf("reading a captured message: %w", err)
	}
	switch body := m.Body.(type) {
	case *packet.BGPNotification:
		return u, false, fmt.Errorf("a NOTIFICATION was sent: code %d, subcode %d", body.ErrorCode, body.ErrorSubcode)
	case *packet.BGPUpdate:
		return readUpdate(body)
	}
	return u, false, nil
}

func readUpdate(body *packet.BGPUpdate) (u update, isUpdate bool, err error) {
	add := func(to *[]netip.Prefix, p fmt.Stringer) {
		prefix, bad := netip.ParsePrefix(p.String())
		err = errors.Join(err, bad)
		*to = append(*to, prefix)
	}
	for _, p := range body.WithdrawnRoutes {
		add(&u.withdrawn, p)
	}
	for _, p := range body.NLRI {
		add(&u.announced, p)
	}
	for _, attribute := range body.PathAttributes {
		switch a := attribute.(type) {
		case *packet.PathAttributeMpReachNLRI:
			for _, p := range a.Value {
				add(&u.announced, p)
			}
		case *packet.PathAttributeMpUnreachNLRI:
			for _, p := range a.Value {
				add(&u.withdrawn, p)
			}
		}
	}
	return u, true, err
}
