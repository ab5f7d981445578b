package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/test/raw"
)

// badOptions say how much bad input there is.
type badOptions struct {
	only     string
	prefixes int
	full     bool
	keepLogs bool
}

// manyWhenFull is how many prefixes a peer tells with -full.
const manyWhenFull = 1_000_000

// badResult is what a run of the bench badinput has found.
type badResult struct {
	Bench string `json:"bench"`
	// Handled counts the messages that the agent took without a crash, with words for it in the status.
	Handled           int `json:"handled_messages"`
	OtherSessionsLost int `json:"other_sessions_lost"`
	PacketsLost       int `json:"packets_lost"`
	KillingClasses    int `json:"killing_classes"`
	Restarts          int `json:"restarts"`
	// RestartMax is of the time from when the agent's child died until the honest router has its session again.
	RestartMax         float64 `json:"restart_ms_max"`
	KillingPacketsLost int     `json:"killing_packets_lost"`
	// Quarantined counts the killing classes whose peer was held down in the end.
	Quarantined int `json:"quarantined"`
	// NotHandled names the messages that Handled does not count.
	NotHandled []string `json:"not_handled,omitempty"`
	Sent       int      `json:"packets_sent"`
	// Invalid says why the figures show nothing.
	Invalid []string `json:"invalid,omitempty"`
}

func (r *badResult) invalid() []string { return r.Invalid }

func (r *badResult) doubt(format string, args ...any) {
	r.Invalid = append(r.Invalid, fmt.Sprintf(format, args...))
}

// badInput is the bench of that name.
func badInput(ctx context.Context, args []string, out io.Writer) (result, error) {
	o := badOptions{}
	flags := flag.NewFlagSet("badinput", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.only, "only", "", "run only cases whose name contains this")
	flags.IntVar(&o.prefixes, "prefixes", 20_000, "how many prefixes a peer tells that tells very many")
	flags.BoolVar(&o.full, "full", false, fmt.Sprintf("have it tell %d", manyWhenFull))
	flags.BoolVar(&o.keepLogs, "keep-logs", false, "keep the logs of all processes, and print where they are")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if o.full {
		o.prefixes = manyWhenFull
	}
	dir, err := os.MkdirTemp("", "fairway-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for logs: %w", err)
	}
	handled, killing := chosen(handledCases(o.prefixes), o.only), chosen(killingCases(), o.only)
	said := &narrator{out: out, began: time.Now()}
	s, err := raiseBad(ctx, dir, max(len(handled), 1), said)
	if err != nil {
		return nil, err
	}
	if o.full {
		s.patience *= 30
	}
	found, err := s.measure(ctx, handled, killing)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, s.lab.Logs(20))
	}
	err = errors.Join(err, s.lab.Close())
	if o.keepLogs {
		said.say("logs are in %s", dir)
		return found, err
	}
	return found, errors.Join(err, os.RemoveAll(dir))
}

func chosen(all []badCase, only string) (some []badCase) {
	for _, c := range all {
		if strings.Contains(c.name, only) {
			some = append(some, c)
		}
	}
	return some
}

func (s *badSite) measure(ctx context.Context, handled, killing []badCase) (*badResult, error) {
	r := &badResult{Bench: "badinput"}
	s.said.say("one node, an honest router with traffic both ways every %s, and %d messages that are handled", flowPace, len(handled))
	if err := s.handle(ctx, r, handled); err != nil {
		return nil, err
	}
	for _, c := range killing {
		if err := s.kill(ctx, r, c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// badHoldTime is in seconds: longer than any run, so that nobody has to keep sessions alive.
const badHoldTime = 3600

// badPeers are manifests of BGPPeers, one for each case.
func badPeers(cases []badCase) string {
	var b strings.Builder
	for i, c := range cases {
		fmt.Fprintf(&b, `---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: %s}
spec:
  address: %s
  families: [IPv4Unicast]
  timers: {holdTimeSeconds: %d}
`, c.name, badAddress(i), badHoldTime)
		if !strings.HasPrefix(c.spec, "asn:") {
			fmt.Fprintf(&b, "  asn: %d\n", badASN)
		}
		if c.spec != notPassive {
			b.WriteString("  passive: true\n")
		}
		if c.spec != "" {
			fmt.Fprintf(&b, "  %s\n", c.spec)
		}
	}
	return b.String()
}

// openOf is the OPEN that a bad peer sends where nothing is wrong with that.
func openOf(i int) raw.Open {
	return raw.Open{ASN: badASN, HoldTime: badHoldTime, ID: badAddress(i), Parameters: goodParameters}
}

// handle has each bad peer do its worst, one after the other; each has a session of its own, so that
// what the status says of it stays.
func (s *badSite) handle(ctx context.Context, r *badResult, cases []badCase) error {
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
	var open []net.Conn
	defer func() {
		for _, p := range open {
			_ = p.Close()
		}
	}()
	failed := map[string]error{}
	for i, c := range cases {
		p, err := s.play(ctx, i, c)
		if err == nil {
			open = append(open, p)
			err = s.survived(ctx)
		}
		if failed[c.name] = err; errors.Is(err, errCrashed) {
			r.doubt("%s ends the agent; those after it have not been tried", c.name)
			break
		}
	}
	for _, c := range cases {
		s.judge(ctx, r, c, failed[c.name])
	}
	return s.account(ctx, r, traffic)
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
func (s *badSite) play(ctx context.Context, i int, c badCase) (net.Conn, error) {
	p, err := s.dial(ctx, i)
	if err != nil {
		return nil, err
	}
	o := openOf(i)
	if err := c.do(p, o); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
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

// judge decides whether a message was handled.
func (s *badSite) judge(ctx context.Context, r *badResult, c badCase, failed error) {
	switch {
	case failed != nil:
	case len(r.Invalid) > 0:
		failed = errors.New("nothing is known once the agent has crashed")
	default:
		if failed = s.says(ctx, c.name, c.says); failed == nil && c.refused != "" {
			failed = s.refuses(ctx, c.refused)
		}
	}
	if failed != nil {
		s.said.say("%-28s NOT HANDLED: %v", c.name, failed)
		r.NotHandled = append(r.NotHandled, c.name)
		return
	}
	r.Handled++
	words := ""
	if state, err := s.status(); err == nil {
		words = wordsOf(state, c.name)
	}
	s.said.say("%-28s %s", c.name, strings.TrimSpace(words+" "+c.refused))
}

// account counts what the honest router and its traffic have lost.
func (s *badSite) account(ctx context.Context, r *badResult, traffic flows) error {
	times, up, err := s.sessions(ctx)
	if err != nil {
		return err
	}
	r.OtherSessionsLost = times - 1
	if !up {
		r.OtherSessionsLost++
	}
	sent, lost, err := traffic.stop(ctx)
	if err != nil {
		return err
	}
	r.PacketsLost, r.Sent = lost, r.Sent+sent
	if few := tooFew(sent); few != "" {
		r.doubt("packets beside the handled messages: %s", few)
	}
	return nil
}
