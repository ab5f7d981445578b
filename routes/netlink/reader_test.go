package netlink

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/namespace"
)

// readAlone lists the routes of a protocol in all tables by another library, which shares
// nothing with what is tested.
func readAlone(t *testing.T, protocol int) map[routes.Key]routes.Route {
	t.Helper()
	out := map[routes.Key]routes.Route{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: netlink.RouteProtocol(protocol), Table: unix.RT_TABLE_UNSPEC},
			netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			read := fromLibrary(r)
			if other, twice := out[read.Key]; twice {
				t.Fatalf("two routes at one key: %s and %s", other, read)
			}
			out[read.Key] = read
		}
	}
	return out
}

func fromLibrary(r netlink.Route) routes.Route {
	ones, _ := r.Dst.Mask.Size()
	addr, _ := netip.AddrFromSlice(r.Dst.IP)
	out := routes.Route{Key: routes.Key{Table: uint32(r.Table), Metric: uint32(r.Priority), Prefix: netip.PrefixFrom(addr.Unmap(), ones)}}
	if r.Family == unix.AF_INET6 {
		out.Prefix = netip.PrefixFrom(addr, ones)
	}
	out.Key = out.WithSelector(routes.Selector{TOS: uint8(r.Tos)})
	switch {
	case r.MTU != 0:
		out.Kind = routes.Other
		return out
	case r.Type == unix.RTN_UNICAST:
	case r.Type == unix.RTN_UNREACHABLE:
		out.Kind = routes.Unreachable
		return out
	default:
		out.Kind = routes.Other
		return out
	}
	hop := func(link int, gw net.IP, via netlink.Destination, weight int) {
		nh := routes.NextHop{Link: link, Weight: uint8(weight)}
		if gw != nil {
			a, _ := netip.AddrFromSlice(gw)
			nh.Gateway = a.Unmap()
		}
		if v, ok := via.(*netlink.Via); ok {
			nh.Gateway, _ = netip.AddrFromSlice(v.Addr)
		}
		out.NextHops = append(out.NextHops, nh)
	}
	for _, nh := range r.MultiPath {
		hop(nh.LinkIndex, nh.Gw, nh.Via, nh.Hops+1)
	}
	if len(r.MultiPath) == 0 {
		hop(r.LinkIndex, r.Gw, r.Via, 1)
	}
	return out.Normalize()
}

// readByIP lists the routes of protocol 219 in all tables as ip-route(8) shows them.
func readByIP(t *testing.T) map[routes.Key]routes.Route {
	t.Helper()
	type via struct{ Host string }
	type hop struct {
		Gateway, Dev string
		Via          *via
		Weight       int
	}
	out := map[routes.Key]routes.Route{}
	for _, family := range []string{"-4", "-6"} {
		var list []struct {
			hop
			Type, Dst string
			Table     any
			Metric    uint32
			TOS       string
			Metrics   []any
			NextHops  []hop
		}
		if text := namespace.IP(t, "-j -N "+family+" route show table all proto 219"); strings.TrimSpace(text) != "" {
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range list {
			read := routes.Route{Key: routes.Key{Table: routes.MainTable, Metric: r.Metric, Prefix: prefixOf(family, r.Dst)}}
			if r.Table != nil {
				if _, err := fmt.Sscan(fmt.Sprint(r.Table), &read.Table); err != nil {
					t.Fatal(err)
				}
			}
			if r.TOS != "" {
				tos, err := strconv.ParseUint(r.TOS, 0, 8)
				if err != nil {
					t.Fatal(err)
				}
				read.Key = read.WithSelector(routes.Selector{TOS: uint8(tos)})
			}
			if len(r.Metrics) > 0 {
				r.Type = "altered"
			}
			switch r.Type {
			case "", "unicast", "1":
				for _, h := range slices.Concat(r.NextHops, []hop{r.hop})[:max(1, len(r.NextHops))] {
					nh := routes.NextHop{Link: link(t, h.Dev), Weight: uint8(cmp.Or(h.Weight, 1))}
					if h.Via != nil {
						h.Gateway = h.Via.Host
					}
					if h.Gateway != "" {
						nh.Gateway = netip.MustParseAddr(h.Gateway)
					}
					read.NextHops = append(read.NextHops, nh)
				}
			case "unreachable", "7":
				read.Kind = routes.Unreachable
			default:
				read.Kind = routes.Other
			}
			out[read.Normalize().Key] = read.Normalize()
		}
	}
	return out
}

func prefixOf(family, text string) netip.Prefix {
	switch {
	case text == "default" && family == "-4":
		text = "0.0.0.0/0"
	case text == "default":
		text = "::/0"
	case !strings.Contains(text, "/"):
		addr := netip.MustParseAddr(text)
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	return netip.MustParsePrefix(text)
}
