package host

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// leastGap is between two messages of ours on a link: a router does not answer more often
	// either (RFC 4861, section 10, MIN_DELAY_BETWEEN_RAS).
	leastGap = 3 * time.Second
	// advertisePeriod is between two advertisements that nobody has asked for, after the first ones.
	advertisePeriod = 9 * time.Second
	// firstAdvertisements come one after the other (MAX_INITIAL_RTR_ADVERTISEMENTS).
	firstAdvertisements = 3
	// silence is how long a router says nothing, although it is asked, until it counts as gone
	// where another one is heard.
	silence = 4 * leastGap
	// maxRouters are followed on one link. Who sends under ever new addresses is up to no good.
	maxRouters = 16
)

// neighborhood is what is going on on one link.
type neighborhood struct {
	Neighborhood
	conn ndConn
	over chan struct{} // is closed when nobody reads on

	heard      map[netip.Addr]heard
	rivalry    time.Time // since when there is more than one router, so that all are asked
	advertised time.Time
	times      int  // how often we have advertised
	asked      bool // somebody wants to hear of us
}

// ndConn speaks Neighbor Discovery on one link.
type ndConn interface {
	read() (message, error)
	advertise() error
	solicit() error
	Close() error
}

// message is what was heard.
type message struct {
	of  *neighborhood
	err error

	from         netip.Addr
	solicitation bool // otherwise an advertisement
	isDefault    bool // of a default router
}

// heard is when a router was last heard.
type heard struct {
	at        time.Time
	isDefault bool
}

func (n *neighborhood) take(m message, now time.Time) {
	if m.from == n.Addr {
		return
	}
	if !m.solicitation {
		_, known := n.heard[m.from]
		if !known && len(n.heard) == maxRouters {
			return
		}
		n.heard[m.from] = heard{now, m.isDefault}
		if known {
			return
		}
		if len(n.heard) == 2 {
			n.rivalry = now
		}
	}
	n.asked = true // a router that is new waits for us perhaps
	if now.Sub(n.advertised) >= leastGap {
		n.advertise(now)
	}
}

// tick says what is due. A single router need not be asked: it stays until another one is there.
func (n *neighborhood) tick(now time.Time) {
	n.forget(now)
	if len(n.heard) != 1 {
		_ = n.conn.solicit() // the next one may come through
	}
	if n.asked || n.times < firstAdvertisements || now.Sub(n.advertised) >= advertisePeriod {
		n.advertise(now)
	}
}

func (n *neighborhood) advertise(now time.Time) {
	if n.conn.advertise() == nil {
		n.advertised, n.times, n.asked = now, n.times+1, false
	}
}

// forget leaves out routers that are silent while another one is not. All of them may be: then it
// is the link that is ill, and there is nobody else to turn to. What a router did before it was
// asked means nothing: unasked it may say nothing for half an hour (MaxRtrAdvInterval).
func (n *neighborhood) forget(now time.Time) {
	silent := func(_ netip.Addr, h heard) bool { return min(now.Sub(h.at), now.Sub(n.rivalry)) > silence }
	for addr, h := range n.heard {
		if !silent(addr, h) {
			maps.DeleteFunc(n.heard, silent)
			return
		}
	}
}

func (n *neighborhood) found() Found {
	return Found{Routers: slices.SortedFunc(maps.Keys(n.heard), func(a, b netip.Addr) int {
		return cmp.Or(-compareBool(n.heard[a].isDefault, n.heard[b].isDefault), a.Compare(b))
	})}
}

// compareBool takes false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
