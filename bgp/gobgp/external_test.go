package gobgp

import (
	"strings"
	"testing"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/fairway-bgp/fairway/bgp"
)

func TestExternalPeerMayHaveAnyNumberButOurs(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2), r.peer(3)}}
	for i := range want.Peers {
		want.Peers[i].ASN, want.Peers[i].AnyExternal = 0, true
	}
	want.Peers[2].LocalASN = 64800
	r.apply(want)

	good := r.connect(r.fake(2))
	good.announce(t, "10.2.0.0/24", good.asn)
	r.learns("10.2.0.0/24 127.0.1.2@peer-2")
	if s := r.session("peer-2"); s.ASN != good.asn {
		t.Errorf("session %+v", s)
	}

	// Each of the two shows what is our own number to it.
	for n, ours := range map[int]uint32{1: ourASN, 3: 64800} {
		bad := r.fake(n)
		bad.asn = ours
		r.refuses(bad, "2/2") // RFC 4271, section 6.2: Bad Peer AS
		name := r.peer(n).Name
		if s := r.session(name); s.State == bgp.Established || s.ASN != ours || !strings.Contains(s.LastError, "our own, and asnType is External") {
			t.Errorf("session %+v", s)
		}
		bad.asn = 65099 // it is mended over there
		p := r.connect(bad)
		p.announce(t, "10.2.1.0/24", p.asn)
		r.learns("10.2.0.0/24 127.0.1.2@peer-2", "10.2.1.0/24 "+bad.from+"@"+name)
		p.withdraw(t, "10.2.1.0/24")
		r.learns("10.2.0.0/24 127.0.1.2@peer-2")
	}
	r.stillAlive(good)
}

// refuses dials until the speaker refuses the peer with that NOTIFICATION. What the peer can
// tell before is not learned.
func (r *rig) refuses(o fakeOptions, with string) {
	r.t.Helper()
	r.eventually(o.from+" refused", func() (string, bool) {
		p, err := o.dial()
		if err != nil {
			return err.Error(), err.Error() == "NOTIFICATION "+with
		}
		defer p.conn.Close()
		_ = p.send(packet.NewBGPUpdateMessage(nil, []packet.PathAttributeInterface{ // it may have ended already
			packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP),
			packet.NewPathAttributeAsPath(nil),
			packet.NewPathAttributeNextHop(o.from),
			packet.NewPathAttributeLocalPref(defaultLocalPref),
		}, []*packet.IPAddrPrefix{packet.NewIPAddrPrefix(24, "10.66.0.0")}))
		r.eventually("the end of the session", func() (string, bool) { return p.ended(), p.ended() != "" })
		return "it was up, then " + p.ended(), false
	})
	for _, c := range r.Queue().Take() {
		if len(c.Paths) > 0 {
			r.t.Errorf("learned %+v", c)
		}
	}
}
