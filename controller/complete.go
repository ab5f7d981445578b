package controller

import (
	"slices"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

// quietTime is how long a peer that takes no part in graceful restart has to say nothing new,
// once its session is up, until it is taken to have said all. It need not send End-of-RIB (RFC
// 4724, section 2).
const quietTime = 3 * time.Second

// completeness decides when the speaker has learned again what an earlier one may have
// known: every session that was up then has delivered its routes, every configured one where
// that is not known, or the sweep time is over. From then on it stays complete until the
// speaker itself starts anew.
type completeness struct {
	before map[string]bool // sessions that were up before, by name of the peer; nil: not known
	all    bool            // every configured session is waited for

	identity bgp.Config // of the speaker that the rest is about
	began    time.Time
	news     map[string]news      // of the sessions that are up
	lately   map[string]time.Time // when a session was last seen up
	complete bool
}

// observe takes the newest state and returns whether the picture is complete. withheld are
// the names of peers whose sessions are configured and not even tried, or how the names
// begin: they may have delivered once.
func (c *completeness) observe(now time.Time, want bgp.Desired, withheld []string, sessions []bgp.Session, sweep time.Duration) bool {
	identity := identityOf(want.Config)
	stopped := want.Config == nil && c.complete // nothing will be learned, so nothing is waited for
	if c.began.IsZero() || (identity != c.identity && !stopped) {
		*c = completeness{before: c.known(), began: now, news: map[string]news{}, lately: map[string]time.Time{}}
	}
	c.identity = identity
	delivered := c.delivered(now, sessions)
	names := namesOf(want.Peers)
	c.forget(now, names, sweep)
	if c.complete {
		return true
	}
	c.all = !c.knows(names, withheld)
	c.complete = now.Sub(c.began) >= sweep || (len(want.Peers) > 0 && !c.awaitsWithheld(withheld) && c.allDelivered(want.Peers, delivered))
	return c.complete
}

// known returns what is known of the sessions that were up before a speaker that starts now.
func (c *completeness) known() map[string]bool {
	if !c.complete {
		return c.before // the last speaker did not get as far as to know better
	}
	names := map[string]bool{}
	for name := range c.lately {
		names[name] = true
	}
	return names
}

// knows reports whether it is known which sessions were up before, and all of them are configured
// now. One that goes by another name now, or is gone, has left routes behind that any of those
// that are configured may confirm.
func (c *completeness) knows(names map[string]bool, withheld []string) bool {
	if c.before == nil {
		return false
	}
	for name := range c.before {
		if !names[name] && !slices.ContainsFunc(withheld, func(begin string) bool { return strings.HasPrefix(name, begin) }) {
			return false
		}
	}
	return true
}

func namesOf(peers []bgp.Peer) map[string]bool {
	names := make(map[string]bool, len(peers))
	for _, p := range peers {
		names[p.Name] = true
	}
	return names
}

// forget drops sessions that were up so long ago that none of their routes is left.
func (c *completeness) forget(now time.Time, names map[string]bool, sweep time.Duration) {
	for name, seen := range c.lately {
		if !names[name] || now.Sub(seen) >= sweep {
			delete(c.lately, name)
		}
	}
}

func (c *completeness) awaits(peer string) bool {
	return c.all || c.before[peer]
}

func (c *completeness) awaitsWithheld(withheld []string) bool {
	return slices.ContainsFunc(withheld, func(begin string) bool {
		if c.all {
			return true
		}
		for name := range c.before {
			if strings.HasPrefix(name, begin) {
				return true
			}
		}
		return false
	})
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
			delete(c.news, s.Peer)
			continue
		}
		if last, seen := c.news[s.Peer]; !seen || last.received != received(s) {
			c.news[s.Peer] = news{at: now, received: received(s)}
		}
		c.lately[s.Peer] = now
		quiet := !s.GracefulRestart && now.Sub(c.news[s.Peer].at) >= quietTime
		out[s.Peer] = quiet || endOfRIB(s)
	}
	return out
}

// news is when a peer was last seen to have said something new, or to have come up, and how
// many prefixes it had said by then.
type news struct {
	at       time.Time
	received int
}

func received(s bgp.Session) int {
	sum := 0
	for _, f := range s.Families {
		sum += f.Received
	}
	return sum
}

func endOfRIB(s bgp.Session) bool {
	for _, f := range s.Families {
		if !f.EndOfRIB {
			return false
		}
	}
	return len(s.Families) > 0
}

func (c *completeness) allDelivered(peers []bgp.Peer, delivered map[string]bool) bool {
	for _, p := range peers {
		if c.awaits(p.Name) && !delivered[p.Name] {
			return false
		}
	}
	return true
}
