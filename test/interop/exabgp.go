package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/test/lab"
)

type exabgp struct {
	*lab.ExaBGP
	router router
}

func addExaBGP(l *lab.Lab, r router) daemon {
	return &exabgp{ExaBGP: l.ExaBGP(routerName, exabgpConfig(r)), router: r}
}

// exabgpConfig has the first session alone. What another would pass on it tells itself.
func exabgpConfig(r router) string {
	var c lines
	s := r.sessions[0]
	source := routerIPv4
	if familyOf(s.address) == ipv6 {
		source = routerIPv6
	}
	c.add("neighbor %s {\n router-id %s;\n local-address %s;\n local-as %d;\n peer-as %d;\n hold-time %d;", s.address, routerID, source, r.asn, s.asn, s.hold)
	c.addIf(s.password != "", " md5-password %q;", s.password)
	c.add(" family {")
	for _, f := range s.families {
		c.add("  %s unicast;", f)
	}
	c.add(" }\n capability {")
	c.addIf(s.restart > 0, "  graceful-restart %d;", s.restart)
	c.addIf(s.severalPaths, "  add-path send/receive;")
	c.add(" }\n api { processes [ watch ]; neighbor-changes; receive { parsed; update; notification; } }\n static {")
	own := func(other route) bool {
		return slices.ContainsFunc(r.routes, func(o route) bool { return o.prefix == other.prefix })
	}
	for _, told := range append(slices.Clone(r.routes), slices.DeleteFunc(slices.Clone(r.passedOn), own)...) {
		c.add("  route %s%s;", told.prefix, exabgpAttributes(r, told))
	}
	c.add(" }\n}")
	return c.String()
}

func exabgpAttributes(in router, r route) string {
	out := " next-hop " + map[family]string{ipv4: routerIPv4, ipv6: routerIPv6}[familyOf(r.prefix)]
	list := func(name string, values []string) {
		if len(values) > 0 {
			out += fmt.Sprintf(" %s [ %s ]", name, strings.Join(values, " "))
		}
	}
	var communities []string
	for _, community := range r.communities {
		high, low := number(community)
		communities = append(communities, fmt.Sprintf("%d:%d", high, low))
	}
	list("community", communities)
	list("large-community", r.large)
	if r.med > 0 {
		out += fmt.Sprintf(" med %d", r.med)
	}
	if r.localPref > 0 {
		out += fmt.Sprintf(" local-preference %d", r.localPref)
	}
	if len(r.path) > 0 { // told as it is, so with its own in front
		list("as-path", []string{spaced(append([]int{in.asn}, r.path...))})
	}
	return out
}

func (d *exabgp) settle(context.Context) error { return nil }

func (d *exabgp) cannotRestart(context.Context, string) (string, error) { return "", nil }

func (d *exabgp) restart(ctx context.Context) error { return d.Up(ctx) }

func (d *exabgp) tell(ctx context.Context, routes []route) error {
	d.router.routes = routes
	return d.Configure(ctx, exabgpConfig(d.router))
}

// exabgpMessage is a line of what ExaBGP writes down.
type exabgpMessage struct {
	Type     string `json:"type"`
	Neighbor struct {
		State   string `json:"state"`
		Message struct {
			Update exabgpUpdate `json:"update"`
		} `json:"message"`
	} `json:"neighbor"`
}

type exabgpUpdate struct {
	Attribute struct {
		ASPath    []int   `json:"as-path"`
		MED       int     `json:"med"`
		LocalPref int     `json:"local-preference"`
		Community [][]int `json:"community"`
		Large     [][]int `json:"large-community"`
	} `json:"attribute"`
	Announce map[string]map[string][]exabgpNLRI `json:"announce"`
	Withdraw map[string][]exabgpNLRI            `json:"withdraw"`
}

type exabgpNLRI struct {
	NLRI string `json:"nlri"`
}

func (d *exabgp) messages() ([]exabgpMessage, error) {
	heard, err := d.Heard()
	if err != nil {
		return nil, err
	}
	var out []exabgpMessage
	for _, line := range heard {
		var m exabgpMessage
		// A line that is still being written does not parse, and End-of-RIB has an announcement of
		// another form.
		if json.Unmarshal([]byte(line), &m) == nil {
			out = append(out, m)
		}
	}
	return out, nil
}

func (d *exabgp) view(context.Context, string) (view, error) {
	messages, err := d.messages()
	if err != nil {
		return view{}, err
	}
	v := view{}
	for _, m := range messages {
		if m.Type == "state" {
			v.up = m.Neighbor.State == "up"
		}
	}
	heard, err := d.Heard()
	if err != nil {
		return v, err
	}
	log, err := d.Daemon().Log()
	v.text = strings.Join(heard, "\n") + log
	return v, err
}

func (d *exabgp) paths(_ context.Context, prefix string) ([]path, error) {
	messages, err := d.messages()
	if err != nil {
		return nil, err
	}
	var now []path
	for _, m := range messages {
		if m.Type == "state" && m.Neighbor.State == "down" {
			now = nil
		}
		now = m.Neighbor.Message.Update.apply(now, prefix)
	}
	return now, nil
}

// apply is what there is of a prefix after an UPDATE.
func (u exabgpUpdate) apply(before []path, prefix string) []path {
	of := string(familyOf(prefix)) + " unicast"
	is := func(n exabgpNLRI) bool { return n.NLRI == prefix }
	if slices.ContainsFunc(u.Withdraw[of], is) {
		before = nil
	}
	for hop, told := range u.Announce[of] {
		if !slices.ContainsFunc(told, is) {
			continue
		}
		one := path{asPath: spaced(u.Attribute.ASPath), nextHop: hop, med: u.Attribute.MED, localPref: u.Attribute.LocalPref}
		for _, community := range u.Attribute.Community {
			one.communities = append(one.communities, inWords(colons(community)))
		}
		for _, large := range u.Attribute.Large {
			one.large = append(one.large, colons(large))
		}
		before = []path{one}
	}
	return before
}

func colons(numbers []int) string { return strings.ReplaceAll(spaced(numbers), " ", ":") }

func (d *exabgp) shutdown(context.Context, string, string) error {
	return notAvailable{"there is no script for this"}
}

func (d *exabgp) version(ctx context.Context) (string, error) {
	out, err := d.Run(ctx, "exabgp", "--version")
	return strings.ReplaceAll(firstLine(out), " : ", " "), err
}
