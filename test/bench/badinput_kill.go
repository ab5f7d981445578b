package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
	"github.com/fairway-bgp/fairway/test/raw"
)

const notPassive = "passive: false"

// killingCases are the messages that end GoBGP v3.37 (ARCHITECTURE.md says why and what is done about it).
func killingCases() (cases []badCase) {
	for _, c := range raw.Killing(badASN, badAddress(0), netip.MustParsePrefix("10.244.77.0/24")) {
		name := "kill-" + strings.ToLower(strings.NewReplacer(" ", "-", "_", "-").Replace(c.Name))
		// A passive peer would be brought up before the honest router after a crash.
		cases = append(cases, badCase{name: name, spec: notPassive, do: says(c.Message)})
	}
	return cases
}

const (
	// deathTime is how long a message has to kill the process.
	deathTime = 2 * time.Second
	// killsAtMost is how many crashes a class may cause until its peer is held down: the first one, by which nobody is
	// found, and the second.
	killsAtMost = 2
)

// errAlive says that the agent has survived.
var errAlive = errors.New("the agent survives it")

// kill sends a killing message whenever the agent lets it, until its peer is quarantined.
func (s *badSite) kill(ctx context.Context, r *badResult, c badCase) error {
	if err := s.begin(ctx, []badCase{c}); err != nil {
		return err
	}
	traffic, err := s.traffic(ctx)
	if err != nil {
		return err
	}
	quarantined := false
	for kills := 0; !quarantined && kills <= killsAtMost; {
		before, err := s.honestSession(ctx)
		if err != nil {
			return err
		}
		died, err := s.strike(ctx, c)
		switch {
		case errors.Is(err, errAlive):
			r.doubt("%s: %v", c.name, err)
			return s.accountKills(ctx, r, c, traffic)
		case err != nil:
			return fmt.Errorf("%s: %w", c.name, err)
		case died.IsZero():
			quarantined = true
			continue
		}
		kills++
		if err := s.back(ctx, r, c, died, before.Ups); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	r.killed(c.name, quarantined)
	if quarantined {
		state, err := s.status()
		if err != nil {
			return err
		}
		s.said.say("%-28s %s", c.name, wordsOf(state, c.name))
	}
	return s.accountKills(ctx, r, c, traffic)
}

// killed counts a class that kills.
func (r *badResult) killed(name string, quarantined bool) {
	r.KillingClasses++
	if quarantined {
		r.Quarantined++
	} else {
		r.NotQuarantined = append(r.NotQuarantined, name)
	}
}

func (s *badSite) accountKills(ctx context.Context, r *badResult, c badCase, traffic flows) error {
	sent, lost, err := traffic.stop(ctx)
	if r.KillingPacketsLost += lost; lost > 0 {
		s.said.say("%-28s %d of %d packets are lost", c.name, lost, sent)
	}
	r.sent(sent, c.name)
	return err
}

// strike sends the message as soon as the session comes up, and returns when the agent's child died of it; the zero Time:
// the session does not come up any more, because the peer is quarantined.
func (s *badSite) strike(ctx context.Context, c badCase) (died time.Time, err error) {
	err = s.eventually(ctx, func() error {
		if s.saysNow(c.name, "Quarantined") == nil {
			return nil
		}
		p, err := s.play(ctx, 0, c)
		if err != nil {
			return err
		}
		defer func() { _ = p.Close() }()
		if died, err = s.death(ctx); err != nil {
			return lab.Never(err)
		}
		return nil
	})
	return died, err
}

// death waits until the agent's child is gone.
func (s *badSite) death(ctx context.Context) (time.Time, error) {
	proc := fmt.Sprintf("/proc/%d", s.agent.child)
	for began := time.Now(); time.Since(began) < deathTime; {
		if _, err := os.Stat(proc); errors.Is(err, os.ErrNotExist) {
			return time.Now(), nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, errAlive
}

// back waits until the honest router, whose session had come up so many times before, has it again, and takes the time.
func (s *badSite) back(ctx context.Context, r *badResult, c badCase, died time.Time, before int) error {
	err := s.eventually(ctx, func() error {
		child := s.child()
		now, err := s.honestSession(ctx)
		if err != nil {
			return err
		}
		if child == 0 || !now.Up() || now.Ups == before {
			return errors.New("the session of the honest router is not up again")
		}
		s.agent.child = child
		return nil
	})
	if err != nil {
		return err
	}
	took := milliseconds(time.Since(died))
	r.Restarts++
	r.RestartMax = max(r.RestartMax, took)
	s.said.say("%-28s the agent crashed; %.0f ms later the honest router has its session again", c.name, took)
	return nil
}
