package gobgp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/bgp"
)

// fakePeer is the other end of a session: just enough BGP to send what a test wants and to
// hold what it hears. It dials, so a session is up as soon as both want it.
type fakePeer struct {
	fakeOptions
	conn *net.TCPConn
	open *packet.BGPOpen // the speaker's

	mu           sync.Mutex
	heard        map[netip.Prefix]string // "via NEXTHOP communities [...]"
	endOfRIB     map[bgp.Family]bool
	updates      int
	notification *packet.BGPNotification
	closed       bool
}

type fakeOptions struct {
	from     string // its address
	port     uint16 // of the speaker
	asn      uint32
	routerID string
	password string
	restart  bool // offers graceful restart
	ttl      int  // of its packets; 0: the kernel's default
	extended bool // takes IPv6 next hops for IPv4
	paths    bool // sends several paths to a prefix
}

// dial brings the session up, or returns why it does not come up.
func (o fakeOptions) dial() (*fakePeer, error) {
	conn, err := o.connect()
	if err != nil {
		return nil, err
	}
	p := &fakePeer{
		fakeOptions: o,
		conn:        conn.(*net.TCPConn),
		heard:       map[netip.Prefix]string{},
		endOfRIB:    map[bgp.Family]bool{},
	}
	if err := p.handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	go p.read()
	return p, nil
}

// connect says nothing yet.
func (o fakeOptions) connect() (net.Conn, error) {
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(o.from)},
		Timeout:   500 * time.Millisecond, // a refused password is silence
		Control: func(_, _ string, c syscall.RawConn) error {
			return errors.Join(setTTL(c, o.ttl), setPassword(c, "127.0.0.1", o.password))
		},
	}
	return dialer.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", o.port))
}

func setTTL(c syscall.RawConn, ttl int) error {
	if ttl == 0 {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl) })
	return errors.Join(err, failed)
}

func setPassword(c syscall.RawConn, of, password string) error {
	if password == "" {
		return nil
	}
	sig := unix.TCPMD5Sig{Keylen: uint16(len(password))}
	sig.Addr.Family = unix.AF_INET
	copy(sig.Addr.Data[2:], net.ParseIP(of).To4())
	copy(sig.Key[:], password)
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig)
	}); e != nil {
		return e
	}
	return err
}

func (p *fakePeer) handshake() error {
	p.conn.SetDeadline(time.Now().Add(2 * time.Second))
	defer p.conn.SetDeadline(time.Time{})
	if err := p.send(p.openMessage()); err != nil {
		return err
	}
	for {
		m, err := p.receive()
		if err != nil {
			return err
		}
		switch body := m.Body.(type) {
		case *packet.BGPOpen:
			p.open = body
			if err := p.send(packet.NewBGPKeepAliveMessage()); err != nil {
				return err
			}
		case *packet.BGPKeepAlive:
			return nil
		case *packet.BGPNotification:
			return fmt.Errorf("NOTIFICATION %d/%d", body.ErrorCode, body.ErrorSubcode)
		}
	}
}

func (p *fakePeer) openMessage() *packet.BGPMessage {
	capabilities := []packet.ParameterCapabilityInterface{
		packet.NewCapMultiProtocol(packet.RF_IPv4_UC),
		packet.NewCapMultiProtocol(packet.RF_IPv6_UC),
		packet.NewCapFourOctetASNumber(p.asn),
		packet.NewCapRouteRefresh(),
	}
	if p.extended {
		capabilities = append(capabilities, packet.NewCapExtendedNexthop([]*packet.CapExtendedNexthopTuple{packet.NewCapExtendedNexthopTuple(packet.RF_IPv4_UC, packet.AFI_IP6)}))
	}
	if p.paths {
		capabilities = append(capabilities, packet.NewCapAddPath([]*packet.CapAddPathTuple{packet.NewCapAddPathTuple(packet.RF_IPv4_UC, packet.BGP_ADD_PATH_SEND)}))
	}
	if p.restart {
		capabilities = append(capabilities, packet.NewCapGracefulRestart(false, false, 120, []*packet.CapGracefulRestartTuple{
			packet.NewCapGracefulRestartTuple(packet.RF_IPv4_UC, true),
			packet.NewCapGracefulRestartTuple(packet.RF_IPv6_UC, true),
		}))
	}
	return packet.NewBGPOpenMessage(uint16(p.asn), 90, p.routerID, []packet.OptionParameterInterface{packet.NewOptionParameterCapability(capabilities)})
}

