package gobgp

import (
	"cmp"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

// sessionLog remembers of each session what GoBGP tells only once. Its keys are addresses of
// peers without their zone.
type sessionLog struct {
	mu      sync.Mutex
	records map[netip.Addr]*sessionRecord
	peers   int // how many there should be
	// allUp says that all of them are established. It is asked for each path.
	allUp atomic.Bool
	seen  chan struct{} // readable after a peer has shown another AS number than before
}

type sessionRecord struct {
	established  bool
	asn          uint32                   // in the peer's last OPEN; 0: there was none
	since        time.Time                // of the last change of established
	endOfRIB     map[bgp.Family]time.Time // when it last came
	lastDown     string                   // why the session last went down, or what was malformed since
	lastAttempt  string                   // why it has not come up since
	resetBecause string                   // why we are ending it; "" when we are not
}

func newSessionLog() *sessionLog {
	return &sessionLog{records: map[netip.Addr]*sessionRecord{}, seen: make(chan struct{}, 1)}
}

// with changes the record of a peer.
func (l *sessionLog) with(addr netip.Addr, change func(*sessionRecord)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records[addr]
	if r == nil {
		r = &sessionRecord{endOfRIB: map[bgp.Family]time.Time{}}
		l.records[addr] = r
	}
	change(r)
}

// count keeps allUp.
func (l *sessionLog) count() {
	up := 0
	for _, r := range l.records {
		if r.established {
			up++
		}
	}
	l.allUp.Store(up == l.peers)
}

// changed notes whether the session is established and returns whether that is new.
func (l *sessionLog) changed(addr netip.Addr, established bool) bool {
	isNew := false
	l.with(addr, func(r *sessionRecord) {
		if isNew = r.established != established; isNew {
			r.established, r.since = established, time.Now()
			l.count()
		}
	})
	return isNew
}

// saw notes the AS number that a peer shows.
func (l *sessionLog) saw(addr netip.Addr, asn uint32) {
	l.with(addr, func(r *sessionRecord) {
		if r.asn != asn {
			r.asn = asn
			signal(l.seen)
		}
	})
}

func (l *sessionLog) endOfRIB(addr netip.Addr, family bgp.Family) {
	l.with(addr, func(r *sessionRecord) { r.endOfRIB[family] = time.Now() })
}

func (l *sessionLog) attempt(addr netip.Addr, why string) {
	l.with(addr, func(r *sessionRecord) { r.lastAttempt = why })
}

// malformed notes what is wrong with a message that did not end the session.
func (l *sessionLog) malformed(addr netip.Addr, what string) {
	l.with(addr, func(r *sessionRecord) { r.lastDown = what })
}

func (l *sessionLog) up(addr netip.Addr) {
	l.with(addr, func(r *sessionRecord) { r.lastAttempt, r.resetBecause = "", "" })
}

// reset notes why we are about to reset a session that is up; "" when we have not. GoBGP has
// one reason for all changes, and none where the peer notices first.
func (l *sessionLog) reset(addr netip.Addr, because string) {
	l.with(addr.WithZone(""), func(r *sessionRecord) {
		if r.resetBecause = ""; r.established && because != "" {
			r.resetBecause = "reset by us: " + because
		}
	})
}

// ending notes why we are about to end a session that is up; "" when we are not. When it has
// ended, that is why it is down.
func (l *sessionLog) ending(addr netip.Addr, because string) {
	l.with(addr.WithZone(""), func(r *sessionRecord) {
		switch {
		case r.established:
			r.resetBecause = because
		case because != "":
			r.lastDown, r.lastAttempt = because, ""
		}
	})
}

// down notes GoBGP's reason. A NOTIFICATION, or an expired timer behind a graceful restart,
// was said in more words just before.
func (l *sessionLog) down(addr netip.Addr, reason string) {
	l.with(addr, func(r *sessionRecord) {
		r.lastDown = cmp.Or(r.resetBecause, r.lastAttempt, downReason(reason))
		r.lastAttempt, r.resetBecause = "", ""
	})
}

// downReason translates the reasons that GoBGP gives.
func downReason(reason string) string {
	switch reason {
	case "dying":
		return "reset by a change of its configuration"
	case "admin-down":
		return "shut down by an operator"
	case "read-failed", "write-failed":
		return "the connection was lost"
	case "graceful-restart":
		return "the connection was lost; its routes are kept for a graceful restart"
	case "hold-timer-expired":
		return "hold timer expired: nothing was heard from the peer"
	case "hard-reset":
		return "the peer sent NOTIFICATION Cease, hard reset"
	}
	return strings.ReplaceAll(reason, "-", " ")
}

// get returns a copy of what is known of a peer.
func (l *sessionLog) get(addr netip.Addr) sessionRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.records[addr.WithZone("")]
	if r == nil {
		return sessionRecord{}
	}
	c := *r
	c.endOfRIB = make(map[bgp.Family]time.Time, len(r.endOfRIB))
	for f, t := range r.endOfRIB {
		c.endOfRIB[f] = t
	}
	return c
}

// keep forgets all peers but these.
func (l *sessionLog) keep(peers map[netip.Addr]bgp.Peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for addr := range l.records {
		if _, ok := peers[addr]; !ok {
			delete(l.records, addr)
		}
	}
	l.peers = len(peers)
	l.count()
}
