package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairway-bgp/fairway/test/lab"
)

type bird struct {
	*lab.BIRD
	router router
}

func addBIRD(l *lab.Lab, r router) daemon {
	return &bird{BIRD: l.BIRD(routerName, birdConfig(r)), router: r}
}

func birdConfig(r router) string {
	var c lines
	c.add("router id %s;\nprotocol device {}", routerID)
	c.add("graceful restart wait 60;")
	for _, f := range []family{ipv4, ipv6} {
		c.add("protocol kernel kernel_%[1]s { persist; %[1]s { export where source = RTS_BGP; }; }", f)
		c.add("protocol static static_%[1]s { %[1]s;", f)
		for _, r := range of(r.routes, f) {
			c.add(" route %s unreachable;", r.prefix)
		}
		c.add("}")
	}
	birdFilter(&c, r.routes)
	for i, s := range r.sessions {
		c.addIf(s.link != "", "protocol radv { interface %q; }", s.link)
		birdSession(&c, i, r, s)
	}
	return c.String()
}

// birdFilter gives the static routes their attributes when they are told.
func birdFilter(c *lines, routes []route) {
	c.add("filter tell {")
	for _, r := range routes {
		c.add(" if net = %s then {", r.prefix)
		for _, community := range r.communities {
			high, low := number(community)
			c.add("  bgp_community.add((%d,%d));", high, low)
		}
		for _, large := range r.large {
			c.add("  bgp_large_community.add((%s));", strings.ReplaceAll(large, ":", ","))
		}
		c.addIf(r.med > 0, "  bgp_med = %d;", r.med)
		c.addIf(r.localPref > 0, "  bgp_local_pref = %d;", r.localPref)
		for i := len(r.path) - 1; i >= 0; i-- {
			c.add("  bgp_path.prepend(%d);", r.path[i])
		}
		c.add(" }")
	}
	c.add(" accept;\n}")
}

func birdSession(c *lines, i int, r router, s session) {
	c.add("protocol bgp node_%d {", i)
	port := ""
	if r.port != 0 {
		port = fmt.Sprintf(" port %d", r.port)
	}
	c.add(" local %s%s as %d;", s.source, port, r.asn)
	if s.port != 0 {
		c.add(" neighbor %s port %d as %d;", s.zoned(), s.port, s.asn)
	} else {
		c.add(" neighbor %s as %d;", s.zoned(), s.asn)
	}
	c.add(" hold time %d; keepalive time %d; connect retry time 1; connect delay time 0; error wait time 1, 2;", s.hold, s.hold/3)
	c.addIf(s.passive, " passive;")
	c.addIf(s.password != "", " password %q;", s.password)
	c.addIf(s.hops > 0, " multihop %d;", s.hops)
	c.addIf(s.hops == 0, " direct;")
	c.addIf(s.gtsm, " ttl security;")
	c.addIf(s.client, " rr client;")
	if s.restart > 0 {
		c.add(" graceful restart; graceful restart time %d;", s.restart)
	} else {
		c.add(" graceful restart off;")
	}
	c.addIf(s.notification, " graceful restart notification;")
	c.addIf(s.longLived > 0, " long lived graceful restart; long lived stale time %d;", s.longLived)
	for _, f := range s.families {
		c.add(" %s { import all; export filter %s;%s%s%s };", f, birdExport(s), only(s.severalPaths, " add paths on;"), only(s.extendedNextHop && f == ipv4, " extended next hop;"), only(!s.external(r) && !s.client, " next hop self;"))
	}
	c.add("}")
}

// birdExport is the filter of a session: BIRD has no as-override, and a filter that does it.
func birdExport(s session) string {
	if !s.overrideAS {
		return "tell"
	}
	return fmt.Sprintf("{ bgp_path.delete(%d); accept; }", s.asn)
}

func only(asked bool, text string) string {
	if asked {
		return text
	}
	return ""
}

func (d *bird) settle(context.Context) error { return nil }

func (d *bird) cannotRestart(context.Context, string) (string, error) { return "", nil }

func (d *bird) restart(ctx context.Context) error { return d.UpAfterCrash(ctx) }

func (d *bird) tell(ctx context.Context, routes []route) error {
	d.router.routes = routes
	return d.Configure(ctx, birdConfig(d.router))
}

// protocol is the name of the session with an address.
func (d *bird) protocol(address string) string {
	for i, s := range d.router.sessions {
		if s.address == address {
			return fmt.Sprintf("node_%d", i)
		}
	}
	return address
}

var birdHold = regexp.MustCompile(`Hold timer: +[0-9.]+/(\d+)`)

func (d *bird) view(ctx context.Context, address string) (view, error) {
	text, err := d.Birdc(ctx, "show", "protocols", "all", d.protocol(address))
	if err != nil {
		return view{}, err
	}
	log, err := d.Daemon().Log()
	return view{up: strings.Contains(text, "BGP state:          Established"), hold: firstNumber(birdHold, text), text: text + log}, err
}

func firstNumber(re *regexp.Regexp, text string) int {
	if found := re.FindStringSubmatch(text); found != nil {
		n, _ := strconv.Atoi(found[1])
		return n
	}
	return 0
}

var (
	birdPath   = regexp.MustCompile(`(?m)^\S*\s+(?:unicast|unreachable|blackhole) \[`)
	birdPair   = regexp.MustCompile(`\((\d+), ?(\d+)\)`)
	birdTriple = regexp.MustCompile(`\((\d+), (\d+), (\d+)\)`)
	birdField  = regexp.MustCompile(`(?m)^\tBGP\.(\S+?):? (.*)$`)
)

func (d *bird) paths(ctx context.Context, prefix string) ([]path, error) {
	text, err := d.Birdc(ctx, "show", "route", "all", prefix)
	if err != nil {
		if strings.Contains(err.Error(), "Network not found") {
			return nil, nil
		}
		return nil, err
	}
	var out []path
	starts := birdPath.FindAllStringIndex(text, -1)
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		out = append(out, birdReadPath(text[start[0]:end]))
	}
	return out, nil
}

func birdReadPath(text string) path {
	var p path
	for _, field := range birdField.FindAllStringSubmatch(text, -1) {
		value := strings.TrimSpace(field[2])
		switch strings.TrimSuffix(field[1], ":") {
		case "as_path":
			p.asPath = value
		case "next_hop":
			global, linkLocal, _ := strings.Cut(value, " ")
			p.nextHop = global
			if global == "::" {
				p.nextHop = linkLocal
			}
		case "med":
			p.med, _ = strconv.Atoi(value)
		case "local_pref":
			p.localPref, _ = strconv.Atoi(value)
		case "community":
			for _, pair := range birdPair.FindAllStringSubmatch(value, -1) {
				p.communities = append(p.communities, inWords(pair[1]+":"+pair[2]))
			}
		case "large_community":
			for _, three := range birdTriple.FindAllStringSubmatch(value, -1) {
				p.large = append(p.large, strings.Join(three[1:], ":"))
			}
		case "ext_community":
			p.bandwidth = value
		}
	}
	return p
}

// inWords turns the numbers of a well-known community into its name.
func inWords(community string) string {
	for name, numbers := range wellKnown {
		if community == numbers {
			return name
		}
	}
	return community
}

func (d *bird) shutdown(ctx context.Context, address, words string) error {
	_, err := d.Birdc(ctx, "disable", d.protocol(address), fmt.Sprintf("%q", words))
	return err
}

func (d *bird) version(ctx context.Context) (string, error) {
	out, err := d.Birdc(ctx, "show", "status")
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(firstLine(out), " ready."), nil
}
