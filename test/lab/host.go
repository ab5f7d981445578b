package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Host is a network namespace that behaves as a machine of its own.
type Host struct {
	lab   *Lab
	name  string
	dir   string
	links map[string]bool // interface names given away
	addrs []netip.Prefix  // in the order they were added
}

// A Machine is anything that has the network of a Host: a Host, Node or router.
type Machine interface{ host() *Host }

func (h *Host) host() *Host { return h }

// Name of the host, and of its network namespace.
func (h *Host) Name() string { return h.name }

// Dir holds the host's logs and configuration files.
func (h *Host) Dir() string { return h.dir }

// Addresses are usable at once (no duplicate address detection), nothing comes
// from router advertisements, and answers may return by another way than the
// question took. Set explicitly: a namespace inherits some from the machine.
var everyHost = []string{
	"net.ipv6.conf.all.disable_ipv6=0",
	"net.ipv6.conf.default.disable_ipv6=0",
	"net.ipv6.conf.all.accept_dad=0",
	"net.ipv6.conf.default.accept_dad=0",
	"net.ipv6.conf.default.dad_transmits=0",
	"net.ipv6.conf.all.accept_ra=0",
	"net.ipv6.conf.default.accept_ra=0",
	"net.ipv4.conf.all.rp_filter=0",
	"net.ipv4.conf.default.rp_filter=0",
}

// What forwards also leaves a multipath next hop alone whose far end lost
// carrier; Linux keeps using it otherwise.
var forwarding = []string{
	"net.ipv4.ip_forward=1",
	"net.ipv6.conf.all.forwarding=1",
	"net.ipv6.conf.default.forwarding=1",
	"net.ipv4.conf.all.ignore_routes_with_linkdown=1",
	"net.ipv4.conf.default.ignore_routes_with_linkdown=1",
	"net.ipv6.conf.all.ignore_routes_with_linkdown=1",
	"net.ipv6.conf.default.ignore_routes_with_linkdown=1",
}

// A router spreads the flows of a single client over all its paths.
var routing = append(slices.Clone(forwarding),
	// Of several paths a router takes one by addresses, protocol and ports, which 3 takes from the packet.
	// With 1 it would take the hash that the packet carries with it from one namespace to another: a random
	// one of the sender's socket, and another one when the same socket sends again or has been closed.
	"net.ipv4.fib_multipath_hash_policy=3",
	"net.ipv4.fib_multipath_hash_fields=55",
	"net.ipv6.fib_multipath_hash_policy=3",
	"net.ipv6.fib_multipath_hash_fields=55",
)

// Host adds a plain host: it does not forward, and has the routes its addresses
// bring and those of Default.
func (l *Lab) Host(name string) *Host {
	h := l.newHost(name)
	if l.claim(name) {
		h.create(nil)
	}
	return h
}

func (l *Lab) newHost(name string) *Host {
	return &Host{lab: l, name: name, dir: filepath.Join(l.dir, name), links: map[string]bool{}}
}

// create makes the namespace. Settings have to stand before the first interface.
func (h *Host) create(sysctls []string) {
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		h.lab.fail(fmt.Errorf("creating the folder of %s: %w", h.name, err))
		return
	}
	settings := strings.Join(append(slices.Clone(everyHost), sysctls...), " ")
	h.lab.script(
		"ip netns add "+h.name,
		"ip -n "+h.name+" link set dev lo up",
		"nsenter --net=/run/netns/"+h.name+" sysctl -q -w "+settings,
	)
}

// Default sends all traffic of each gateway's family to that gateway. Several of
// one family make a multipath route.
func (h *Host) Default(gateways ...string) {
	hops := map[string]string{}
	for _, gateway := range gateways {
		addr, err := netip.ParseAddr(gateway)
		if err != nil {
			h.lab.fail(fmt.Errorf("default route of %s: %w", h.name, err))
			return
		}
		hops[family(addr)] += " nexthop via " + addr.String()
	}
	for flag, via := range hops {
		h.lab.script("ip -n " + h.name + " " + flag + " route replace default" + via)
	}
}

