package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-bgp/fairway/test/lab"
)

type gobgp struct {
	*lab.GoBGP
	router router
	told   []route
}

func addGoBGP(l *lab.Lab, r router) daemon {
	return &gobgp{GoBGP: l.GoBGP(routerName, gobgpConfig(r)), router: r}
}

func gobgpConfig(r router) string {
	var c lines
	c.add("[global.config]\n as = %d\n router-id = %q", r.asn, routerID)
	c.addIf(r.port != 0, " port = %d", r.port)
	for _, s := range r.sessions {
		gobgpSession(&c, s)
	}
	return c.String()
}

func gobgpSession(c *lines, s session) {
	c.add("[[neighbors]]\n [neighbors.config]\n  peer-as = %d", s.asn)
	c.addIf(s.link == "", "  neighbor-address = %q", s.address)
	c.addIf(s.link != "", "  neighbor-interface = %q", s.link)
	c.addIf(s.password != "", "  auth-password = %q", s.password)
	c.add(" [neighbors.timers.config]\n  connect-retry = 1\n  hold-time = %d\n  keepalive-interval = %d", s.hold, s.hold/3)
	c.add("  idle-hold-time-after-reset = 1")
	c.add(" [neighbors.transport.config]\n  passive-mode = %t", s.passive)
	c.addIf(s.source != "", "  local-address = %q", s.source)
	c.addIf(s.port != 0, "  remote-port = %d", s.port)
	c.addIf(s.hops > 0, " [neighbors.ebgp-multihop.config]\n  enabled = true\n  multihop-ttl = %d", s.hops)
	c.addIf(s.gtsm, " [neighbors.ttl-security.config]\n  enabled = true\n  ttl-min = 255")
	c.addIf(s.client, " [neighbors.route-reflector.config]\n  route-reflector-client = true\n  route-reflector-cluster-id = %q", routerID)
	c.addIf(s.overrideAS, " [neighbors.as-path-options.config]\n  replace-peer-as = true")
	c.addIf(s.restart > 0, " [neighbors.graceful-restart.config]\n  enabled = true\n  restart-time = %d\n  deferral-time = 5\n  notification-enabled = %t\n  long-lived-enabled = %t",
		s.restart, s.notification, s.longLived > 0)
	for _, f := range s.families {
		c.add(" [[neighbors.afi-safis]]\n  [neighbors.afi-safis.config]\n   afi-safi-name = \"%s-unicast\"", f)
		c.addIf(s.restart > 0, "  [neighbors.afi-safis.mp-graceful-restart.config]\n   enabled = true")
		c.addIf(s.severalPaths, "  [neighbors.afi-safis.add-paths.config]\n   receive = true\n   send-max = 8")
		c.addIf(s.longLived > 0, "  [neighbors.afi-safis.long-lived-graceful-restart.config]\n   enabled = true\n   restart-time = %d", s.longLived)
	}
}

// settle tells the routes: in its configuration gobgpd has none. It sends no router advertisements
// either, and has radvd for them in its documentation of unnumbered sessions.
func (d *gobgp) settle(ctx context.Context) error {
	for _, s := range d.router.sessions {
		if s.link == "" {
			continue
		}
		if err := d.Advertise(ctx, s.link); err != nil {
			return err
		}
	}
	return d.tell(ctx, d.router.routes)
}

func (d *gobgp) cannotRestart(context.Context, string) (string, error) { return "", nil }

func (d *gobgp) restart(ctx context.Context) error {
	d.told = nil
	return d.UpAfterCrash(ctx)
}

func (d *gobgp) tell(ctx context.Context, routes []route) error {
	for _, r := range d.told {
		if _, err := d.Client(ctx, "global", "rib", "-a", string(familyOf(r.prefix)), "del", r.prefix); err != nil {
			return err
		}
	}
	for _, r := range routes {
		if _, err := d.Client(ctx, d.add(r)...); err != nil {
			return err
		}
	}
	d.told, d.router.routes = routes, routes
	for _, r := range d.router.passedOn {
		if slices.ContainsFunc(routes, func(own route) bool { return own.prefix == r.prefix }) {
			continue
		}
		if _, err := d.Client(ctx, d.add(r)...); err != nil {
			return err
		}
	}
	return nil
}

func (d *gobgp) add(r route) []string {
	args := []string{"global", "rib", "-a", string(familyOf(r.prefix)), "add", r.prefix, "nexthop", d.nextHop(r), "origin", "igp"}
	if len(r.communities) > 0 {
		var communities []string
		for _, community := range r.communities {
			high, low := number(community)
			communities = append(communities, fmt.Sprintf("%d:%d", high, low))
		}
		args = append(args, "community", strings.Join(communities, ","))
	}
	if len(r.large) > 0 {
		args = append(args, "large-community", strings.Join(r.large, ","))
	}
	if r.med > 0 {
		args = append(args, "med", strconv.Itoa(r.med))
	}
	if r.localPref > 0 {
		args = append(args, "local-pref", strconv.Itoa(r.localPref))
	}
	if len(r.path) > 0 {
		args = append(args, "aspath", spaced(r.path))
	}
	return args
}

