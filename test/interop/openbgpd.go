package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fairway-bgp/fairway/test/lab"
)

type openbgpd struct {
	*lab.OpenBGPD
	router router
}

func addOpenBGPD(l *lab.Lab, r router) daemon {
	d := &openbgpd{OpenBGPD: l.OpenBGPD(routerName, openbgpdConfig(r)), router: r}
	// As next hop of the family that a session does not run over it tells the first address of
	// that family which the host has, whatever the interface: one of its loopback.
	if len(r.sessions[0].families) > 1 {
		d.AddAddress("lo", routerIPv6+"/128", routerIPv4+"/32")
		d.RemoveAddress("lo", "127.0.0.1/8")
	}
	return d
}

func openbgpdConfig(r router) string {
	var c lines
	c.add("AS %d\nrouter-id %s\nconnect-retry 1", r.asn, routerID)
	if r.port != 0 {
		c.add("listen on %s port %d\nlisten on %s port %d", routerIPv4, r.port, routerIPv6, r.port)
	}
	for _, told := range r.routes {
		c.add("network %s set {%s }", told.prefix, openbgpdAttributes(told))
	}
	for _, s := range r.sessions {
		openbgpdSession(&c, s)
	}
	c.add("allow from any\nallow to any")
	for _, s := range r.sessions {
		openbgpdFilters(&c, s, r.routes)
	}
	return c.String()
}

// openbgpdFilters are what is told to one neighbor alone.
func openbgpdFilters(c *lines, s session, routes []route) {
	for _, r := range routes {
		own := 0
		for _, asn := range r.path {
			if asn == s.asn {
				own++
			}
		}
		c.addIf(own > 0, "match to %s prefix %s set prepend-neighbor %d", s.address, r.prefix, own)
	}
}

func openbgpdAttributes(r route) string {
	var b strings.Builder
	for _, community := range r.communities {
		high, low := number(community)
		fmt.Fprintf(&b, " community %d:%d", high, low)
	}
	for _, large := range r.large {
		b.WriteString(" large-community " + large)
	}
	if r.med > 0 {
		fmt.Fprintf(&b, " med %d", r.med)
	}
	// Always, for the braces must not be empty; 100 is the default (RFC 4271 has none).
	fmt.Fprintf(&b, " localpref %d", max(r.localPref, 100))
	return b.String()
}

func openbgpdSession(c *lines, s session) {
	c.add("neighbor %s {\n remote-as %d\n holdtime %d", s.zoned(), s.asn, s.hold)
	c.addIf(s.source != "", " local-address %s", s.source)
	c.addIf(s.port != 0, " port %d", s.port)
	c.addIf(s.passive, " passive")
	c.addIf(s.password != "", " tcp md5sig password %q", s.password)
	c.addIf(s.hops > 0, " multihop %d", s.hops)
	c.addIf(s.gtsm, " ttl-security yes")
	c.addIf(s.client, " route-reflector")
	c.addIf(s.overrideAS, " as-override yes")
	c.addIf(s.extendedNextHop, " announce extended nexthop yes")
	c.addIf(s.longLived > 0, " announce long-lived-restart %d", s.longLived)
	c.addIf(s.severalPaths, " announce add-path recv yes\n announce add-path send all")
	c.addIf(s.notification, " announce graceful notification yes")
	announce := map[bool]string{true: "unicast", false: "none"}
	c.add(" announce IPv4 %s\n announce IPv6 %s", announce[s.has(ipv4)], announce[s.has(ipv6)])
	c.addIf(s.restart == 0, " announce restart no")
	c.add("}")
}

func (d *openbgpd) settle(context.Context) error { return nil }

// cannotRestart: OpenBGPD announces the capability for End-of-RIB alone, and says so.
func (d *openbgpd) cannotRestart(ctx context.Context, address string) (string, error) {
	var answer struct {
		Neighbors []struct {
			Session struct {
				Local struct {
					Capabilities struct {
						Restart json.RawMessage `json:"graceful_restart"`
					} `json:"capabilities"`
				} `json:"local"`
			} `json:"session"`
		} `json:"neighbors"`
	}
	if err := d.ask(ctx, &answer, "show", "neighbor", address); err != nil || len(answer.Neighbors) != 1 {
		return "", fmt.Errorf("asking OpenBGPD for its capabilities: %w", err)
	}
	said := strings.Join(strings.Fields(string(answer.Neighbors[0].Session.Local.Capabilities.Restart)), " ")
	if strings.Contains(said, `"restart": false`) {
		return `local capabilities: "graceful_restart": ` + said, nil
	}
	return "", nil
}

func (d *openbgpd) restart(ctx context.Context) error { return d.Up(ctx) }

func (d *openbgpd) tell(ctx context.Context, routes []route) error {
	d.router.routes = routes
	return d.Configure(ctx, openbgpdConfig(d.router))
}

// ask decodes what bgpctl prints as JSON.
func (d *openbgpd) ask(ctx context.Context, v any, command ...string) error {
	out, err := d.BGPCtl(ctx, append([]string{"-j"}, command...)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("reading %s: %w", out, err)
	}
	return nil
}

func (d *openbgpd) view(ctx context.Context, address string) (view, error) {
	var answer struct {
		Neighbors []struct {
			State   string `json:"state"`
			Session struct {
				Hold int `json:"holdtime"`
			} `json:"session"`
		} `json:"neighbors"`
	}
	if err := d.ask(ctx, &answer, "show", "neighbor", address); err != nil {
		return view{}, err
	}
	if len(answer.Neighbors) != 1 {
		return view{}, errors.New("OpenBGPD does not know the neighbor " + address)
	}
	text, err := d.BGPCtl(ctx, "show", "neighbor", address)
	if err != nil {
		return view{}, err
	}
	log, err := d.Daemon().Log()
	n := answer.Neighbors[0]
	return view{up: n.State == "Established", hold: n.Session.Hold, text: text + log}, err
}

func (d *openbgpd) paths(ctx context.Context, prefix string) ([]path, error) {
	var answer struct {
		RIB []struct {
			ASPath      string   `json:"aspath"`
			NextHop     string   `json:"exit_nexthop"`
			MED         int      `json:"metric"`
			LocalPref   int      `json:"localpref"`
			Communities []string `json:"communities"`
			Large       []string `json:"large_communities"`
			Extended    []string `json:"extended_communities"`
		} `json:"rib"`
	}
	if err := d.ask(ctx, &answer, "show", "rib", "detail", prefix); err != nil {
		return nil, err
	}
	var out []path
	for _, p := range answer.RIB {
		one := path{asPath: p.ASPath, nextHop: p.NextHop, med: p.MED, localPref: p.LocalPref, large: p.Large,
			bandwidth: strings.Join(p.Extended, " ")}
		for _, community := range p.Communities {
			one.communities = append(one.communities, named(community))
		}
		out = append(out, one)
	}
	return out, nil
}

func (d *openbgpd) shutdown(ctx context.Context, address, words string) error {
	_, err := d.BGPCtl(ctx, "neighbor", address, "down", words)
	return err
}

func (d *openbgpd) version(ctx context.Context) (string, error) {
	out, err := d.Run(ctx, "sh", "-c", "/usr/sbin/bgpd -V 2>&1")
	return firstLine(out), err
}
