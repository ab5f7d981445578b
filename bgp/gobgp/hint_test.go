package gobgp

import (
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/bgp"
)

func TestSilenceIsExplained(t *testing.T) {
	const timeout = "connecting: dial tcp 192.0.2.1:179: i/o timeout"
	for what, c := range map[string]struct {
		attempt, lastDown string
		state             bgp.SessionState
		peer              bgp.Peer
		want              string // "": nothing is said
	}{
		"no answer, with a password":          {attempt: timeout, peer: bgp.Peer{Password: "x"}, want: "different passwords, or the other has none"},
		"no answer, without one":              {attempt: timeout, peer: bgp.Peer{}, want: "when the other side has a password"},
		"an answer":                           {attempt: "connection refused", peer: bgp.Peer{Password: "x"}, want: "connection refused"},
		"connected, and then silence, GTSM":   {state: bgp.OpenSent, peer: bgp.Peer{TTLSecurityHops: 1}, want: "ttlSecurityHops"},
		"refused, then silent, GTSM":          {attempt: "connecting: connection refused", state: bgp.OpenSent, peer: bgp.Peer{TTLSecurityHops: 1}, want: "ttlSecurityHops"},
		"answered, and not agreed, GTSM":      {attempt: "we sent NOTIFICATION bad peer AS", state: bgp.OpenSent, peer: bgp.Peer{TTLSecurityHops: 1}, want: "bad peer AS"},
		"connected, without GTSM":             {state: bgp.OpenSent, peer: bgp.Peer{}},
		"passive, with a password":            {peer: bgp.Peer{Passive: true, Password: "x"}, want: "without our password"},
		"passive, without one":                {peer: bgp.Peer{Passive: true}, want: "with a password"},
		"passive, and it was up before":       {lastDown: "the peer sent Cease", peer: bgp.Peer{Passive: true}, want: "the peer sent Cease"},
		"nothing tried yet":                   {peer: bgp.Peer{Password: "x"}},
		"refused since, and how it went down": {attempt: "connection refused", lastDown: "the peer sent Cease", want: "connection refused; it went down because: the peer sent Cease"},
	} {
		got := whyNotUp(c.attempt, c.lastDown, c.state, c.peer)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q in it", what, got, c.want)
		}
	}
}
