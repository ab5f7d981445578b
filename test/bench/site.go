package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	nodeName = "node-0"
	podIPv4  = "10.128.0.0/24" // node-0's
	podIPv6  = "fd00:10:244::/64"
	// patience is how long a thing may take that is merely waited for.
	patience = time.Minute
)

// site is one node linked to two FRR routers, to two nodes that reflect, and to the host of
// the control plane.
//
//	tor-a .0 ---(192.0.2.0/31, 2001:db8:a::/127)--- .1 node .1 ---(198.18.0.0/30)--- .2 api
//	tor-b .0 ---(198.51.100.0/31, 2001:db8:b::/127)--- .1
//	node-1 .0 ---(203.0.113.0/31, 2001:db8:c::/127)--- .1
//	node-2 .2 ---(203.0.113.2/31, 2001:db8:d::/127)--- .3
//
// The other nodes of the cluster are objects in the API server and nothing more.
type site struct {
	root    string
	layout  layout
	said    *narrator
	lab     *lab.Lab
	routers []*router
	node    *lab.Node

	reflectors []*reflector

	cp      *controlplane.ControlPlane
	web     *http.Client // reaches the node's loopback
	binary  string
	account string // kubeconfig of the agent
	agent   *agent
	runs    int
}

// router is a top-of-rack router: one of the agent's two peers.
type router struct {
	*lab.FRR
	node string // its address for the router
}

func (s *site) addRouter(name, id, ipv4, ipv6, node string) {
	frr := s.lab.FRR(name, fmt.Sprintf(`router bgp 65001
 bgp router-id %[1]s
 no bgp ebgp-requires-policy
 neighbor %[2]s remote-as 64512
 neighbor %[2]s timers 3 9
 address-family ipv6 unicast
  neighbor %[2]s activate
 exit-address-family
`, id, node))
	s.lab.Link(frr, s.node, ipv4, ipv6)
	s.routers = append(s.routers, &router{frr, node})
}

// layout is what the node of a site is linked to, and what a user would write for that.
type layout struct {
	about         string
	link          func(*site)
	configuration string
}

// wide is the whole of the picture above.
var wide = layout{
	about: "one node, two routers, two reflectors",
	link: func(s *site) {
		s.addRouter("tor-a", "192.0.2.0", "192.0.2.0/31", "2001:db8:a::/127", "192.0.2.1")
		s.addRouter("tor-b", "198.51.100.0", "198.51.100.0/31", "2001:db8:b::/127", "198.51.100.1")
		s.addReflector("node-1", "203.0.113.0/31", "2001:db8:c::/127")
		s.addReflector("node-2", "203.0.113.2/31", "2001:db8:d::/127")
	},
	configuration: `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec:
  localASN: 64512
  topology:
    type: RouteReflectors
    reflectors: {matchLabels: {example.com/reflector: "true"}}
  cluster:
    podCIDRs: [10.128.0.0/9, "fd00:10:244::/48"]
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: tor-a}
spec: {address: 192.0.2.0, asn: 65001, timers: {connectRetrySeconds: 1}}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: tor-b}
spec: {address: 198.51.100.0, asn: 65001, timers: {connectRetrySeconds: 1}}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata: {name: default}
spec:
  podCIDRs: {}
  services:
    addressTypes: [ClusterIP]
`,
}

// raise builds the agent, the network and a control plane that begins with the objects in
// the folder data, or none. There is no agent yet.
func raise(ctx context.Context, dir, root, data string, l layout, said *narrator) (_ *site, err error) {
	s := &site{root: root, layout: l, said: said}
	if s.binary, err = lab.Build(ctx); err != nil {
		return nil, err
	}
	if s.lab, err = lab.Start(ctx, lab.Options{Dir: dir}); err != nil {
		return nil, err
	}
	if err := s.furnish(ctx, data); err != nil {
		return nil, errors.Join(err, s.close())
	}
	said.say("%s, and kube-apiserver (ready in %.1f s)", l.about, s.cp.ReadyAfter().Seconds())
	return s, nil
}

