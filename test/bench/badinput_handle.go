package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/test/raw"
)

// handle has each bad peer do its worst, one after the other; each has a session of its own, so that
// what the status says of it stays.
func (s *badSite) handle(ctx context.Context, r *badResult, cases []badCase) error {
	r.Messages = len(cases)
	if len(cases) == 0 {
		return nil
	}
	if err := s.begin(ctx, cases); err != nil {
		return err
	}
	traffic, err := s.traffic(ctx)
	if err != nil {
		return err
	}
	attempts := s.playAll(ctx, r, cases)
	defer func() {
		for _, a := range attempts {
			if a.session != nil {
				_ = a.session.Close()
			}
		}
	}()
	refused := map[string]int{}
	for _, c := range cases {
		for _, reason := range c.refused {
			refused[reason]++
		}
	}
	for i, c := range cases {
		s.judge(ctx, r, c, attempts[i], refused)
	}
	return s.account(ctx, r, traffic)
}

// attempt is what has come of a case: a connection, or why there is none that could be judged.
type attempt struct {
	session *raw.Session
	failed  error
}

// playAll plays all cases, until one of them ends the agent: the next one knows nothing of those before.
func (s *badSite) playAll(ctx context.Context, r *badResult, cases []badCase) []attempt {
	all := make([]attempt, len(cases))
	for i, c := range cases {
		a := &all[i]
		if a.session, a.failed = s.play(ctx, i, c); a.failed == nil {
			a.failed = s.survived(ctx)
		}
		if !errors.Is(a.failed, errCrashed) {
			continue
		}
		r.doubt("%s ends the agent; those after it have not been tried", c.name)
		for k := range all {
			if all[k].failed == nil {
				all[k].failed = errors.New("nothing is known once the agent has crashed")
			}
		}
		break
	}
	return all
}

// begin has the agent wait for these peers.
func (s *badSite) begin(ctx context.Context, cases []badCase) error {
	if err := s.write(badFile, badPeers(cases)); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	for _, c := range cases {
		if err := s.says(ctx, c.name, "Active"); err != nil {
			return err
		}
	}
	return nil
}

// play has a bad peer connect and do what it does. The connection stays open.
func (s *badSite) play(ctx context.Context, i int, c badCase) (*raw.Session, error) {
	conn, err := s.dial(ctx, i)
	if err != nil {
		return nil, err
	}
	session, err := c.do(conn, openOf(i))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return session, nil
}

// settleTime is how long a message has to show what it does to the process: a panic shows at once.
const settleTime = 100 * time.Millisecond

var errCrashed = errors.New("the agent crashed")

// survived reports an error when the agent's child is no longer the one that was started.
func (s *badSite) survived(ctx context.Context) error {
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	if s.child() != s.agent.child {
		return errCrashed
	}
	return nil
}

// judge decides whether a message was handled. refused counts the prefixes that all cases together have the node refuse, by reason.
func (s *badSite) judge(ctx context.Context, r *badResult, c badCase, a attempt, refused map[string]int) {
	err := a.failed
	if err == nil {
		err = s.outcome(ctx, c, a.session, refused)
	}
	if err != nil {
		s.said.say("%-28s NOT HANDLED: %v", c.name, err)
		r.NotHandled = append(r.NotHandled, c.name)
		return
	}
	r.Handled++
	words := ""
	if state, err := s.status(); err == nil {
		words = wordsOf(state, c.name)
	}
	s.said.say("%-28s %s", c.name, strings.TrimSpace(words+" "+strings.Join(c.refused, ", ")))
}

// outcome reports an error unless all is as it should be after a case.
func (s *badSite) outcome(ctx context.Context, c badCase, session *raw.Session, refused map[string]int) error {
	if err := s.says(ctx, c.name, c.says); err != nil {
		return err
	}
	for _, reason := range c.refused {
		if err := s.refuses(ctx, reason, refused[reason]); err != nil {
			return err
		}
	}
	return s.eventually(ctx, func() error { return answered(session, c.ends) })
}

// answered reports an error unless the speaker has ended a connection so, or, where it should not, goes on with it.
func answered(session *raw.Session, ends string) error {
	got := ""
	select {
	case <-session.Ended():
		got = session.Final().String()
	default:
	}
	if got != ends {
		return fmt.Errorf("the speaker has ended the connection by %q, want %q", got, ends)
	}
	return nil
}

// account counts what the honest router and its traffic have lost.
func (s *badSite) account(ctx context.Context, r *badResult, traffic flows) error {
	honest, err := s.honestSession(ctx)
	if err != nil {
		return err
	}
	r.OtherSessionsLost = honest.Ups - 1
	if !honest.Up() {
		r.OtherSessionsLost++
	}
	sent, lost, err := traffic.stop(ctx)
	if err != nil {
		return err
	}
	r.PacketsLost = lost
	r.sent(sent, "the handled messages")
	if s.child() != s.agent.child {
		return nil // it has crashed
	}
	peak, err := kilobytes(fmt.Sprintf("/proc/%d/status", s.agent.child), "VmHWM:")
	r.PeakMB = round(peak / 1000 * 1.024)
	return err
}
