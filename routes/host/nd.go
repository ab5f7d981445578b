package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/net/ipv6"
)

const (
	// ndHopLimit proves that a packet comes from the link itself (RFC 4861, section 3.1).
	ndHopLimit = 255
	// The sizes of the two messages without options (sections 4.1 and 4.2).
	solicitationSize, advertisementSize = 8, 16
)

var (
	allNodes   = net.ParseIP("ff02::1")
	allRouters = net.ParseIP("ff02::2")
)

// errNotND is of a packet that is to be ignored (sections 6.1.1 and 6.1.2).
var errNotND = errors.New("no valid message of Neighbor Discovery")

// ndSocket is a raw socket of ICMPv6 on one link.
type ndSocket struct {
	*ipv6.PacketConn
}

// listenND opens the socket. Go remembers the names of links for a minute, also when one was made anew since;
// one named by its index it looks up, and all others with it, such as the link that GoBGP is about to dial over.
func listenND(l Neighborhood) (ndConn, error) {
	conn, err := net.ListenIP("ip6:ipv6-icmp", &net.IPAddr{IP: l.Addr.AsSlice(), Zone: strconv.Itoa(l.Link)})
	if err != nil {
		return nil, fmt.Errorf("opening a raw socket, which needs CAP_NET_RAW: %w", err)
	}
	s := &ndSocket{ipv6.NewPacketConn(conn)}
	if err := s.prepare(&net.Interface{Index: l.Link}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

func (s *ndSocket) prepare(device *net.Interface) error {
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
	return errors.Join(
		s.SetICMPFilter(&filter),
		s.SetControlMessage(ipv6.FlagHopLimit, true),
		s.SetMulticastHopLimit(ndHopLimit),
		s.SetMulticastLoopback(false),
		s.SetMulticastInterface(device),
		s.JoinGroup(device, &net.IPAddr{IP: allNodes}),
		s.JoinGroup(device, &net.IPAddr{IP: allRouters}), // solicitations go there
	)
}

func (s *ndSocket) read() (message, error) {
	buf := make([]byte, 1500)
	n, control, from, err := s.ReadFrom(buf)
	if err != nil {
		return message{}, err
	}
	source, ok := from.(*net.IPAddr)
	if !ok || control == nil || control.HopLimit != ndHopLimit {
		return message{}, errNotND
	}
	addr, ok := netip.AddrFromSlice(source.IP)
	if !ok {
		return message{}, errNotND
	}
	return parseND(buf[:n], addr)
}

// parseND reads a message that the kernel has found whole by its checksum.
func parseND(b []byte, from netip.Addr) (message, error) {
	m := message{from: from}
	if len(b) < solicitationSize || b[1] != 0 {
		return m, errNotND
	}
	switch kind := ipv6.ICMPType(b[0]); {
	case kind == ipv6.ICMPTypeRouterSolicitation:
		m.solicitation = true
		return m, nil
	case kind == ipv6.ICMPTypeRouterAdvertisement && len(b) >= advertisementSize && from.Is6() && from.IsLinkLocalUnicast():
		m.isDefault = binary.BigEndian.Uint16(b[6:]) > 0 // the router lifetime
		return m, nil
	}
	return m, errNotND
}

// advertise says that we are here, and nothing else: no lifetime, no parameters, no prefixes.
func (s *ndSocket) advertise() error {
	var b [advertisementSize]byte
	b[0] = byte(ipv6.ICMPTypeRouterAdvertisement)
	return s.send(b[:], allNodes)
}

func (s *ndSocket) solicit() error {
	var b [solicitationSize]byte
	b[0] = byte(ipv6.ICMPTypeRouterSolicitation)
	return s.send(b[:], allRouters)
}

// send leaves the checksum to the kernel.
func (s *ndSocket) send(b []byte, to net.IP) error {
	_, err := s.WriteTo(b, nil, &net.IPAddr{IP: to})
	return err
}
