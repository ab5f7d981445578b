package main

import (
	"encoding/json"
	"fmt"
	"slices"
)

// collectorIPv4 is where the BMP collector is.
const collectorIPv4 = "192.0.2.20"

// monitoringFeatures are about what others are told of sessions. The collector is pmacct's, so
// that nobody reads what GoBGP writes by GoBGP's own understanding of it.
var monitoringFeatures = []feature{
	{
		name:  "BMP (RFC 7854): a collector is told of the session, its prefixes and its end",
		ours:  ours{speaker: []string{"bmp: [{address: " + collectorIPv4 + "}]"}},
		wires: withCollector,
		check: comesUp(only4,
			func(c *cell) error {
				return c.collected(bmpMessage{Type: "peer_up", Peer: routerIPv4, ASN: theirASN, Local: nodeIPv4})
			},
			func(c *cell) error {
				return c.collected(bmpMessage{Type: "route_monitor", Peer: routerIPv4, Prefix: theirs4, Change: "update", NextHop: routerIPv4, ASPath: fmt.Sprint(theirASN)})
			},
			func(c *cell) error { return c.router.tell(c.ctx, []route{{prefix: insteadOfTheirs4}}) },
			func(c *cell) error {
				return c.collected(bmpMessage{Type: "route_monitor", Peer: routerIPv4, Prefix: theirs4, Change: "withdraw"})
			},
			func(c *cell) error { return c.router.shutdown(c.ctx, nodeIPv4, "back at noon") },
			func(c *cell) error {
				return c.collected(bmpMessage{Type: "peer_down", Peer: routerIPv4, ASN: theirASN, Reason: notificationReceived})
			}),
	},
}

func withCollector(c *cell) {
	c.station = c.BMPCollector("collector")
	c.lan.Attach(c.station, collectorIPv4+"/24")
}

// notificationReceived is why a session went down (RFC 7854, section 4.9).
const notificationReceived = 3

// bmpMessage is what the collector writes down of a message or, of Route Monitoring, of a prefix.
type bmpMessage struct {
	Type    string `json:"bmp_msg_type"`
	Peer    string `json:"peer_ip"`
	ASN     int    `json:"peer_asn"`
	Local   string `json:"local_ip"`
	Reason  int    `json:"reason_type"`
	Prefix  string `json:"ip_prefix"`
	Change  string `json:"log_type"`
	NextHop string `json:"bgp_nexthop"`
	ASPath  string `json:"as_path"`
}

// replaces reports whether a message tells anew what an earlier one has told: how it stands with
// the session, or with a prefix.
func (m bmpMessage) replaces(earlier bmpMessage) bool {
	session := func(m bmpMessage) bool { return m.Type == "peer_up" || m.Type == "peer_down" }
	return session(m) && session(earlier) || m.Type == earlier.Type && m.Prefix == earlier.Prefix
}

// collected reports whether the last that the collector was told about a thing is this.
func (c *cell) collected(want bmpMessage) error {
	told, err := c.station.Told()
	if err != nil {
		return err
	}
	return lastTold(told, want)
}

// lastTold reports whether the last word about a thing, of what was told, is this one.
func lastTold(told []string, want bmpMessage) error {
	for _, line := range slices.Backward(told) {
		var m bmpMessage
		if json.Unmarshal([]byte(line), &m) != nil || !want.replaces(m) { // the last line may be half written
			continue
		}
		if m != want {
			return fmt.Errorf("the collector was told %+v last, want %+v", m, want)
		}
		return nil
	}
	return fmt.Errorf("the collector was told nothing such as %+v: %q", want, told)
}