func (s *site) furnish(ctx context.Context, data string) error {
	s.node = s.lab.Node("node")
	s.layout.link(s)
	api := s.lab.Host("api")
	s.lab.Link(s.node, api, "198.18.0.0/30")
	if err := s.lab.Up(ctx); err != nil {
		return err
	}
	s.web = &http.Client{Transport: &http.Transport{DialContext: s.node.Dial}, Timeout: 10 * time.Second}
	var err error
	s.cp, err = controlplane.Open(ctx, controlplane.Options{
		ListenAddress: api.IPv4(),
		Exec: func(name string, args ...string) *exec.Cmd {
			// Elsewhere it runs on another machine, and does not take the agent's time.
			return exec.Command("nice", append([]string{"-n", "10", "nsenter", "--net=" + api.NetNS(), name}, args...)...)
		},
		Dial: api.Dial,
		Data: data,
	})
	return err
}

// configure applies the CRDs, the agent's rights and the configuration, and makes the agent's
// kubeconfig.
func (s *site) configure(ctx context.Context) error {
	if err := s.cp.ApplyCRDs(ctx, s.path("deploy", "crds")); err != nil {
		return err
	}
	for _, file := range []string{"namespace.yaml", "rbac.yaml"} {
		manifest, err := os.ReadFile(s.path("deploy", "kustomize", "base", file))
		if err != nil {
			return fmt.Errorf("reading the agent's rights (run this at the top of the project): %w", err)
		}
		if err := s.cp.Apply(ctx, manifest); err != nil {
			return err
		}
	}
	if err := s.appointReflectors(ctx); err != nil {
		return err
	}
	if err := s.cp.Apply(ctx, []byte(s.layout.configuration)); err != nil {
		return err
	}
	var err error
	s.account, err = s.cp.TokenKubeconfig(ctx, "fairway-system", "fairway-agent")
	return err
}

func (s *site) logs() string { return s.lab.Logs(20) }

func (s *site) close() error {
	err := s.lab.Close()
	if s.cp != nil {
		err = errors.Join(s.cp.Close(), err)
	}
	return err
}

// startAPIServer starts it after a Halt, and returns when it first said that it is ready.
func (s *site) startAPIServer(ctx context.Context) (answered time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	client, err := rest.HTTPClientFor(s.cp.RESTConfig())
	if err != nil {
		return time.Time{}, err
	}
	resumed := make(chan error, 1)
	go func() { resumed <- s.cp.Resume(ctx) }()
	asked := lab.Until(ctx, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.cp.Address().String()+"/readyz", nil)
		if err != nil {
			return lab.Never(err)
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		answered = time.Now()
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %s", response.Status)
		}
		return nil
	})
	return answered, errors.Join(asked, <-resumed)
}

// routersCount reports an error unless each router has got that many prefixes of each family.
func (s *site) routersCount(ctx context.Context, want prefixes) error {
	for _, r := range s.routers {
		for family, prefixes := range want {
			var summary struct {
				Peers map[string]struct {
					State  string `json:"state"`
					PfxRcd int    `json:"pfxRcd"`
				} `json:"peers"`
			}
			if err := r.JSON(ctx, &summary, "show bgp "+family+" unicast summary json"); err != nil {
				return err
			}
			if got := summary.Peers[r.node]; got.State != "Established" || got.PfxRcd != len(prefixes) {
				return fmt.Errorf("the session of %s is %s and has brought %d prefixes of %s, want %d", r.Name(), got.State, got.PfxRcd, family, len(prefixes))
			}
		}
	}
	return nil
}

// routersHave waits until each router has exactly these prefixes.
func (s *site) routersHave(ctx context.Context, want prefixes) error {
	if err := s.eventually(ctx, func() error { return s.routersCount(ctx, want) }); err != nil {
		return err
	}
	// What bgpd no longer counts is gone from its table a moment later.
	return s.eventually(ctx, func() error { return s.routersList(ctx, want) })
}

// routersList reports an error unless each router has exactly these prefixes.
func (s *site) routersList(ctx context.Context, want prefixes) error {
	for _, r := range s.routers {
		for family, prefixes := range want {
			var table struct {
				Routes map[string]json.RawMessage `json:"routes"`
			}
			if err := r.JSON(ctx, &table, "show bgp "+family+" unicast json"); err != nil {
				return err
			}
			var missing []string
			for prefix := range prefixes {
				if _, there := table.Routes[prefix.String()]; !there {
					missing = append(missing, prefix.String())
				}
			}
			if extra := len(table.Routes) + len(missing) - len(prefixes); len(missing) > 0 || extra > 0 {
				return fmt.Errorf("%s has %d prefixes of %s that it should not have, and lacks %d: %v", r.Name(), extra, family, len(missing), missing[:min(5, len(missing))])
			}
		}
	}
	return nil
}

func (s *site) eventually(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return lab.Until(ctx, check)
}
