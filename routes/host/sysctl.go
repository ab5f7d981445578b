package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Sysctl is a setting of the kernel that is not as routing needs it.
type Sysctl struct {
	Path  string // below /proc/sys
	IPv6  bool   // the family that it concerns
	Value string // "" where the kernel does not have it
	Want  string
	// Required: without it packets of the family for others end here. Others are advice.
	Required bool
	Why      string
}

// Name is the setting as sysctl(8) calls it.
func (s Sysctl) Name() string {
	return strings.NewReplacer("/", ".", ".", "/").Replace(s.Path)
}

// rule is what one setting of the whole host should be.
type rule struct {
	path     string
	ipv6     bool
	required bool
	why      string
}

// All of them should be 1. More than that is somebody's choice of a finer way to do it.
var rules = []rule{
	{"net/ipv4/ip_forward", false, true, "without it this node drops IPv4 packets for its pods"},
	{"net/ipv6/conf/all/forwarding", true, true, "without it this node drops IPv6 packets for its pods"},
	{"net/ipv4/fib_multipath_hash_policy", false, false, "else all connections between two addresses share one of several equal paths"},
	{"net/ipv6/fib_multipath_hash_policy", true, false, "else all connections between two addresses share one of several equal paths"},
	{"net/ipv4/conf/all/ignore_routes_with_linkdown", false, false, "else packets are sent to a next hop whose link has lost its carrier"},
	{"net/ipv6/conf/all/ignore_routes_with_linkdown", true, false, "else packets are sent to a next hop whose link has lost its carrier"},
}

const rpFilterAll = "net/ipv4/conf/all/rp_filter"

func rpFilterOf(link string) string { return "net/ipv4/conf/" + link + "/rp_filter" }
func linkdownOf(link string) string {
	return "net/ipv6/conf/" + link + "/ignore_routes_with_linkdown"
}
func acceptRAOf(link string) string { return "net/ipv6/conf/" + link + "/accept_ra" }

// WrongSysctls returns the settings that are not as they should be, in the order in which
// they are to be set: before forwarding stops router advertisements from being heard, links
// that live by them are told to go on.
func (f Facts) WrongSysctls() []Sysctl {
	out := f.deafLinks()
	for _, r := range rules {
		value, known := f.Sysctls[r.path]
		// What an old kernel lacks cannot be set, and only forwarding is missed.
		if value == "0" || !known && r.required {
			out = append(out, Sysctl{Path: r.path, IPv6: r.ipv6, Value: value, Want: "1", Required: r.required, Why: r.why})
		}
	}
	return slices.Concat(out, f.blindLinks(), f.strictLinks())
}

// blindLinks are those that go by their own setting: in IPv6 that for all counts for nothing,
// but that to set it sets those of the links.
func (f Facts) blindLinks() []Sysctl {
	var out []Sysctl
	for _, link := range f.uplinks() {
		path := linkdownOf(link.Name)
		if f.Sysctls[linkdownOf("all")] == "1" && f.Sysctls[path] == "0" {
			out = append(out, Sysctl{Path: path, IPv6: true, Value: "0", Want: "1",
				Why: "else packets are sent to a next hop on this link while it has no carrier"})
		}
	}
	return out
}

// deafLinks are those with addresses that came by router advertisements, which a host that
// forwards does not listen to unless it is told to by the value 2.
func (f Facts) deafLinks() []Sysctl {
	var out []Sysctl
	for _, link := range f.uplinks() {
		path := acceptRAOf(link.Name)
		if f.Sysctls[path] == "1" && f.advertised(link.Index) {
			out = append(out, Sysctl{Path: path, IPv6: true, Value: "1", Want: "2",
				Why: "else a node that forwards loses the addresses and default routes that router advertisements give it"})
		}
	}
	return out
}

// advertised reports whether a lasting address of the link has a lifetime.
func (f Facts) advertised(link int) bool {
	for _, a := range f.Addresses {
		if a.Link == link && a.Dynamic && !a.Temporary && a.Global && a.Addr.Is6() {
			return true
		}
	}
	return false
}

// strictLinks are links that take a packet only if the way back leads over them. Of the
// setting for all and that of the link the greater counts, so 2 (loose) for all mends all.
func (f Facts) strictLinks() []Sysctl {
	all, known := f.Sysctls[rpFilterAll]
	if !known || all == "2" {
		return nil
	}
	var strict []string
	for _, link := range f.uplinks() {
		if all == "1" && f.Sysctls[rpFilterOf(link.Name)] != "2" || f.Sysctls[rpFilterOf(link.Name)] == "1" {
			strict = append(strict, link.Name)
		}
	}
	if len(strict) == 0 {
		return nil
	}
	return []Sysctl{{Path: rpFilterAll, Value: all, Want: "2", Why: fmt.Sprintf(
		"rp_filter is strict on %s, which drops packets whose way back is another of several paths", strings.Join(strict, ", "))}}
}

// uplinks are the links with addresses that others can reach. The many links of pods have none.
func (f Facts) uplinks() []Link {
	has := map[int]bool{}
	for _, a := range f.Addresses {
		has[a.Link] = has[a.Link] || a.Global
	}
	var out []Link
	for _, link := range f.Links {
		if has[link.Index] && !link.Loopback {
			out = append(out, link)
		}
	}
	return out
}

// readSysctls reads all that WrongSysctls asks about. What does not exist is left out, as
// without IPv6.
func readSysctls(f Facts) (map[string]string, error) {
	paths := []string{rpFilterAll}
	for _, r := range rules {
		paths = append(paths, r.path)
	}
	for _, link := range f.uplinks() {
		paths = append(paths, rpFilterOf(link.Name), acceptRAOf(link.Name), linkdownOf(link.Name))
	}
	out := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile("/proc/sys/" + path)
		switch {
		case err == nil:
			out[path] = strings.TrimSpace(string(text))
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("reading a sysctl: %w", err)
		}
	}
	return out, nil
}

// SetSysctl gives a setting the value that it should have.
func SetSysctl(s Sysctl) error {
	if err := os.WriteFile("/proc/sys/"+s.Path, []byte(s.Want), 0o644); err != nil {
		return fmt.Errorf("setting %s to %s: %w", s.Name(), s.Want, err)
	}
	return nil
}
