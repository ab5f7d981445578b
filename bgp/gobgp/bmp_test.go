package gobgp

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/osrg/gobgp/v3/pkg/packet/bmp"

	"github.com/fairway-bgp/fairway/bgp"
)

// station is a BMP collector that counts the types of the messages it hears.
type station struct {
	listener net.Listener
	mu       sync.Mutex
	heard    map[uint8]int
	conns    int
	open     int
}

func newStation(t *testing.T) *station {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &station{listener: l, heard: map[uint8]int{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.read(conn)
		}
	}()
	return s
}

func (s *station) read(conn net.Conn) {
	s.count(func() { s.conns++; s.open++ })
	defer s.count(func() { s.open-- })
	defer conn.Close()
	for {
		header := make([]byte, bmp.BMP_HEADER_SIZE)
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		var h bmp.BMPHeader
		if err := h.DecodeFromBytes(header); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, conn, int64(h.Length)-bmp.BMP_HEADER_SIZE); err != nil && !errors.Is(err, io.EOF) {
			return
		}
		s.count(func() { s.heard[h.Type]++ })
	}
}

func (s *station) count(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func (s *station) wanted(hears bgp.StationPolicy) bgp.Station {
	addr := netip.MustParseAddrPort(s.listener.Addr().String())
	return bgp.Station{Address: addr.Addr(), Port: addr.Port(), Hears: hears}
}

func TestBMPStationHearsOfPeersAndRoutesUntilItIsLeft(t *testing.T) {
	r := newRig(t, Options{})
	s := newStation(t)
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}, Stations: []bgp.Station{s.wanted(bgp.PrePolicy)}}
	r.apply(want)
	p := r.connect(r.fake(1))
	p.announce(t, "10.1.0.0/24", p.asn)
	r.eventually("what the station hears", func() (string, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return "", s.heard[bmp.BMP_MSG_INITIATION] == 1 && s.heard[bmp.BMP_MSG_PEER_UP_NOTIFICATION] == 1 && s.heard[bmp.BMP_MSG_ROUTE_MONITORING] > 0
	})
	r.apply(want) // the same: the connection stays, and through a restart of the speaker
	want.Config.RouterID = netip.MustParseAddr("192.0.2.77")
	r.apply(want)
	p = r.connect(r.fake(1))
	want.Stations = nil
	r.apply(want)
	r.eventually("the end of the connection", func() (string, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return "", s.conns == 1 && s.open == 0
	})
	r.stillAlive(p)
}

func TestBMPStationIsLeftWithTheSpeaker(t *testing.T) {
	r := newRig(t, Options{})
	s := newStation(t)
	r.apply(bgp.Desired{Config: r.config(), Stations: []bgp.Station{s.wanted(bgp.PrePolicy)}})
	connected := func(open int) func() (string, bool) {
		return func() (string, bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return "", s.conns == 1 && s.open == open
		}
	}
	r.eventually("a connection", connected(1))
	r.apply(bgp.Desired{})
	r.eventually("its end", connected(0))
}