// family is the flag of ip for an address.
func family(addr netip.Addr) string {
	if addr.Is4() {
		return "-4"
	}
	return "-6"
}

// IPv4 is the first IPv4 address the host was given.
func (h *Host) IPv4() netip.Addr { return h.first(netip.Addr.Is4) }

// IPv6 is the first IPv6 address the host was given, link-local ones aside.
func (h *Host) IPv6() netip.Addr { return h.first(netip.Addr.Is6) }

func (h *Host) first(is func(netip.Addr) bool) netip.Addr {
	for _, prefix := range h.addrs {
		if is(prefix.Addr()) {
			return prefix.Addr()
		}
	}
	return netip.Addr{}
}

// AddAddress gives one of the host's interfaces, lo included, further addresses,
// each with its prefix length.
func (h *Host) AddAddress(device string, addrs ...string) {
	var lines []string
	for _, addr := range addrs {
		prefix, err := netip.ParsePrefix(addr)
		if err != nil {
			h.lab.fail(fmt.Errorf("address of %s: %w", h.name, err))
			return
		}
		h.addrs = append(h.addrs, prefix)
		lines = append(lines, fmt.Sprintf("ip -n %s addr add %s dev %s", h.name, prefix, device))
	}
	h.lab.script(lines...)
}

// RemoveAddress takes an address away from one of the host's interfaces.
func (h *Host) RemoveAddress(device, addr string) {
	h.lab.script(fmt.Sprintf("ip -n %s addr del %s dev %s", h.name, addr, device))
}

// Run runs a program on the host and returns its standard output. Without a
// deadline of ctx's it gets 30 seconds. The error holds what the program said.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	return h.lab.run(ctx, h.name, argv...)
}

// Ping reports whether one echo request to addr is answered within a second.
func (h *Host) Ping(ctx context.Context, addr netip.Addr) error {
	_, err := h.Run(ctx, "ping", "-n", "-q", "-c1", "-W1", addr.String())
	return err
}

// A Route of a host's kernel, as `ip route` names things.
type Route struct {
	Type     string    `json:"type"`     // "" is unicast
	Dst      string    `json:"dst"`      // "default", "10.0.0.0/24", "10.0.0.1"
	Protocol string    `json:"protocol"` // a name, or a number that has none
	Metric   int       `json:"metric"`
	Gateway  string    `json:"gateway"`
	Via      Via       `json:"via"`
	Dev      string    `json:"dev"`
	PrefSrc  string    `json:"prefsrc"`
	NextHops []NextHop `json:"nexthops"` // of a multipath route, which has no Gateway of its own
	Flags    []string  `json:"flags"`
}

// Via is a gateway of the other family (RFC 8950).
type Via struct {
	Host string `json:"host"`
}

// A NextHop of a multipath route.
type NextHop struct {
	Gateway string   `json:"gateway"`
	Via     Via      `json:"via"`
	Dev     string   `json:"dev"`
	Weight  int      `json:"weight"`
	Flags   []string `json:"flags"`
}

// Routes reads the main table of both families. Words in match narrow it down
// as `ip route show` takes them: "proto", "219".
func (h *Host) Routes(ctx context.Context, match ...string) ([]Route, error) {
	var all []Route
	for _, flag := range []string{"-4", "-6"} {
		out, err := h.Run(ctx, append([]string{"ip", "-j", flag, "route", "show"}, match...)...)
		if err != nil {
			return nil, err
		}
		var routes []Route
		if strings.TrimSpace(out) == "" { // some versions say nothing for no routes
			continue
		}
		if err := json.Unmarshal([]byte(out), &routes); err != nil {
			return nil, fmt.Errorf("%s: reading routes: %w", h.name, err)
		}
		all = append(all, routes...)
	}
	return all, nil
}
