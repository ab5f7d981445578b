package cluster

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A node whose kernel does not forward would draw packets that end there: nothing is
// announced of that family, and all of it again once forwarding is on. An agent that may
// switches it on itself.
func TestANodeThatDoesNotForwardAnnouncesNothing(t *testing.T) {
	r, n, dir, start := dirRig(t)
	write(t, dir, "router.yaml", peerManifest)
	forwarding := func(value string) {
		t.Helper()
		if _, err := n.run("sh", "-c", "echo "+value+" > /proc/sys/net/ipv4/ip_forward"); err != nil {
			t.Fatal(err)
		}
	}
	says := func(words ...string) error { return n.says("BGPNodeState_node-1", words...) }
	announced := func() error { return r.routerHas("10.244.1.0/24", n.IPv4()) }
	withdrawn := func() error { return r.routerHas("10.244.1.0/24") }

	forwarding("0")
	start()
	r.eventually(func() error { return n.established(1) })
	r.eventually(func() error { return says("reason: ForwardingDisabled", "net.ipv4.ip_forward is 0, should be 1") })
	r.eventually(func() error { return n.metric(`fairway_sysctls_wrong{class="required"} 1`) })
	if err := withdrawn(); err != nil {
		t.Error(err)
	}
	forwarding("1")
	r.eventually(announced)
	r.eventually(func() error {
		return says("reason: SysctlsDiffer", "net.ipv4.fib_multipath_hash_policy is 0, should be 1")
	})
	forwarding("0")
	r.eventually(withdrawn)

	if err := n.agent.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.start("--source=dir:"+dir, "--node-name=node-1", "--state-dir="+filepath.Join(n.Dir(), "state"), "--set-sysctls")
	r.eventually(announced)
	r.eventually(func() error { return says("reason: HostReady") })
	forwarding("0") // somebody takes it back
	r.eventually(func() error {
		out, err := n.run("cat", "/proc/sys/net/ipv4/ip_forward")
		if err == nil && strings.TrimSpace(out) != "1" {
			err = fmt.Errorf("ip_forward is %s", out)
		}
		return err
	})
	if err := announced(); err != nil {
		t.Errorf("meanwhile it was withdrawn: %v", err)
	}
	if log := n.log(); strings.Count(log, "sysctl set") < 3 || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log:\n%s", log)
	}
}
