package kube

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Config returns how the API server is reached: as the kubeconfig file says, or, where no
// path is given, with the service account of the pod. It does not try to reach it. The
// error is one line that says what to do.
func Config(kubeconfigPath string) (*rest.Config, error) {
	if kubeconfigPath != "" {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfigPath)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %s cannot be used: %s; name a file that kubectl accepts with --kubeconfig", kubeconfigPath, oneLine(err))
		}
		return config, nil
	}
	config, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, errors.New("no kubeconfig is named and this is no pod of a cluster: name one with --kubeconfig, or read a folder of manifests with --source=dir:PATH")
	case err != nil:
		return nil, fmt.Errorf("the pod's service account cannot be used: %s; mount its token (automountServiceAccountToken), or name a file with --kubeconfig", oneLine(err))
	}
	return config, nil
}

// prepared returns a copy of config with what all our clients share.
func prepared(config *rest.Config) *rest.Config {
	ours := rest.CopyConfig(config)
	if ours.UserAgent == "" {
		ours.UserAgent = "fairway-agent"
	}
	if ours.QPS == 0 && ours.Burst == 0 {
		// The default of 5 a second would space out the first look at many Secrets.
		ours.QPS, ours.Burst = 20, 40
	}
	return ours
}

// addressesOf returns the address in the URL of an API server; none where it is a name.
func addressesOf(host string) []netip.Addr {
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	u, err := url.Parse(host)
	if err != nil {
		return nil
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil
	}
	return []netip.Addr{addr.Unmap()}
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
