package probe

import "testing"

func TestAKubeProxyKnowsThePodsOrDoesNot(t *testing.T) {
	for config, want := range map[string]bool{
		`"clusterCIDR": "", "detectLocalMode": ""`:                                    true,
		`"clusterCIDR": "", "detectLocalMode": "ClusterCIDR"`:                         true,
		`"clusterCIDR": "10.244.0.0/16", "detectLocalMode": "ClusterCIDR"`:            false,
		`"clusterCIDR": "", "detectLocalMode": "NodeCIDR"`:                            false,
		`"clusterCIDR": "", "detectLocalMode": "BridgeInterface"`:                     false,
		`"clusterCIDR": "", "nftables": {"masqueradeAll": true}`:                      false,
		`"clusterCIDR": "", "mode": "ipvs", "iptables": {"masqueradeAll": true}`:      false,
		`"clusterCIDR": "", "mode": "iptables", "nftables": {"masqueradeAll": false}`: true,
	} {
		body := `{"kubeproxy.config.k8s.io": {"kind": "KubeProxyConfiguration", "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", ` + config + `}}`
		if got := podsUnknown([]byte(body)); got != want {
			t.Errorf("%s: %t", config, got)
		}
	}
	for _, body := range []string{"", "404 page not found", "{}", `{"kubeproxy.config.k8s.io": {}}`, `{"kubeproxy.config.k8s.io": []}`, `{"kubeletconfig": {"clusterCIDR": ""}}`} {
		if podsUnknown([]byte(body)) {
			t.Errorf("something is concluded from %q", body)
		}
	}
}
