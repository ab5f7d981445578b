package gobgp

import (
	"cmp"
	"strings"

	"github.com/fairway-bgp/fairway/bgp"
)

// whyNotUp says in words why a session is not up: what its last attempt or its end told, and
// what neither can tell, since what the kernel drops looks like silence.
func whyNotUp(attempt, lastDown string, state bgp.SessionState, p bgp.Peer) string {
	switch {
	case strings.Contains(attempt, "i/o timeout") && p.Password != "":
		return attempt + " (so it looks, too, when the two sides have different passwords, or the other has none)"
	case strings.Contains(attempt, "i/o timeout"):
		return attempt + " (so it looks, too, when the other side has a password)"
	case state == bgp.OpenSent && p.TTLSecurityHops > 0 && !strings.Contains(attempt, "NOTIFICATION"):
		return "connected, and nothing has come from it: what it sends with a time to live that is too low for ttlSecurityHops is dropped unseen"
	}
	if attempt != "" && lastDown != "" && attempt != lastDown {
		return attempt + "; it went down because: " + lastDown
	}
	return cmp.Or(attempt, lastDown, waiting(p))
}

// waiting is about a session that has never been tried, for that is up to the other side.
func waiting(p bgp.Peer) string {
	switch {
	case !p.Passive:
		return ""
	case p.Password != "":
		return "we wait for it to connect; attempts without our password are dropped unseen"
	}
	return "we wait for it to connect; attempts with a password are dropped unseen"
}