func (p *fakePeer) send(m *packet.BGPMessage) error {
	buf, err := m.Serialize()
	if err != nil {
		return err
	}
	_, err = p.conn.Write(buf)
	return err
}

func (p *fakePeer) receive() (*packet.BGPMessage, error) {
	header := make([]byte, packet.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(p.conn, header); err != nil {
		return nil, err
	}
	h := &packet.BGPHeader{}
	if err := h.DecodeFromBytes(header); err != nil {
		return nil, err
	}
	body := make([]byte, int(h.Len)-packet.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(p.conn, body); err != nil {
		return nil, err
	}
	return packet.ParseBGPBody(h, body)
}

// read follows what the speaker says until the connection ends.
func (p *fakePeer) read() {
	for {
		m, err := p.receive()
		p.mu.Lock()
		if err != nil {
			p.closed = true
			p.mu.Unlock()
			return
		}
		switch body := m.Body.(type) {
		case *packet.BGPNotification:
			p.notification = body
		case *packet.BGPUpdate:
			p.update(body)
		}
		p.mu.Unlock()
	}
}

func (p *fakePeer) update(u *packet.BGPUpdate) {
	p.updates++
	if eor, family := u.IsEndOfRib(); eor {
		p.endOfRIB[familyOfPacket(family)] = true
		return
	}
	for _, w := range u.WithdrawnRoutes {
		delete(p.heard, netip.MustParsePrefix(w.String()))
	}
	nextHop, malformed, heard := "", "", bgp.Attributes{}
	for _, attr := range u.PathAttributes {
		switch a := attr.(type) {
		case *packet.PathAttributeNextHop:
			nextHop = a.Value.String()
		case *packet.PathAttributeMpUnreachNLRI:
			for _, n := range a.Value {
				delete(p.heard, netip.MustParsePrefix(n.String()))
			}
		case *packet.PathAttributeCommunities:
			for _, c := range a.Value {
				heard.Communities = append(heard.Communities, bgp.Community(c))
			}
		case *packet.PathAttributeLargeCommunities:
			for _, c := range a.Values {
				heard.LargeCommunities = append(heard.LargeCommunities, bgp.LargeCommunity{GlobalAdmin: c.ASN, Local1: c.LocalData1, Local2: c.LocalData2})
			}
		case *packet.PathAttributeExtendedCommunities:
			if len(a.Value) == 0 { // RFC 7606, section 7.14
				malformed = " with extended communities that are malformed"
			}
			for _, c := range a.Value {
				if lb, ok := c.(*packet.LinkBandwidthExtended); ok && lb.AS == ourASN {
					heard.LinkBandwidth = lb.Bandwidth
				}
			}
		case *packet.PathAttributeMultiExitDisc:
			heard.MED = &a.Value
		case *packet.PathAttributeLocalPref:
			if a.Value != defaultLocalPref {
				heard.LocalPref = &a.Value
			}
		case *packet.PathAttributeAsPath:
			for _, segment := range a.Value {
				heard.Prepend += uint8(len(segment.GetAS()))
			}
		}
	}
	if heard.Prepend > 0 { // one is there in any case when it goes to another AS
		heard.Prepend--
	}
	how := strings.TrimSuffix(" "+heard.String(), " ") + malformed
	for _, attr := range u.PathAttributes {
		if a, ok := attr.(*packet.PathAttributeMpReachNLRI); ok {
			for _, n := range a.Value {
				p.heard[netip.MustParsePrefix(n.String())] = "via " + a.Nexthop.String() + how
			}
		}
	}
	for _, n := range u.NLRI {
		p.heard[netip.MustParsePrefix(n.String())] = "via " + nextHop + how
	}
}

// defaultLocalPref is what GoBGP tells iBGP peers where nobody chose a value.
const defaultLocalPref = 100

func familyOfPacket(f packet.RouteFamily) bgp.Family {
	if f == packet.RF_IPv4_UC {
		return bgp.IPv4Unicast
	}
	return bgp.IPv6Unicast
}

// says returns what the peer holds from the speaker, a line per prefix.
func (p *fakePeer) says() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []string
	for prefix, how := range p.heard {
		lines = append(lines, fmt.Sprintf("%s %s", prefix, how))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (p *fakePeer) updateCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.updates
}

// alive reports whether the session that was dialled is still the one it was.
func (p *fakePeer) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && p.notification == nil
}

// ended returns the NOTIFICATION that ended the session as "code/subcode", "closed" for an end
// without one, or "" while it lives.
func (p *fakePeer) ended() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.notification != nil:
		return fmt.Sprintf("%d/%d", p.notification.ErrorCode, p.notification.ErrorSubcode)
	case p.closed:
		return "closed"
	}
	return ""
}

