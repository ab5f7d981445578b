package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/controller"
)

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

func TestAKubeProxyIsAskedOnlyWhileItMatters(t *testing.T) {
	var times atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		times.Add(1)
		_, _ = w.Write([]byte(`{"kubeproxy.config.k8s.io": {"kind": "KubeProxyConfiguration", "clusterCIDR": ""}}`))
	}))
	defer proxy.Close()
	p := New()
	p.kubeProxy = proxy.URL

	if wait := p.askKubeProxy(t.Context()); wait != untilAsked || times.Load() != 0 {
		t.Errorf("unasked it asks %d times, and again after %v", times.Load(), wait)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	p.Ask(controller.Questions{KubeProxy: true})
	select {
	case <-p.Changed():
	case <-time.After(10 * time.Second):
		t.Error("it is not asked when it matters")
	}
	if !p.Answers().PodsUnknown {
		t.Error("the answer is not known")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	p.Ask(controller.Questions{})
	if p.Answers().PodsUnknown {
		t.Error("there is an answer to what is not asked")
	}
	asked := times.Load()
	if wait := p.askKubeProxy(t.Context()); wait != untilAsked || times.Load() != asked {
		t.Errorf("it is asked although it does not matter any more, and again after %v", wait)
	}
}

// An answer that was under way when the question was taken back is none.
func TestAKubeProxyThatAnswersTooLateSaysNothing(t *testing.T) {
	p := New()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.Ask(controller.Questions{})
		_, _ = w.Write([]byte(`{"kubeproxy.config.k8s.io": {"kind": "KubeProxyConfiguration", "clusterCIDR": ""}}`))
	}))
	defer proxy.Close()
	p.kubeProxy = proxy.URL
	p.Ask(controller.Questions{KubeProxy: true})
	p.askKubeProxy(t.Context())
	if p.Answers().PodsUnknown || len(p.Changed()) > 0 {
		t.Error("there is an answer to what is not asked")
	}
}
