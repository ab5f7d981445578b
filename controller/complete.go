package controller

import (
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

// quietTime is how long a peer that takes no part in graceful restart is given, once its
// session is up, to send what it has. It need not send End-of-RIB (RFC 4724, section 2).
const quietTime = 3 * time.Second

// completeness decides when the speaker has learned again what an earlier one may have
// known: every configured session has delivered its routes, or the sweep time is over.
// From then on it stays complete until the speaker itself starts anew.
type completeness struct {
	identity bgp.Config // of the speaker that the rest is about
	began    time.Time
	up       map[string]time.Time // since when a session has been seen up
	complete bool
}

// observe takes the newest state and returns whether the picture is complete. withheld counts
// sessions that are configured and not even tried: they may have delivered once.
func (c *completeness) observe(now time.Time, want bgp.Desired, withheld int, sessions []bgp.Session, sweep time.Duration) bool {
	identity := identityOf(want.Config)
	stopped := want.Config == nil && c.complete // nothing will be learned, so nothing is waited for
	if c.began.IsZero() || (identity != c.identity && !stopped) {
		*c = completeness{began: now, up: map[string]time.Time{}}
	}
	c.identity = identity
	if c.complete {
		return true
	}
	delivered := c.delivered(now, sessions)
	c.complete = now.Sub(c.began) >= sweep || (len(want.Peers) > 0 && withheld == 0 && allDelivered(want.Peers, delivered))
	return c.complete
}

// identityOf returns the part of the configuration whose change restarts the speaker.
func identityOf(c *bgp.Config) bgp.Config {
	if c == nil {
		return bgp.Config{}
	}
	return bgp.Config{ASN: c.ASN, RouterID: c.RouterID, ListenPort: c.ListenPort}
}

// delivered returns the peers that have sent all they have.
func (c *completeness) delivered(now time.Time, sessions []bgp.Session) map[string]bool {
	out := map[string]bool{}
	for _, s := range sessions {
		if s.State != bgp.Established {
			delete(c.up, s.Peer)
			continue
		}
		if _, seen := c.up[s.Peer]; !seen {
			c.up[s.Peer] = now
		}
		quiet := !s.GracefulRestart && now.Sub(c.up[s.Peer]) >= quietTime
		out[s.Peer] = quiet || endOfRIB(s)
	}
	return out
}

func endOfRIB(s bgp.Session) bool {
	for _, f := range s.Families {
		if !f.EndOfRIB {
			return false
		}
	}
	return len(s.Families) > 0
}

func allDelivered(peers []bgp.Peer, delivered map[string]bool) bool {
	for _, p := range peers {
		if !delivered[p.Name] {
			return false
		}
	}
	return true
}
