package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/fairway-bgp/fairway/test/lab"
)

type frr struct {
	*lab.FRR
	router router
}

func addFRR(l *lab.Lab, r router) daemon {
	d := &frr{FRR: l.FRR(routerName, frrConfig(r)), router: r}
	d.Port = r.port
	return d
}

func frrConfig(r router) string {
	var c lines
	frrRouteMaps(&c, r.routes)
	c.add("router bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n no bgp network import-check\n no bgp default ipv4-unicast", r.asn, routerID)
	for _, s := range r.sessions {
		frrSession(&c, s)
	}
	for _, f := range []family{ipv4, ipv6} {
		c.add(" address-family %s unicast", f)
		for _, s := range r.sessions {
			c.addIf(s.has(f), "  neighbor %s activate", s.neighbor())
			c.addIf(s.has(f) && s.client, "  neighbor %s route-reflector-client", s.neighbor())
			c.addIf(s.has(f) && s.overrideAS, "  neighbor %s as-override", s.neighbor())
		}
		for _, s := range r.sessions {
			c.addIf(s.has(f) && s.severalPaths, "  neighbor %s addpath-tx-all-paths", s.neighbor())
		}
		frrNetworks(&c, "network", of(r.routes, f))
		c.add(" exit-address-family")
	}
	return c.String()
}

func frrSession(c *lines, s session) {
	set := func(asked bool, format string, args ...any) {
		c.addIf(asked, " neighbor "+s.neighbor()+" "+format, args...)
	}
	set(s.link == "", "remote-as %d", s.asn)
	set(s.link != "", "interface remote-as %d", s.asn)
	set(true, "timers %d %d", s.hold/3, s.hold)
	set(true, "timers connect 1")
	set(s.source != "", "update-source %s", s.source)
	set(s.port != 0, "port %d", s.port)
	set(s.passive, "passive")
	set(s.password != "", "password %s", s.password)
	set(s.hops > 0, "ebgp-multihop %d", s.hops)
	set(s.gtsm, "ttl-security hops 1")
	set(s.extendedNextHop, "capability extended-nexthop")
	set(s.restart > 0, "graceful-restart")
	set(s.restart == 0, "graceful-restart-disable")
	c.addIf(s.restart > 0, " bgp graceful-restart restart-time %d", s.restart)
	c.addIf(s.restart > 0, " bgp graceful-restart preserve-fw-state")
	c.addIf(s.restart > 0 && !s.notification, " no bgp graceful-restart notification")
	c.addIf(s.longLived > 0, " bgp long-lived-graceful-restart stale-time %d", s.longLived)
}

// frrRouteMaps has one for each route that has attributes.
func frrRouteMaps(c *lines, routes []route) {
	for i, r := range routes {
		c.add("route-map tell-%d permit 10", i)
		c.addIf(len(r.communities) > 0, " set community %s", strings.Join(r.communities, " "))
		c.addIf(len(r.large) > 0, " set large-community %s", strings.Join(r.large, " "))
		c.addIf(r.med > 0, " set metric %d", r.med)
		c.addIf(r.localPref > 0, " set local-preference %d", r.localPref)
		c.addIf(len(r.path) > 0, " set as-path prepend %s", spaced(r.path))
		c.add("exit")
	}
}

// frrNetworks adds or, with "no network", removes routes.
func frrNetworks(c *lines, verb string, routes []route) {
	for i, r := range routes {
		c.add("  %s %s route-map tell-%d", verb, r.prefix, i)
	}
}

func (d *frr) settle(context.Context) error { return nil }

func (d *frr) cannotRestart(context.Context, string) (string, error) { return "", nil }

func (d *frr) restart(ctx context.Context) error { return d.Up(ctx) }

func (d *frr) tell(ctx context.Context, routes []route) error {
	var c lines
	frrRouteMaps(&c, routes)
	c.add("router bgp %d", d.router.asn)
	for _, f := range []family{ipv4, ipv6} {
		c.add(" address-family %s unicast", f)
		frrNetworks(&c, "no network", of(d.router.routes, f))
		frrNetworks(&c, "network", of(routes, f))
		c.add(" exit-address-family")
	}
	d.router.routes = routes
	return d.Configure(ctx, c.String())
}

func (d *frr) view(ctx context.Context, address string) (view, error) {
	address = d.router.neighbor(address)
	s, err := d.Session(ctx, address)
	if err != nil {
		return view{}, err
	}
	text, err := d.VTYSH(ctx, "show bgp neighbors "+address, "show bgp neighbors "+address+" json") // each has words of its own
	return view{up: s.Up(), hold: s.Hold / 1000, text: text}, err
}

func (d *frr) paths(ctx context.Context, prefix string) ([]path, error) {
	var answer struct {
		Paths []struct {
			ASPath struct {
				String string `json:"string"`
			} `json:"aspath"`
			MED       int `json:"metric"`
			LocalPref int `json:"locPrf"`
			Community struct {
				List []string `json:"list"`
			} `json:"community"`
			Large struct {
				List []string `json:"list"`
			} `json:"largeCommunity"`
			Extended struct {
				String string `json:"string"`
			} `json:"extendedCommunity"`
			NextHops []struct {
				IP string `json:"ip"`
			} `json:"nexthops"`
		} `json:"paths"`
	}
	if err := d.JSON(ctx, &answer, fmt.Sprintf("show bgp %s unicast %s json", familyOf(prefix), prefix)); err != nil {
		return nil, err
	}
	var out []path
	for _, p := range answer.Paths {
		one := path{asPath: strings.TrimPrefix(p.ASPath.String, "Local"), med: p.MED, localPref: p.LocalPref,
			large: p.Large.List, bandwidth: p.Extended.String}
		for _, community := range p.Community.List {
			one.communities = append(one.communities, named(community))
		}
		if len(p.NextHops) > 0 {
			one.nextHop = p.NextHops[0].IP
		}
		out = append(out, one)
	}
	return out, nil
}

// named turns the names that FRR and OpenBGPD print into those of this package.
func named(community string) string {
	switch strings.ToLower(community) {
	case "noexport", "no_export", "no-export":
		return "no-export"
	case "llgrstale", "llgr_stale", "llgr-stale":
		return "llgr-stale"
	case "gracefulshutdown", "graceful_shutdown", "graceful-shutdown":
		return "graceful-shutdown"
	}
	return community
}

func (d *frr) shutdown(ctx context.Context, address, words string) error {
	return d.Configure(ctx, fmt.Sprintf("router bgp %d\n neighbor %s shutdown message %s\n", d.router.asn, d.router.neighbor(address), words))
}

func (d *frr) version(ctx context.Context) (string, error) {
	out, err := d.VTYSH(ctx, "show version")
	name, _, _ := strings.Cut(firstLine(out), " (") // the machine's
	return name, err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(line)
}

func spaced(numbers []int) string {
	var words []string
	for _, n := range numbers {
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, " ")
}
