package host

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/test/namespace"
)

// goodSysctls are those of a host with which there is nothing wrong.
func goodSysctls() map[string]string {
	good := map[string]string{rpFilterAll: "0", rpFilterOf("eth0"): "0", acceptRAOf("eth0"): "1", rpFilterOf("cni0"): "2"}
	for _, r := range rules {
		good[r.path] = "1"
	}
	return good
}

func TestWrongSysctls(t *testing.T) {
	for name, c := range map[string]struct {
		change  map[string]string // "-": the kernel does not have it
		dynamic bool              // eth0's IPv6 address came by router advertisement
		want    string
	}{
		"all is well":                 {},
		"no IPv4 forwarding":          {map[string]string{"net/ipv4/ip_forward": "0"}, false, "net.ipv4.ip_forward=0 want 1 required"},
		"no IPv6 forwarding":          {map[string]string{"net/ipv6/conf/all/forwarding": "0"}, false, "net.ipv6.conf.all.forwarding=0 want 1 required"},
		"no IPv6 at all":              {map[string]string{"net/ipv6/conf/all/forwarding": "-", "net/ipv6/fib_multipath_hash_policy": "-"}, false, "net.ipv6.conf.all.forwarding= want 1 required"},
		"one path for all":            {map[string]string{"net/ipv4/fib_multipath_hash_policy": "0", "net/ipv6/fib_multipath_hash_policy": "0"}, false, "net.ipv4.fib_multipath_hash_policy=0 want 1; net.ipv6.fib_multipath_hash_policy=0 want 1"},
		"spread by chosen fields":     {map[string]string{"net/ipv4/fib_multipath_hash_policy": "3"}, false, ""},
		"dead links are used":         {map[string]string{"net/ipv6/conf/all/ignore_routes_with_linkdown": "0"}, false, "net.ipv6.conf.all.ignore_routes_with_linkdown=0 want 1"},
		"a dead link is used":         {map[string]string{linkdownOf("eth0"): "0", linkdownOf("veth1"): "0"}, false, "net.ipv6.conf.eth0.ignore_routes_with_linkdown=0 want 1"},
		"strict everywhere":           {map[string]string{rpFilterAll: "1"}, false, "net.ipv4.conf.all.rp_filter=1 want 2 (eth0)"},
		"strict on one link":          {map[string]string{rpFilterOf("eth0"): "1"}, false, "net.ipv4.conf.all.rp_filter=0 want 2 (eth0)"},
		"strict here, loose for all":  {map[string]string{rpFilterOf("eth0"): "1", rpFilterAll: "2"}, false, ""},
		"strict on a link of a pod":   {map[string]string{rpFilterOf("veth1"): "1"}, false, ""},
		"deaf, before forwarding":     {map[string]string{"net/ipv6/conf/all/forwarding": "0"}, true, "net.ipv6.conf.eth0.accept_ra=1 want 2; net.ipv6.conf.all.forwarding=0 want 1 required"},
		"hears router advertisements": {map[string]string{acceptRAOf("eth0"): "2"}, true, ""},
		"wants to hear none":          {map[string]string{acceptRAOf("eth0"): "0"}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts(t, "2 eth0 10.0.0.5/24\n2 eth0 fd00::5/64\n3 cni0 10.244.1.1/24\n4 veth1 fe80::1/64")
			f.Sysctls = goodSysctls()
			maps.Copy(f.Sysctls, c.change)
			maps.DeleteFunc(f.Sysctls, func(_, value string) bool { return value == "-" })
			for i := range f.Addresses {
				f.Addresses[i].Dynamic = c.dynamic
			}
			if got := wrongText(f); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func wrongText(f Facts) string {
	var parts []string
	for _, s := range f.WrongSysctls() {
		text := fmt.Sprintf("%s=%s want %s", s.Name(), s.Value, s.Want)
		if s.Required {
			text += " required"
		}
		if _, links, named := strings.Cut(s.Why, "strict on "); named {
			links, _, _ = strings.Cut(links, ", which")
			text += " (" + links + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

func TestNamesOfLinksWithDotsAreThoseOfSysctl(t *testing.T) {
	if got := (Sysctl{Path: rpFilterOf("eth0.100")}).Name(); got != "net.ipv4.conf.eth0/100.rp_filter" {
		t.Errorf("got %s", got)
	}
}

// Each setting that is wrong in a new namespace can be set, and is right then.
func TestSysctlsAreSetAndReadBack(t *testing.T) {
	namespace.Enter(t)
	namespace.IP(t, "link set lo up\nlink add eth0 type veth peer name far0\nlink set eth0 up\nlink set far0 up\naddr add 10.0.0.5/24 dev eth0\naddr add fd00::5/64 dev eth0 nodad valid_lft 1000 preferred_lft 1000")
	for path, value := range map[string]string{
		"net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0", rpFilterAll: "1", acceptRAOf("eth0"): "1",
		"net/ipv4/conf/all/ignore_routes_with_linkdown": "0", "net/ipv4/fib_multipath_hash_policy": "0",
	} {
		if err := os.WriteFile("/proc/sys/"+path, []byte(value), 0); err != nil {
			namespace.Unavailable(t, err.Error())
		}
	}
	f, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	wrong := f.WrongSysctls()
	if len(wrong) < 6 || wrong[0].Path != acceptRAOf("eth0") {
		t.Fatalf("wrong are %s", wrongText(f))
	}
	for _, s := range wrong {
		if err := SetSysctl(s); err != nil {
			t.Error(err)
		}
	}
	if f, err = Read(); err != nil || len(f.WrongSysctls()) > 0 {
		t.Errorf("%v, still wrong: %s", err, wrongText(f))
	}
	if err := SetSysctl(Sysctl{Path: "net/ipv4/no_such", Want: "1"}); err == nil || !strings.Contains(err.Error(), "net.ipv4.no_such to 1") {
		t.Errorf("got %v", err)
	}
}

func TestBootIDIsThatOfTheKernel(t *testing.T) {
	id, err := BootID()
	again, _ := BootID()
	if err != nil || len(id) != 36 || id != again {
		t.Errorf("%q, then %q, %v", id, again, err)
	}
}
