package probe

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

const (
	// kubeProxyURL is where kube-proxy says by default what it was told.
	kubeProxyURL    = "http://127.0.0.1:10249/configz"
	kubeProxyPeriod = 10 * time.Second
)

// kubeProxyConfig is the part of a KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1)
// that decides whether it masquerades what comes to a ClusterIP from outside.
type kubeProxyConfig struct {
	Kind            string `json:"kind"`
	ClusterCIDR     string `json:"clusterCIDR"`
	DetectLocalMode string `json:"detectLocalMode"`
	IPTables        struct {
		MasqueradeAll bool `json:"masqueradeAll"`
	} `json:"iptables"`
	NFTables struct {
		MasqueradeAll bool `json:"masqueradeAll"`
	} `json:"nftables"`
}

// podsUnknown reads what a kube-proxy says of itself. Of anything else nothing is concluded.
func podsUnknown(body []byte) (unknown bool) {
	var answer struct {
		Config kubeProxyConfig `json:"kubeproxy.config.k8s.io"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Config.Kind != "KubeProxyConfiguration" {
		return false
	}
	c := answer.Config
	byCIDR := c.DetectLocalMode == "" || c.DetectLocalMode == "ClusterCIDR"
	return byCIDR && c.ClusterCIDR == "" && !c.IPTables.MasqueradeAll && !c.NFTables.MasqueradeAll
}

// askKubeProxy asks whether it knows the pods' networks. Where nothing answers there may be
// another service proxy, and nothing is concluded.
func (p *Prober) askKubeProxy(ctx context.Context) (wait time.Duration) {
	p.mu.Lock()
	asked := p.asked.KubeProxy
	p.mu.Unlock()
	if !asked {
		return untilAsked
	}
	status, body, err := p.get(ctx, p.kubeProxy)
	unknown := err == nil && status == http.StatusOK && podsUnknown(body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked.KubeProxy && p.podsUnknown != unknown {
		p.podsUnknown = unknown
		signal(p.changed)
	}
	return kubeProxyPeriod
}
