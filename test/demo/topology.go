package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	examples      = "deploy/examples/demo"
	routeProtocol = 219
	nodeCount     = 3
)

const picture = `
            client                     203.0.113.2 and .18, 2001:db8:c::2 and 2001:db8:d::2
            |    |
  AS 65001  |    |  AS 65002
        tor-a    tor-b                 FRR
         |||      |||
   node-1  node-2  node-3              Fairway, AS 64601 to 64603; every node is linked to both
     |       |       |
    pod     pod     pod                10.244.N.10, fd00:10:244:N::10
`

// demo is the lab and what has been found of it.
type demo struct {
	lab     *lab.Lab
	dir     string
	started time.Time

	nodes   []*node
	routers []*router
	client  *lab.Host

	passed, failed int
}

// node is one node: its namespace, its pod, its agent, and its links to the routers.
type node struct {
	*lab.Node
	pod   *lab.Host
	agent *lab.Process
	links []*lab.Link // in the order of the routers
}

// router is one top-of-rack router.
type router struct {
	*lab.FRR
	lab *lab.Lab
}

// Shell is the command line that asks the router, for people.
func (r *router) Shell() string {
	return fmt.Sprintf("%s vtysh --vty_socket /run/frr/%s -c 'show bgp ipv4 unicast'", r.lab.Enter(r.Name()), r.Name())
}

// raise builds the topology and starts the routers and the agents.
func (d *demo) raise(ctx context.Context) error {
	for i, name := range []string{"tor-a", "tor-b"} {
		d.routers = append(d.routers, &router{d.lab.FRR(name, routerConfig(i)), d.lab})
	}
	for i := 1; i <= nodeCount; i++ {
		d.addNode(i)
	}
	d.client = d.lab.Host("client")
	d.lab.Link(d.routers[0], d.client, "203.0.113.0/28", "2001:db8:c::/64")
	d.lab.Link(d.routers[1], d.client, "203.0.113.16/28", "2001:db8:d::/64")
	d.client.Default("203.0.113.1", "203.0.113.17", "2001:db8:c::1", "2001:db8:d::1")
	if err := d.lab.Up(ctx); err != nil {
		return err
	}
	return d.startAgents(ctx)
}

// addNode adds node i with a link to each router, addresses as in the examples.
func (d *demo) addNode(i int) {
	n := &node{Node: d.lab.Node(fmt.Sprintf("node-%d", i))}
	n.AddAddress("lo", fmt.Sprintf("10.0.0.%d/32", i), fmt.Sprintf("fd00:10::%d/128", i))
	low := 2 * (i - 1)
	n.links = []*lab.Link{
		d.lab.Link(d.routers[0], n, fmt.Sprintf("192.0.2.%d/31", low), fmt.Sprintf("2001:db8:a:%d::/127", i)),
		d.lab.Link(d.routers[1], n, fmt.Sprintf("198.51.100.%d/31", low), fmt.Sprintf("2001:db8:b:%d::/127", i)),
	}
	n.pod = n.Pod(fmt.Sprintf("10.244.%d.10/24", i), fmt.Sprintf("fd00:10:244:%d::10/64", i))
	d.nodes = append(d.nodes, n)
}

// startAgents gives every node a copy of the examples and the agent that was built.
func (d *demo) startAgents(ctx context.Context) error {
	binary, err := lab.Build(ctx)
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(d.dir, "config"), os.DirFS(filepath.Join(examples, "config"))); err != nil {
		return fmt.Errorf("copying the examples (run this at the top of the project): %w", err)
	}
	for _, n := range d.nodes {
		if n.agent, err = n.Start(ctx, "agent", d.agentCommand(binary, n)...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) agentCommand(binary string, n *node) []string {
	return []string{
		binary, "agent", "--source=dir:" + filepath.Join(d.dir, "config"), "--node-name=" + n.Name(),
		"--state-dir=" + filepath.Join(d.dir, "state-"+n.Name()),
	}
}

// routerConfig is the frr.conf of router 0 (tor-a) or 1 (tor-b): plain eBGP to every node,
// and the network of the client.
func routerConfig(router int) string {
	v4, v6 := []string{"192.0.2.%d", "198.51.100.%d"}[router], []string{"2001:db8:a:%d::1", "2001:db8:b:%d::1"}[router]
	clients4, clients6 := []string{"203.0.113.0/28", "203.0.113.16/28"}[router], []string{"2001:db8:c::/64", "2001:db8:d::/64"}[router]
	var peers, activate strings.Builder
	for i := 1; i <= nodeCount; i++ {
		for _, address := range []string{fmt.Sprintf(v4, 2*i-1), fmt.Sprintf(v6, i)} {
			fmt.Fprintf(&peers, " neighbor %s remote-as %d\n neighbor %s timers 3 9\n", address, 64600+i, address)
		}
		fmt.Fprintf(&activate, "  neighbor %s activate\n", fmt.Sprintf(v6, i))
		fmt.Fprintf(&peers, " no neighbor %s activate\n", fmt.Sprintf(v6, i))
	}
	return fmt.Sprintf(`router bgp %d
 bgp router-id 10.255.0.%d
 no bgp ebgp-requires-policy
 bgp bestpath as-path multipath-relax
%s address-family ipv4 unicast
  network %s
 exit-address-family
 address-family ipv6 unicast
%s  network %s
 exit-address-family
`, 65001+router, router+1, peers.String(), clients4, activate.String(), clients6)
}