// nextHop is the router's own address of the prefix's family, or of the other one where its
// session has to make do with that.
func (d *gobgp) nextHop(r route) string {
	if d.router.sessions[0].link != "" {
		return routerLinkLocal
	}
	if familyOf(r.prefix) == ipv4 && !d.router.sessions[0].extendedNextHop {
		return routerIPv4
	}
	return routerIPv6
}

func (d *gobgp) view(ctx context.Context, address string) (view, error) {
	address = d.router.neighbor(address)
	text, err := d.Client(ctx, "neighbor", address)
	if err != nil {
		return view{}, err
	}
	out, err := d.Client(ctx, "neighbor", address, "-j")
	if err != nil {
		return view{}, err
	}
	var answer struct {
		Timers struct {
			State struct {
				Hold int `json:"negotiated_hold_time"`
			} `json:"state"`
		} `json:"timers"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return view{}, fmt.Errorf("reading %s: %w", out, err)
	}
	log, err := d.Daemon().Log()
	return view{up: strings.Contains(text, "BGP state = ESTABLISHED"), hold: answer.Timers.State.Hold, text: text + log}, err
}

// gobgpPath is a path as `gobgp -j` prints it.
type gobgpPath struct {
	Attrs []struct {
		Type        int             `json:"type"`
		NextHop     string          `json:"nexthop"`
		Communities []uint32        `json:"communities"`
		Metric      int             `json:"metric"`
		Value       json.RawMessage `json:"value"`
		Paths       []struct {
			ASNs []int `json:"asns"`
		} `json:"as_paths"`
	} `json:"attrs"`
}

func (d *gobgp) paths(ctx context.Context, prefix string) ([]path, error) {
	out, err := d.Client(ctx, "global", "rib", "-a", string(familyOf(prefix)), "-j")
	if err != nil {
		return nil, err
	}
	return readGoBGP(out, prefix)
}

// readGoBGP reads the paths to a prefix in a table as `gobgp -j` prints it.
func readGoBGP(out, prefix string) (paths []path, err error) {
	var table map[string][]gobgpPath
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		return nil, fmt.Errorf("reading %s: %w", out, err)
	}
	for _, p := range table[prefix] {
		one, err := p.read()
		if err != nil {
			return nil, err
		}
		paths = append(paths, one)
	}
	return paths, nil
}

// The types of attributes (RFC 4271 and others).
const (
	attrNextHop     = 3
	attrMED         = 4
	attrLocalPref   = 5
	attrCommunities = 8
	attrMPReach     = 14
	attrExtended    = 16
	attrLarge       = 32
)

func (p gobgpPath) read() (path, error) {
	var one path
	for _, a := range p.Attrs {
		var ases []int
		for _, segment := range a.Paths {
			ases = append(ases, segment.ASNs...)
		}
		if len(ases) > 0 {
			one.asPath = spaced(ases)
		}
		switch a.Type {
		case attrNextHop, attrMPReach:
			one.nextHop = a.NextHop
		case attrMED:
			one.med = a.Metric
		case attrLocalPref:
			if err := json.Unmarshal(a.Value, &one.localPref); err != nil {
				return one, fmt.Errorf("reading LOCAL_PREF %s: %w", a.Value, err)
			}
		case attrCommunities:
			for _, community := range a.Communities {
				one.communities = append(one.communities, inWords(fmt.Sprintf("%d:%d", community>>16, community&0xffff)))
			}
		case attrExtended:
			one.bandwidth = string(a.Value)
		case attrLarge:
			var large []struct{ ASN, LocalData1, LocalData2 uint32 }
			if err := json.Unmarshal(a.Value, &large); err != nil {
				return one, fmt.Errorf("reading large communities %s: %w", a.Value, err)
			}
			for _, l := range large {
				one.large = append(one.large, fmt.Sprintf("%d:%d:%d", l.ASN, l.LocalData1, l.LocalData2))
			}
		}
	}
	return one, nil
}

func (d *gobgp) shutdown(ctx context.Context, address, words string) error {
	_, err := d.Client(ctx, "neighbor", d.router.neighbor(address), "shutdown", "--reason", words)
	return err
}

func (d *gobgp) version(ctx context.Context) (string, error) {
	out, err := d.Run(ctx, "gobgpd", "--version")
	return firstLine(out), err
}
