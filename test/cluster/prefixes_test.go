package cluster

import (
	"errors"
	"strings"
	"testing"
)

// TestWrittenPrefixesFollowTheirRoutes writes prefixes into a BGPAdvertisement and changes the
// node's routes to them. No session is reset by any of it.
func TestWrittenPrefixesFollowTheirRoutes(t *testing.T) {
	l := newLiveRig(t)
	const legacy, six, inside = "198.51.100.0/24", "2001:db8:5::/48", "198.51.100.0/25"
	ip := func(args string) func() {
		return func() {
			t.Helper()
			if out, err := l.n.run(append([]string{"ip"}, strings.Fields(args)...)...); err != nil {
				t.Fatalf("ip %s: %v: %s", args, err, out)
			}
		}
	}
	written := func(prefixes string, more ...string) string {
		return fairwayObject("BGPAdvertisement", "written", "", override([]string{"prefixes: [" + prefixes + "]"}, more))
	}
	hears := func(four, longer, sixes string) func() error {
		return func() error {
			return errors.Join(l.hears(tor, legacy, four), l.hears(tor, inside, longer), l.hears(third, six, sixes), l.hears(tor, pods, ourPath))
		}
	}
	const all = "{prefix: 198.51.100.0/24}, {prefix: 198.51.100.0/25}, {prefix: 2001:db8:5::/48}, {prefix: 0.0.0.0/0, force: true}"
	l.put("node.yaml", liveNode, "speaker.yaml", liveSpeaker(), "advertisement.yaml", liveAdvertisement(), "tor.yaml", livePeer(tor), "third.yaml", livePeer(third))()
	l.n.start("--source=dir:"+l.dir, "--node-name=node-1", "--state-dir="+l.n.Dir()+"/state")
	l.step(step{what: "nothing is written", do: func() {}, ups: []string{tor, third}, seen: hears("", "", "")})
	l.step(step{what: "prefixes without routes, and what may not be said", do: l.put("written.yaml", written(all)), seen: func() error {
		return errors.Join(hears("", "", "")(), l.says("BGPNodeState_node-1", "DefaultRoute", "NoRoute"))
	}})
	l.step(step{what: "routes come", do: func() {
		ip("route add 198.51.100.0/24 via 192.0.2.3")()
		ip("-6 route add blackhole 2001:db8:5::/48")()
	}, seen: hears(ourPath, "", ourPath)})
	l.step(step{what: "one changes", do: ip("route replace blackhole 198.51.100.0/24"), seen: hears(ourPath, "", ourPath)})
	l.step(step{what: "one goes", do: ip("route del blackhole 198.51.100.0/24"), seen: hears("", "", ourPath)})
	l.step(step{what: "one of ours does not count", do: ip("route add blackhole 198.51.100.0/24 proto 219 metric 7"), seen: l.settled})
	if err := hears("", "", ourPath)(); err != nil {
		t.Error(err)
	}
	l.step(step{what: "the other one goes too", do: ip("-6 route del blackhole 2001:db8:5::/48"), seen: hears("", "", "")})
	l.step(step{what: "force", do: l.put("written.yaml", written("{prefix: 198.51.100.0/25, force: true}", "attributes: {med: 9}")), seen: hears("", ourPath+" med 9", "")})
	l.step(step{what: "a link that a route leads over goes down", do: func() {
		ip("link add aside type veth peer name far")()
		ip("link set far up")()
		ip("link set aside up")()
		ip("route add 198.51.100.0/24 dev aside")()
		l.put("written.yaml", written(all))()
	}, seen: hears(ourPath, "", "")})
	l.step(step{what: "and takes it along", do: ip("link set aside down"), seen: hears("", "", "")})
}