// announce sends a prefix with an AS path.
func (p *fakePeer) announce(t *testing.T, prefix string, asPath ...uint32) {
	t.Helper()
	segment := packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, asPath)
	p.announceSegments(t, prefix, segment)
}

// announceWith sends an IPv4 prefix with a community.
func (p *fakePeer) announceWith(t *testing.T, prefix string, community uint32) {
	t.Helper()
	parsed := netip.MustParsePrefix(prefix)
	attrs := []packet.PathAttributeInterface{
		packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP),
		packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{p.asn})}),
		packet.NewPathAttributeNextHop(p.from),
		packet.NewPathAttributeCommunities([]uint32{community}),
	}
	if err := p.send(packet.NewBGPUpdateMessage(nil, attrs, []*packet.IPAddrPrefix{packet.NewIPAddrPrefix(uint8(parsed.Bits()), parsed.Addr().String())})); err != nil {
		t.Fatalf("announcing %s: %v", prefix, err)
	}
}

func (p *fakePeer) announceSegments(t *testing.T, prefix string, segments ...packet.AsPathParamInterface) {
	t.Helper()
	parsed := netip.MustParsePrefix(prefix)
	attrs := []packet.PathAttributeInterface{
		packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP),
		packet.NewPathAttributeAsPath(segments),
	}
	var nlri []*packet.IPAddrPrefix
	if parsed.Addr().Is4() {
		attrs = append(attrs, packet.NewPathAttributeNextHop(p.from))
		nlri = []*packet.IPAddrPrefix{packet.NewIPAddrPrefix(uint8(parsed.Bits()), parsed.Addr().String())}
	} else {
		attrs = append(attrs, packet.NewPathAttributeMpReachNLRI("2001:db8::99", []packet.AddrPrefixInterface{
			packet.NewIPv6AddrPrefix(uint8(parsed.Bits()), parsed.Addr().String()),
		}))
	}
	if err := p.send(packet.NewBGPUpdateMessage(nil, attrs, nlri)); err != nil {
		t.Fatalf("announcing %s: %v", prefix, err)
	}
}

// announceMarked sends a prefix that claims to be one of a reflector's client.
func (p *fakePeer) announceMarked(t *testing.T, prefix string, asPath ...uint32) {
	t.Helper()
	parsed := netip.MustParsePrefix(prefix)
	var segments []packet.AsPathParamInterface
	if len(asPath) > 0 {
		segments = append(segments, packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, asPath))
	}
	attrs := []packet.PathAttributeInterface{
		packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP),
		packet.NewPathAttributeAsPath(segments),
		packet.NewPathAttributeNextHop(p.from),
	}
	if p.asn == ourASN {
		attrs = append(attrs, packet.NewPathAttributeLocalPref(defaultLocalPref))
	}
	var marks []*packet.LargeCommunity
	for number := range uint32(4) {
		marks = append(marks, packet.NewLargeCommunity(internalASN, markKind, number), packet.NewLargeCommunity(internalASN, relayKind, number))
	}
	attrs = append(attrs, packet.NewPathAttributeLargeCommunities(marks))
	nlri := []*packet.IPAddrPrefix{packet.NewIPAddrPrefix(uint8(parsed.Bits()), parsed.Addr().String())}
	if err := p.send(packet.NewBGPUpdateMessage(nil, attrs, nlri)); err != nil {
		t.Fatalf("announcing %s: %v", prefix, err)
	}
}

func (p *fakePeer) withdraw(t *testing.T, prefix string) {
	t.Helper()
	parsed := netip.MustParsePrefix(prefix)
	m := packet.NewBGPUpdateMessage([]*packet.IPAddrPrefix{packet.NewIPAddrPrefix(uint8(parsed.Bits()), parsed.Addr().String())}, nil, nil)
	if err := p.send(m); err != nil {
		t.Fatalf("withdrawing %s: %v", prefix, err)
	}
}

func (p *fakePeer) sendEndOfRIB(t *testing.T, family packet.RouteFamily) {
	t.Helper()
	if err := p.send(packet.NewEndOfRib(family)); err != nil {
		t.Fatalf("sending End-of-RIB: %v", err)
	}
}
