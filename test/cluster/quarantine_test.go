package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
	"github.com/fairway-bgp/fairway/test/raw"
)

// killer is a router that sends a killing message whenever it has a session.
type killer struct {
	at      *lab.Host
	asn     uint16
	message []byte
	sent    atomic.Int32
}

// run has it connect again and again until ctx ends.
func (k *killer) run(ctx context.Context, to string) {
	for ctx.Err() == nil {
		if err := k.once(ctx, to); err != nil && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

func (k *killer) once(ctx context.Context, to string) error {
	conn, err := k.at.Dial(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	s, err := raw.Establish(conn, raw.Open{ASN: k.asn, HoldTime: 90, ID: k.at.IPv4()}, 5*time.Second)
	if err != nil {
		return err
	}
	if _, err := s.Write(k.message); err != nil {
		return err
	}
	k.sent.Add(1)
	select {
	case <-s.Ended():
	case <-ctx.Done():
	}
	return errors.New("it ended")
}

// One router's message crashes the agent whenever it comes. The agent finds out which router that is and holds it
// down; the other one's session comes back each time, and no packet is lost on the way over it.
func TestAPeerThatCrashesTheAgentIsQuarantined(t *testing.T) {
	for _, name := range []string{"a-killer", "z-killer"} { // begun before the other router, and after it
		t.Run(name, func(t *testing.T) {
			r, n, dir, start := dirRig(t)
			pod := n.Pod("10.244.1.2/24")
			second := r.Switch("second")
			second.Attach(n, "198.51.100.11/24")
			k := &killer{at: r.Host("killer"), asn: 65007}
			second.Attach(k.at, "198.51.100.7/24")
			r.router.AddAddress("lo", "10.244.200.1/24")
			if err := r.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			k.message = raw.Killing(k.asn, k.at.IPv4(), netip.MustParsePrefix("10.244.201.0/24"))[0].Message
			allowed := strings.Replace(peerManifest, "asn: 65001,", "asn: 65001, import: {allow: [{prefix: 10.244.0.0/16, minLength: 24, maxLength: 24}]},", 1)
			killing := func(hold string) string {
				return strings.NewReplacer("name: router", "name: "+name, "192.0.2.1,", "198.51.100.7,", "65001", "65007", "holdTimeSeconds: 9", "holdTimeSeconds: "+hold).Replace(allowed)
			}
			write(t, dir, "router.yaml", allowed)
			if err := r.router.Configure(t.Context(), "router bgp 65001\n address-family ipv4 unicast\n  network 10.244.200.0/24\n"); err != nil {
				t.Fatal(err)
			}
			start()
			r.eventually(func() error { return hasRoute(t.Context(), n.Host, "10.244.200.0/24", r.router.IPv4()) })
			r.eventually(func() error { return r.routerHas("10.244.1.0/24", n.IPv4()) })
			flow, err := pod.Flow(t.Context(), netip.MustParseAddr("10.244.200.1"), 10*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "killer.yaml", killing("90"))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go k.run(ctx, "198.51.100.11:179")

			quarantined := func() error {
				return n.says("BGPNodeState_node-1", "lastError: 'Quarantined: the speaker crashed", "reason: Quarantined")
			}
			r.eventually(quarantined)
			r.eventually(func() error { return n.established(1) })
			r.eventually(func() error { return hasRoute(t.Context(), n.Host, "10.244.200.0/24", r.router.IPv4()) })
			if crashes := strings.Count(n.log(), "the agent crashed and is started again"); crashes != 2 {
				t.Errorf("%d crashes, want 2:\n%s", crashes, n.log())
			}
			report, err := flow.Stop(t.Context())
			if err != nil || report.Lost > 0 {
				t.Errorf("the other router: %+v, %v", report, err)
			}
			if sent := k.sent.Load(); sent != 2 {
				t.Errorf("the message was sent %d times", sent)
			}

			t.Log("its spec changes: it is tried again, and found again")
			write(t, dir, "killer.yaml", killing("60"))
			r.eventually(func() error {
				if sent := k.sent.Load(); sent != 3 {
					return fmt.Errorf("the message was sent %d times", sent)
				}
				return n.established(1)
			})
			r.eventually(quarantined)
		})
	}
}
