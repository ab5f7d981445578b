package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	podIPv4     = "10.244.1.10"
	outsideIPv4 = "198.18.0.1"
)

// quick has sessions that lose each other soon.
const quick = "timers: {holdTimeSeconds: 3, keepaliveTimeSeconds: 1, connectRetrySeconds: 1}"

// restartFeatures are about what outlives a session.
var restartFeatures = []feature{
	{
		name: "graceful restart (RFC 4724), ours: agent killed, routes kept; no packet lost where the router forwards",
		// After a restart GoBGP sends End-of-RIB for configured families, negotiated or not, which
		// OpenBGPD takes for an error.
		ours:  ours{peer: []string{"families: [IPv4Unicast]"}},
		wires: podAndOutside,
		check: weRestart,
	},
	{
		name:  "graceful restart (RFC 4724), theirs: daemon killed, our kernel's routes kept",
		check: theyRestart,
	},
	{
		name:   "N-bit (RFC 8538): routes kept where a NOTIFICATION ended the session",
		ours:   ours{speaker: []string{"gracefulRestart: {notification: true, restartTimeSeconds: 60}"}, peer: []string{quick}},
		theirs: one(func(s *session) { s.notification, s.hold = true, 3 }),
		check:  notificationKeeps,
	},
	{
		name:   "long-lived stale routes (RFC 9494)",
		ours:   ours{speaker: []string{"gracefulRestart: {restartTimeSeconds: 2, longLivedStaleSeconds: 60}"}, peer: []string{quick}},
		theirs: one(func(s *session) { s.longLived, s.hold = 60, 3 }),
		check:  longLived,
	},
	{
		name:  "End-of-RIB: what went while we were away goes when it comes",
		check: endOfRIB,
	},
}

// podAndOutside gives the node a pod, and the router a host that sends to it.
func podAndOutside(c *cell) {
	c.node.Pod(podIPv4 + "/24")
	c.node.Default(routerIPv4)
	outside := c.Host("outside")
	c.Link(c.router, outside, "198.18.0.0/31")
	outside.Default("198.18.0.0")
	c.outside = outside
}

// killAgent kills the agent proper; its parent starts it again.
func (c *cell) killAgent() error { return c.signalAgent(syscall.SIGKILL) }

func (c *cell) signalAgent(signal syscall.Signal) error {
	children := c.agent.Children()
	if len(children) != 1 {
		return fmt.Errorf("the agent's parent has %d children", len(children))
	}
	return syscall.Kill(children[0], signal)
}

func weRestart(c *cell) error {
	if err := comesUp(only4)(c); err != nil {
		return err
	}
	var flow *lab.Flow
	if c.with.forwards {
		var err error
		if flow, err = c.outside.Flow(c.ctx, netip.MustParseAddr(podIPv4), 20*time.Millisecond); err != nil {
			return err
		}
	}
	kept := c.always(func() error { return c.heard(ours4, nil) })
	if err := c.killAgent(); err != nil {
		return err
	}
	err := errors.Join(c.theirsGoesDown(), c.until(func() error { return c.exchanged(ipv4) }), kept())
	if err != nil || flow == nil {
		return err
	}
	report, err := flow.Stop(c.ctx)
	if err == nil && report.Lost > 0 {
		err = fmt.Errorf("%d of %d packets were lost", report.Lost, report.Sent)
	}
	return err
}

// theirsGoesDown waits until the router has lost its session.
func (c *cell) theirsGoesDown() error {
	return c.until(func() error {
		theirs, err := c.view()
		if err == nil && theirs.up {
			err = errors.New("the router has not noticed")
		}
		return err
	})
}

// oursGoesDown waits until the agent has lost its session.
func (c *cell) oursGoesDown() error {
	return c.until(func() error {
		s, err := c.session()
		if err == nil && s.State == v1alpha1.SessionEstablished {
			err = errors.New("the agent has not noticed")
		}
		return err
	})
}

func theyRestart(c *cell) error {
	if err := comesUp(only4)(c); err != nil {
		return err
	}
	said, err := c.router.cannotRestart(c.ctx, nodeIPv4)
	if err != nil {
		return err
	}
	if said != "" {
		return notAvailable{said}
	}
	kept := c.always(func() error { return c.installed(theirs4, routerIPv4) })
	if err := c.router.Crash(); err != nil {
		return err
	}
	if err := c.oursGoesDown(); err != nil {
		return err
	}
	if err := errors.Join(c.router.restart(c.ctx), c.router.settle(c.ctx)); err != nil {
		return err
	}
	return errors.Join(c.until(func() error { return c.exchanged(ipv4) }), kept())
}

// notificationKeeps freezes the agent until the router ends the session with Hold Timer
// Expired. Without the N-bit that would have it drop our routes.
func notificationKeeps(c *cell) error {
	if err := comesUp(only4)(c); err != nil {
		return err
	}
	kept := c.always(func() error { return c.heard(ours4, nil) })
	if err := c.signalAgent(syscall.SIGSTOP); err != nil {
		return err
	}
	err := errors.Join(c.theirsGoesDown(), c.signalAgent(syscall.SIGCONT))
	return errors.Join(err, c.until(func() error { return c.exchanged(ipv4) }), kept())
}

// longLived keeps the agent away for longer than its restart time: its parent, which would
// start another, is frozen.
func longLived(c *cell) error {
	if err := comesUp(only4)(c); err != nil {
		return err
	}
	kept := c.always(func() error { return c.heard(ours4, nil) })
	if err := errors.Join(c.agent.Signal(syscall.SIGSTOP), c.killAgent()); err != nil {
		return err
	}
	stale := func(p path) bool { return slices.Contains(p.communities, "llgr-stale") }
	if err := c.until(func() error { return c.heard(ours4, stale) }); err != nil {
		return err
	}
	if err := c.agent.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return errors.Join(c.until(func() error {
		return errors.Join(c.exchanged(ipv4), c.heard(ours4, func(p path) bool { return !stale(p) }))
	}), kept())
}

func endOfRIB(c *cell) error {
	if err := comesUp(only4)(c); err != nil {
		return err
	}
	if err := c.agent.Stop(c.ctx); err != nil {
		return err
	}
	if err := c.router.tell(c.ctx, []route{{prefix: insteadOfTheirs4}}); err != nil {
		return err
	}
	if err := c.installed(theirs4, routerIPv4); err != nil {
		return fmt.Errorf("while the agent is away: %w", err)
	}
	if err := c.start(); err != nil {
		return err
	}
	return c.until(func() error { return errors.Join(c.installed(insteadOfTheirs4, routerIPv4), c.installed(theirs4)) })
}

// always looks every few milliseconds, until the end, that check is content.
func (c *cell) always(check func() error) (end func() error) {
	stop, found := make(chan struct{}), make(chan error, 1)
	go func() {
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for {
			if err := check(); err != nil {
				found <- err
				return
			}
			select {
			case <-stop:
				found <- nil
				return
			case <-c.ctx.Done():
				found <- c.ctx.Err()
				return
			case <-pace.C:
			}
		}
	}()
	return func() error { close(stop); return <-found }
}
