package cluster

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/test/controlplane/binaries"
	"github.com/fairway-bgp/fairway/test/lab"
)

// kube-proxy masquerades what comes to a ClusterIP from outside only if it knows what does
// not. A real one that does not know is named, as long as it runs, and one that does is not.
func TestAKubeProxyThatDoesNotKnowThePodsIsNamed(t *testing.T) {
	r := newRig(t, 1)
	program, err := binaries.Build(t.Context(), "kube-proxy", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	r.apply(configuration)
	r.startAll()
	n := r.nodes[0]
	run := func(name string, flags ...string) *lab.Process {
		t.Helper()
		argv := append([]string{
			program, "--kubeconfig=" + r.cp.KubeconfigForUser("system:kube-proxy"), "--hostname-override=" + n.Name(), "--proxy-mode=nftables",
			"--conntrack-max-per-core=0", "--conntrack-min=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		}, flags...)
		p, err := n.Start(t.Context(), name, argv...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const named = `fairway_problems{kind="Node",reason="PodsUnknownToProxy"} 1`

	proxy := run("kube-proxy-1")
	r.eventually(func() error { return n.metric(named) })
	if err := proxy.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	run("kube-proxy-2", "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48")
	r.eventually(func() error {
		if _, err := n.run("curl", "-sf", "http://127.0.0.1:10249/configz"); err != nil {
			return err
		}
		body, err := n.get("/metrics")
		if err == nil && strings.Contains(body, named) {
			err = errors.New("kube-proxy is still said not to know the pods")
		}
		return err
	})
}
