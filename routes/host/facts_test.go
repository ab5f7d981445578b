package host

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// facts builds Facts from lines "LINK FLAGS ADDRESS/BITS [FLAG...]" such as "2 eth0 10.0.0.1/24 secondary". A link
// is up with carrier unless its name ends in -down or -nocarrier; lo is the loopback.
func facts(t *testing.T, lines string) Facts {
	t.Helper()
	var f Facts
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		fields := strings.Fields(line)
		var index int
		if _, err := fmt.Sscan(fields[0], &index); err != nil {
			t.Fatal(err)
		}
		name, down := strings.CutSuffix(fields[1], "-down")
		name, dark := strings.CutSuffix(name, "-nocarrier")
		if _, known := f.Link(index); !known {
			f.Links = append(f.Links, Link{Index: index, Name: name, Up: !down, Carrier: !dark, Loopback: name == "lo"})
		}
		prefix := netip.MustParsePrefix(fields[2])
		a := Address{Link: index, Addr: prefix.Addr(), Network: prefix.Masked(), Global: true}
		if prefix.Addr().IsLinkLocalUnicast() || prefix.Addr().IsLoopback() {
			a.Global = false
		}
		for _, flag := range fields[3:] {
			switch flag {
			case "secondary":
				a.Secondary = true
			case "temporary":
				a.Temporary = true
			case "deprecated":
				a.Deprecated = true
			case "tentative":
				a.Unsettled = true
			default: // a peer
				a.Network = netip.MustParsePrefix(flag).Masked()
			}
		}
		f.Addresses = append(f.Addresses, a)
	}
	return f
}

const sample = `
1 lo 127.0.0.1/8
1 lo 10.255.0.1/32
1 lo ::1/128
1 lo 10.254.0.1/24
2 eth0 10.0.0.5/24
2 eth0 10.0.0.6/24 secondary
2 eth0 fd00::77/64 temporary
2 eth0 fd00::66/64 deprecated
2 eth0 fd00::55/64 tentative
2 eth0 fd00::5/64
2 eth0 fe80::5/64
3 eth1 10.0.0.129/25
3 eth1 fe80::6/64
3 eth1 192.0.2.1/32
4 down-down 10.4.0.1/24
4 down-down fe80::7/64
5 tun0 10.5.0.1/32 10.5.0.2/32
6 dark-nocarrier 10.6.0.1/24
7 light 10.6.0.2/24
8 twin 10.6.0.3/24
9 old fd09::1/64 deprecated
9 old fd09::2/64 temporary
9 old 169.254.9.1/16`

func TestOnLinkFindsTheNetworkAndOurAddressInIt(t *testing.T) {
	f := facts(t, sample)
	for addr, want := range map[string]string{
		"10.0.0.1":        "2 10.0.0.5",
		"::ffff:10.0.0.1": "2 10.0.0.5",
		"10.0.0.5":        "2 10.0.0.5",
		"10.0.0.200":      "3 10.0.0.129", // the more specific network
		"fd00::1":         "2 fd00::5",    // neither temporary, deprecated nor tentative
		"fe80::1%eth0":    "2 fe80::5",
		"fe80::1%3":       "3 fe80::6",
		"10.5.0.2":        "5 10.5.0.1", // a peer
		"10.6.0.9":        "7 10.6.0.2", // carrier, then the lower index
		"fd09::9":         "9 fd09::1",  // nothing better there
		"169.254.1.1":     "9 169.254.9.1",
		"fe80::1":         "none", // which link?
		"fe80::1%eth9":    "none",
		"fe80::1%99":      "none",
		"fe80::1%down":    "none",
		"10.4.0.9":        "none", // its link is down
		"127.0.0.1":       "none",
		"10.254.0.9":      "none", // on the loopback link
		"192.0.2.1":       "none", // an address without a network
		"10.9.0.1":        "none",
		"::1":             "none",
	} {
		got := "none"
		if link, local, ok := f.OnLink(netip.MustParseAddr(addr)); ok {
			got = fmt.Sprint(link, " ", local)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if _, _, ok := f.OnLink(netip.Addr{}); ok {
		t.Error("no address is on a link")
	}
}

func TestIsLocalKnowsEveryAddressOfTheHost(t *testing.T) {
	f := facts(t, sample)
	for addr, want := range map[string]bool{
		"10.0.0.5": true, "10.0.0.6": true, "::ffff:10.0.0.5": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"10.255.0.1": true, "10.254.0.77": true, "10.4.0.1": true, "fd00::55": true, "10.5.0.1": true,
		"fe80::5": true, "fe80::5%eth0": true, "fe80::5%eth1": false, "fe80::5%nolink": false,
		"10.0.0.1": false, "10.5.0.2": false, "::2": false, "10.0.0.0": false,
	} {
		if got := f.IsLocal(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
	if f.IsLocal(netip.Addr{}) {
		t.Error("no address is local")
	}
}

func TestAddressOnChoosesOneThatLasts(t *testing.T) {
	f := facts(t, sample)
	for _, c := range []struct {
		link    int
		family4 bool
		want    string
	}{
		{2, true, "10.0.0.5"}, {2, false, "fd00::5"}, {3, true, "10.0.0.129"}, {3, false, "none"},
		{9, false, "none"}, {9, true, "none"}, {1, true, "10.255.0.1"}, {99, true, "none"},
	} {
		got := "none"
		if addr := f.AddressOn(c.link, c.family4); addr.IsValid() {
			got = addr.String()
		}
		if got != c.want {
			t.Errorf("link %d, IPv4 %t: %s, want %s", c.link, c.family4, got, c.want)
		}
	}
	if got := facts(t, "2 eth0 10.0.0.6/24 secondary").AddressOn(2, true); got.String() != "10.0.0.6" {
		t.Errorf("a lone secondary address: %s", got)
	}
}

func TestConnectedListsTheNetworksOfLinksThatAreUp(t *testing.T) {
	var got []string
	for _, c := range facts(t, sample).Connected() {
		got = append(got, fmt.Sprint(c.Prefix, " ", c.Link))
	}
	want := "10.0.0.0/24 2, 10.0.0.128/25 3, 10.5.0.2/32 5, 10.6.0.0/24 6, 10.6.0.0/24 7, 10.6.0.0/24 8, " +
		"169.254.0.0/16 9, fd00::/64 2, fd09::/64 9, fe80::/64 2, fe80::/64 3"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

func TestEqualSeesEveryDifference(t *testing.T) {
	a := facts(t, sample)
	if !a.Equal(facts(t, sample)) {
		t.Error("not equal to itself")
	}
	for name, change := range map[string]func(*Facts){
		"sysctls":   func(f *Facts) { f.Sysctls = map[string]string{"net/ipv4/ip_forward": "1"} },
		"carrier":   func(f *Facts) { f.Links[0].Carrier = false },
		"tentative": func(f *Facts) { f.Addresses[0].Unsettled = true },
	} {
		b := facts(t, sample)
		if change(&b); a.Equal(b) {
			t.Errorf("%s goes unnoticed", name)
		}
	}
}
