package host

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/fairway-bgp/fairway/test/namespace"
)

func TestReadTellsWhatTheKernelHas(t *testing.T) {
	namespace.Enter(t)
	namespace.IP(t, `link set lo up
link add eth0 type veth peer name far0
link set eth0 up
link set far0 up
link add br0 type bridge
link add ptp0 type veth peer name far1
link set ptp0 up
addr add 10.0.0.5/24 dev eth0
addr add 10.0.0.6/24 dev eth0
addr add fd00::5/64 dev eth0 nodad
addr add fd00::6/64 dev eth0 nodad preferred_lft 0
addr add 10.5.0.1 peer 10.5.0.2/32 dev ptp0
addr add fd05::1 peer fd05::2/128 dev ptp0
addr add 169.254.3.1/16 dev ptp0 scope link`)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0); err != nil {
		namespace.Unavailable(t, err.Error())
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0); err != nil {
		namespace.Unavailable(t, err.Error())
	}
	f, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range f.Links {
		got = append(got, fmt.Sprintf("%s up=%t carrier=%t loopback=%t", l.Name, l.Up, l.Carrier, l.Loopback))
	}
	for _, a := range f.Addresses {
		link, _ := f.Link(a.Link)
		if a.Addr.IsLinkLocalUnicast() && a.Addr.Is6() {
			continue // made from a random MAC address
		}
		got = append(got, fmt.Sprintf("%s %s %s global=%t unsettled=%t temporary=%t deprecated=%t secondary=%t",
			link.Name, a.Addr, a.Network, a.Global, a.Unsettled, a.Temporary, a.Deprecated, a.Secondary))
	}
	got = append(got, fmt.Sprintf("forwarding %s %s", f.Sysctls["net/ipv4/ip_forward"], f.Sysctls["net/ipv6/conf/all/forwarding"]))
	slices.Sort(got)
	want := `br0 up=false carrier=false loopback=false
eth0 10.0.0.5 10.0.0.0/24 global=true unsettled=false temporary=false deprecated=false secondary=false
eth0 10.0.0.6 10.0.0.0/24 global=true unsettled=false temporary=false deprecated=false secondary=true
eth0 fd00::5 fd00::/64 global=true unsettled=false temporary=false deprecated=false secondary=false
eth0 fd00::6 fd00::/64 global=true unsettled=false temporary=false deprecated=true secondary=false
eth0 up=true carrier=true loopback=false
far0 up=true carrier=true loopback=false
far1 up=false carrier=false loopback=false
forwarding 0 1
lo 127.0.0.1 127.0.0.0/8 global=false unsettled=false temporary=false deprecated=false secondary=false
lo ::1 ::1/128 global=false unsettled=false temporary=false deprecated=false secondary=false
lo up=true carrier=true loopback=true
ptp0 10.5.0.1 10.5.0.2/32 global=true unsettled=false temporary=false deprecated=false secondary=false
ptp0 169.254.3.1 169.254.0.0/16 global=false unsettled=false temporary=false deprecated=false secondary=false
ptp0 fd05::1 fd05::2/128 global=true unsettled=true temporary=false deprecated=false secondary=false
ptp0 up=true carrier=false loopback=false`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if again, err := Read(); err != nil || !again.Equal(f) && !linkLocalsSettled(f, again) {
		t.Errorf("a second look differs: %+v, %v", again, err)
	}
}

// linkLocalsSettled reports whether nothing differs but IPv6 link-local addresses, whose
// duplicate address detection may end between two looks.
func linkLocalsSettled(a, b Facts) bool {
	strip := func(f Facts) Facts {
		f.Addresses = slices.DeleteFunc(slices.Clone(f.Addresses), func(x Address) bool { return x.Addr.IsLinkLocalUnicast() })
		return f
	}
	return strip(a).Equal(strip(b))
}

func TestInterruptedListingIsBegunAgainAndInTheEndAnError(t *testing.T) {
	calls := 0
	got, err := listed(func() ([]int, error) {
		if calls++; calls < 3 {
			return nil, netlink.ErrDumpInterrupted
		}
		return []int{7}, nil
	})
	if err != nil || len(got) != 1 || calls != 3 {
		t.Errorf("%v, %v after %d calls", got, err, calls)
	}
	if _, err := listed(func() ([]int, error) { return nil, netlink.ErrDumpInterrupted }); !errors.Is(err, netlink.ErrDumpInterrupted) {
		t.Errorf("got %v", err)
	}
}
