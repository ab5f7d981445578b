package controller

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

func TestPrefixesWithOurOwnNumberAreNamedWithWhatToDo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start(t)
		tell := func(received, ofIPv6 int) {
			w.mu.Lock()
			w.session.State, w.session.Families = bgp.Established, []bgp.FamilySession{
				{Family: bgp.IPv4Unicast, Received: received, Accepted: 1},
				{Family: bgp.IPv6Unicast, Received: ofIPv6},
			}
			w.mu.Unlock()
			signal(w.events)
			pass(time.Second)
		}
		said := func() string {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, p := range w.last.Problems {
				if p.Reason == reasonOwnAS {
					return p.Name + " " + p.Message
				}
			}
			return ""
		}
		asked := func() int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.loopsAsked
		}
		w.loops = []bgp.Loops{{Peer: "tor/192.0.2.1", Prefixes: 2, First: netip.MustParsePrefix("10.244.2.0/24"), ASPath: []uint32{65001, 64512}}}
		tell(1, 0)
		if said() != "" || asked() > 0 {
			t.Errorf("all is accepted: asked %d times, said %q", asked(), said())
		}
		tell(3, 0)
		if got := said(); !strings.HasPrefix(got, "tor tor/192.0.2.1 tells 2 prefixes") || !strings.Contains(got, "10.244.2.0/24 (AS path 65001 64512)") || !strings.Contains(got, "allowOwnAS: 1") {
			t.Errorf("said %q", got)
		}
		before := asked()
		pass(10 * time.Minute)
		if n := asked() - before; n < 9 || n > 11 {
			t.Errorf("looked for %d times in ten minutes", n)
		}
		before = asked()
		for i := range 600 { // what is told changes all the time
			tell(9_000+i, 9_000)
		}
		if n := asked() - before; n < 2 || n > 4 {
			t.Errorf("of very much it is looked for %d times in ten minutes", n)
		}
		before = asked()
		for i := range 600 {
			tell(100+i, bgp.MaxLooked+1) // which is not looked through
		}
		if n := asked() - before; n < 55 || n > 61 {
			t.Errorf("beside what is not looked through it is looked for %d times in ten minutes", n)
		}
		tell(1, 0)
		if said() != "" {
			t.Errorf("it is over, and yet %q", said())
		}
	})
}
