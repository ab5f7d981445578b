package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

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
	// Messages counts those that the agent should handle.
	Messages int `json:"messages"`
	// Handled counts those of them that the agent took without a crash, with words for it in the status and the right answer.
	Handled           int `json:"handled_messages"`
	OtherSessionsLost int `json:"other_sessions_lost"`
	PacketsLost       int `json:"packets_lost"`
	// PeakMB is the most memory that the agent had while it handled them.
	PeakMB         float64 `json:"agent_peak_mb"`
	KillingClasses int     `json:"killing_classes"`
	Restarts       int     `json:"restarts"`
	// RestartMax is of the time from when the agent's child died until the honest router has its session again.
	RestartMax         float64 `json:"restart_ms_max"`
	KillingPacketsLost int     `json:"killing_packets_lost"`
	// Quarantined counts the killing classes whose peer was held down in the end.
	Quarantined int `json:"quarantined"`
	// NotHandled names the messages that Handled does not count.
	NotHandled []string `json:"not_handled,omitempty"`
	// NotQuarantined names the killing classes that Quarantined does not count.
	NotQuarantined []string `json:"not_quarantined,omitempty"`
	Sent           int      `json:"packets_sent"`
	// Invalid says why the figures show nothing.
	Invalid []string `json:"invalid,omitempty"`
}

func (r *badResult) invalid() []string { return r.Invalid }

func (r *badResult) doubt(format string, args ...any) {
	r.Invalid = append(r.Invalid, fmt.Sprintf(format, args...))
}

// conclude doubts a run that was not of everything.
func (r *badResult) conclude(o badOptions) {
	if o.only != "" {
		r.doubt("only cases with %q in their name have run", o.only)
	}
}

// sent counts packets beside some messages, of which none is lost where few were sent.
func (r *badResult) sent(packets int, beside string) {
	r.Sent += packets
	if few := tooFew(packets); few != "" {
		r.doubt("packets beside %s: %s", beside, few)
	}
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
	handled, killing, err := o.choose()
	if err != nil {
		return nil, err
	}
	raise := func(ctx context.Context, dir string, said *narrator) (*badSite, error) {
		return raiseBad(ctx, dir, max(len(handled), 1), said)
	}
	return perform(ctx, o.keepLogs, out, raise, func(s *badSite, _ *narrator) (result, error) {
		if o.full {
			s.patience *= 30
		}
		r, err := s.measure(ctx, handled, killing)
		if err != nil {
			return nil, err
		}
		r.conclude(o)
		return r, nil
	})
}

// choose returns the cases that a run is of.
func (o badOptions) choose() (handled, killing []badCase, err error) {
	handled, killing = handledCases(o.prefixes), killingCases()
	var names []string
	for _, c := range slices.Concat(handled, killing) {
		names = append(names, c.name)
	}
	others := func(c badCase) bool { return !strings.Contains(c.name, o.only) }
	handled, killing = slices.DeleteFunc(handled, others), slices.DeleteFunc(killing, others)
	if len(handled)+len(killing) == 0 {
		return nil, nil, fmt.Errorf("-only: no case has %q in its name; there are %s", o.only, strings.Join(names, ", "))
	}
	return handled, killing, nil
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
