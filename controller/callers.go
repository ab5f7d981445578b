package controller

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

const (
	// forgetAfter is how long a router stays known whose session is down and that does not connect. It
	// outlasts what graceful restart asks for by default, for with the router go the routes that are kept for it.
	forgetAfter = 10 * time.Minute
	// maxCallers bounds the routers that are known only because they have connected.
	maxCallers = 1024
)

// callers are the routers that have connected to this node without being named: for the plan those
// inside a listenRange are there until they have been away for a while.
type callers struct {
	seen map[netip.Addr]time.Time
	full bool // some could not be taken
}

// note takes routers that have just connected, or may be about to.
func (c *callers) note(now time.Time, addrs ...netip.Addr) {
	c.full = false
	for _, addr := range addrs {
		if _, known := c.seen[addr]; !known && len(c.seen) >= maxCallers {
			c.full = true
			continue
		}
		if c.seen == nil {
			c.seen = map[netip.Addr]time.Time{}
		}
		c.seen[addr] = now
	}
}

// alive keeps those whose sessions are up.
func (c *callers) alive(now time.Time, sessions []bgp.Session) {
	for _, s := range sessions {
		if _, known := c.seen[s.Address]; known && s.State == bgp.Established {
			c.seen[s.Address] = now
		}
	}
}

// known forgets those who have been away for too long and returns the others, sorted; nil for none.
func (c *callers) known(now time.Time) []netip.Addr {
	maps.DeleteFunc(c.seen, func(_ netip.Addr, at time.Time) bool { return now.Sub(at) >= forgetAfter })
	return slices.SortedFunc(maps.Keys(c.seen), netip.Addr.Compare)
}

// recallCallers takes the routers whose sessions an earlier process had up, in an earlier boot as well, for such
// as are about to call again: a peer that is there from the start is told that we have restarted, and keeps our routes.
func (l *Loop) recallCallers(names []string) {
	for _, name := range names {
		if addr, err := netip.ParseAddr(name[strings.LastIndexByte(name, '/')+1:]); err == nil {
			l.callers.note(l.Now(), addr)
		}
	}
}

// hearCallers takes those who have connected, and reports whether the plan has to be made anew for it.
func (l *Loop) hearCallers() bool {
	was := l.callers.full
	l.callers.note(l.Now(), l.Speaker.Callers()...)
	if l.callers.full && !was {
		l.Log.Warn("a router inside a listenRange is not spoken to: there are too many", "most", maxCallers)
	}
	known := l.callers.known(l.Now())
	if slices.Equal(known, l.local.Callers) {
		return false
	}
	l.local.Callers = known
	return true
}
