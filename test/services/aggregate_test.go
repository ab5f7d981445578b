package services

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/test/lab"
)

const aggregation = advertisement + "    aggregation: {ipv4Length: 24, ipv6Length: 112}\n"

// With shorter prefixes announced in place of addresses, and what nobody owns in them refused,
// every address of a Service is reached as before: from outside by way of kube-proxy's rules on each node, and
// ClusterIPs from the nodes themselves.
func TestServicesInsideAnAggregateAreReached(t *testing.T) {
	lab.NeedRoot(t)
	r := newRig(t)
	a := newApp(r, r.nodes[0], r.nodes[1])
	a.settled()
	r.apply(aggregation)
	_, pods := a.ready()
	for _, to := range a.services[0].addresses {
		bits := 24
		if to.addr.Is6() {
			bits = 112
		}
		aggregate, err := to.addr.Prefix(bits)
		if err != nil {
			t.Fatal(err)
		}
		r.eventually(func() error { return r.via(t.Context(), aggregate, r.nodes...) })
		for addr := aggregate.Addr().Next(); aggregate.Contains(addr); addr = addr.Next() {
			if a.owns(addr) {
				continue
			}
			r.eventually(func() error { return r.refuses(addr) })
			break
		}
		r.eventually(func() error { return a.answers(t.Context(), r.client, to, pods) })
	}
	for _, to := range a.services[1].addresses {
		r.eventually(func() error { return a.answers(t.Context(), r.client, to, pods) })
	}
	a.reachedFromNodes()
}

func (a *app) owns(addr netip.Addr) bool {
	for _, to := range a.addresses() {
		if to.addr == addr {
			return true
		}
	}
	return false
}

// refuses reports an error unless the client is told that nobody has an address.
func (r *rig) refuses(addr netip.Addr) error {
	out, err := r.client.Run(r.t.Context(), "sh", "-c", "ping -n -c1 -W1 "+addr.String()+" || true")
	if err == nil && !strings.Contains(out, "Destination Host Unreachable") && !strings.Contains(out, "Destination unreachable: Address unreachable") {
		err = fmt.Errorf("the client pings %s and hears:\n%s", addr, out)
	}
	return err
}
