package controller

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
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
	full bool // some could not be taken, and since then there has been room for nobody
}

// note takes routers that have just connected, or may be about to, and reports whether it could take all.
func (c *callers) note(now time.Time, addrs ...netip.Addr) (all bool) {
	all = true
	for _, addr := range addrs {
		if _, known := c.seen[addr]; !known && len(c.seen) >= maxCallers {
			all = false
			continue
		}
		if c.seen == nil {
			c.seen = map[netip.Addr]time.Time{}
		}
		c.seen[addr] = now
	}
	return all
}

// alive keeps those whose sessions are up, and forgets those that are peers for another reason by now.
func (c *callers) alive(now time.Time, sessions []bgp.Session, named func(peer string) bool) {
	for _, s := range sessions {
		switch _, known := c.seen[s.Address]; {
		case !known:
		case named(s.Peer):
			delete(c.seen, s.Address)
		case s.State == bgp.Established:
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
func (l *Loop) recallCallers() {
	for _, name := range l.before {
		if addr, err := netip.ParseAddr(name[strings.LastIndexByte(name, '/')+1:]); err == nil && !l.isNamed(name) {
			l.callers.note(l.Now(), addr)
		}
	}
	l.before, l.local.Callers = nil, l.callers.known(l.Now())
}

// isNamed reports whether a peer is there without having called: a node, or one that is no router inside a listenRange.
func (l *Loop) isNamed(peer string) bool {
	p := l.snap.Peers[plan.ObjectOf(peer)]
	return strings.HasPrefix(peer, meshPrefix) || p != nil && p.Spec.ListenRange == ""
}

// hearCallers takes those who have connected, and reports whether the plan has to be made anew for it.
func (l *Loop) hearCallers() bool {
	all := l.callers.note(l.Now(), l.Speaker.Callers()...)
	if !all && !l.callers.full {
		l.Log.Warn("a router inside a listenRange is not spoken to: there are too many", "most", maxCallers)
	}
	known := l.callers.known(l.Now())
	l.callers.full = len(known) >= maxCallers && (l.callers.full || !all)
	if slices.Equal(known, l.local.Callers) {
		return false
	}
	l.local.Callers = known
	return true
}
