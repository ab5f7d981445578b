package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	// patience is how long a thing may take that is merely waited for.
	patience = 25 * time.Second
	// watching is how long a thing is watched that must not happen: longer than either side
	// takes from one attempt to the next.
	watching = 8 * time.Second
)

// cell is one feature with one implementation, in a lab of its own:
//
//	node 192.0.2.11, 2001:db8::11 -- lan -- router 192.0.2.1, 2001:db8::1
type cell struct {
	*lab.Lab
	ctx     context.Context
	feature feature
	with    implementation
	config  router // the daemon's
	lan     *lab.Switch
	node    *lab.Node
	router  daemon
	folder  string // the agent's manifests
	agent   *lab.Process
	others  []*lab.Node       // with agents of their own
	outside *lab.Host         // behind the router, where there is one
	station *lab.BMPCollector // is told of sessions, where there is one
	broken  error             // of the wires
}

// newCell raises the lab, without the agent. A daemon that refuses its configuration is a
// [refusal].
func newCell(ctx context.Context, f feature, with implementation, dir string) (*cell, error) {
	l, err := lab.Start(ctx, lab.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	c := &cell{Lab: l, ctx: ctx, feature: f, with: with, config: plainRouter(), folder: filepath.Join(dir, "manifests")}
	if f.theirs != nil {
		f.theirs(&c.config)
	}
	if err := c.furnish(); err != nil {
		return c, err
	}
	return c, nil
}

func (c *cell) furnish() error {
	c.node = c.Node(nodeName)
	c.router = c.with.add(c.Lab, c.config)
	c.lan = c.Switch("lan")
	only6 := c.feature.ours.nodeOnlyIPv6
	attach := func(m lab.Machine, addr4, addr6 string) {
		if only6 {
			c.lan.Attach(m, addr6+"/64")
		} else {
			c.lan.Attach(m, addr4+"/24", addr6+"/64")
		}
	}
	attach(c.node, nodeIPv4, nodeIPv6)
	attach(c.router, routerIPv4, routerIPv6)
	if c.feature.wires != nil {
		c.feature.wires(c)
	}
	if err := errors.Join(c.Err(), c.broken); err != nil {
		return err
	}
	if err := c.Up(c.ctx); err != nil {
		return refused(err)
	}
	if err := c.router.settle(c.ctx); err != nil {
		return fmt.Errorf("having the router tell its routes: %w", err)
	}
	if err := os.Mkdir(c.folder, 0o755); err != nil {
		return fmt.Errorf("making the agent's folder: %w", err)
	}
	return c.put(c.feature.ours)
}

// put gives the agent a configuration, now and for its start.
func (c *cell) put(o ours) error {
	// As an editor saves: written aside, then put in place.
	part := filepath.Join(c.folder, ".all")
	if err := os.WriteFile(part, []byte(o.manifests()), 0o600); err != nil {
		return fmt.Errorf("writing the agent's configuration: %w", err)
	}
	return os.Rename(part, filepath.Join(c.folder, "all.yaml"))
}

// start starts the agent, and one on each other node.
func (c *cell) start() error {
	var err error
	if c.agent, err = c.startOn(c.node); err != nil {
		return err
	}
	for _, other := range c.others {
		if _, err := c.startOn(other); err != nil {
			return err
		}
	}
	return nil
}

func (c *cell) startOn(n *lab.Node) (*lab.Process, error) {
	binary, err := lab.Build(c.ctx)
	if err != nil {
		return nil, err
	}
	return n.Start(c.ctx, "agent", binary, "agent", "--source=dir:"+c.folder, "--node-name="+n.Name(), "--state-dir="+filepath.Join(n.Dir(), "state"))
}

func (c *cell) state() string { return filepath.Join(c.node.Dir(), "state") }

// until waits for check to be content.
func (c *cell) until(check func() error) error {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	return lab.Until(ctx, check)
}

// stays watches that check is content all the time.
func (c *cell) stays(check func() error) error {
	return lab.Stays(c.ctx, watching, check)
}

// status is what the agent says of the node.
func (c *cell) status() (v1alpha1.BGPNodeStateStatus, error) {
	var state v1alpha1.BGPNodeState
	text, err := os.ReadFile(filepath.Join(c.state(), "status", "BGPNodeState_"+nodeName+".yaml"))
	if err == nil {
		err = yaml.Unmarshal(text, &state)
	}
	if err != nil {
		return state.Status, fmt.Errorf("reading the agent's status: %w", err)
	}
	return state.Status, nil
}

// session is what the agent says of its session with the router.
func (c *cell) session() (v1alpha1.SessionStatus, error) {
	status, err := c.status()
	if err != nil {
		return v1alpha1.SessionStatus{}, err
	}
	for _, s := range status.Sessions {
		if s.Peer == "router" || s.Peer == "mesh/router" {
			return s, nil
		}
	}
	return v1alpha1.SessionStatus{}, fmt.Errorf("the agent has no session with the router: %+v", status)
}

// view is what the router says of its session with the node.
func (c *cell) view() (view, error) { return c.router.view(c.ctx, c.config.sessions[0].address) }

// up reports whether both sides say that the session is.
func (c *cell) up() error {
	theirs, err := c.view()
	if err != nil {
		return err
	}
	s, err := c.session()
	if err != nil {
		return err
	}
	if !theirs.up || s.State != v1alpha1.SessionEstablished {
		return fmt.Errorf("the session is %s (%s); the router says:\n%s", s.State, s.LastError, theirs.text)
	}
	return nil
}

// down reports whether both sides say that the session is not up.
func (c *cell) down() error {
	theirs, err := c.view()
	if err != nil {
		return err
	}
	s, err := c.session()
	if err != nil {
		return err
	}
	if theirs.up || s.State == v1alpha1.SessionEstablished {
		return fmt.Errorf("the session came up: it is %s", s.State)
	}
	return nil
}

// says reports whether the last error of the session has these words.
func (c *cell) says(words ...string) error {
	s, err := c.session()
	if err != nil {
		return err
	}
	for _, word := range words {
		if !strings.Contains(s.LastError, word) {
			return fmt.Errorf("the session's last error is %q, without %q", s.LastError, word)
		}
	}
	return nil
}

// heard reports whether the router has one path to a prefix, and that as it should be.
func (c *cell) heard(prefix string, fine func(path) bool) error {
	paths, err := c.router.paths(c.ctx, prefix)
	if err != nil {
		return err
	}
	if len(paths) != 1 || fine != nil && !fine(paths[0]) {
		return fmt.Errorf("the router has %s by %+v", prefix, paths)
	}
	return nil
}

// learned reports whether the agent's speaker uses a path to a prefix as it should be.
func (c *cell) learned(prefix string, fine func(path) bool) error {
	out, err := c.node.Run(c.ctx, "gobgp", "global", "rib", "-a", string(familyOf(prefix)), "-j")
	if err != nil {
		return err
	}
	paths, err := readGoBGP(out, prefix)
	if err == nil && !slices.ContainsFunc(paths, fine) {
		err = fmt.Errorf("the agent has %s by %+v", prefix, paths)
	}
	return err
}

// installed reports whether the node's kernel sends a prefix to exactly this address; none:
// it has no such route.
func (c *cell) installed(prefix string, via ...string) error {
	routes, err := c.node.Routes(c.ctx, "proto", "219", "type", "unicast")
	if err != nil {
		return err
	}
	var got []string
	for _, route := range routes {
		if route.Dst == prefix {
			got = append(got, route.Gateway, route.Via.Host)
			for _, hop := range route.NextHops {
				got = append(got, hop.Gateway, hop.Via.Host)
			}
		}
	}
	got = slices.DeleteFunc(got, func(gateway string) bool { return gateway == "" })
	slices.Sort(got)
	slices.Sort(via)
	if !slices.Equal(got, via) {
		return fmt.Errorf("the node's kernel sends %s to %v, want %v", prefix, got, via)
	}
	return nil
}

// exchanged reports whether the session is up and has carried routes of these families both
// ways, with next hops that belong to the other side.
func (c *cell) exchanged(families ...family) error {
	if err := c.up(); err != nil {
		return err
	}
	for _, f := range families {
		nodeAddr, routerAddr := nodeIPv4, routerIPv4
		if f == ipv6 {
			nodeAddr, routerAddr = nodeIPv6, routerIPv6
		}
		if err := c.carried(f, nodeAddr, routerAddr); err != nil {
			return err
		}
	}
	return nil
}

// carried reports whether routes of a family have gone both ways, with these next hops.
func (c *cell) carried(f family, nodeAddr, routerAddr string) error {
	mine, theirs := ours4, theirs4
	if f == ipv6 {
		mine, theirs = ours6, theirs6
	}
	return errors.Join(
		c.heard(mine, func(p path) bool { return sameAddress(p.nextHop, nodeAddr) }),
		c.installed(theirs, routerAddr))
}

func sameAddress(a, b string) bool {
	x, err := netip.ParseAddr(a)
	return err == nil && x == netip.MustParseAddr(b)
}
