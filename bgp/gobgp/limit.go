package gobgp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-bgp/fairway/bgp"
)

const (
	// limitPeriod is how often peers with a limit are counted. GoBGP takes what a peer sends into
	// a queue without a bound, and a fast one sends some ten thousand prefixes in that time.
	limitPeriod = 50 * time.Millisecond
	// idleLimitPeriod is how often we look whether there are any.
	idleLimitPeriod = time.Second
	// limitPeriodPerPrefix keeps the counting, for which GoBGP goes through all that the peers have
	// told (some 40 ns each), to a fiftieth of the time, as long as nobody has to wait more than a second. How long an answer takes is no measure for it:
	// in a flood GoBGP is asked last, and the next look would be the later the more comes in.
	limitPeriodPerPrefix = 2 * time.Microsecond
)

// over is a peer that has told more prefixes than it may, and is kept down for it.
type over struct {
	family bgp.Family
	told   int
	limit  int // as it was
	at     time.Time
}

// keepsDown reports whether the peer is still kept down under the limit that it has now.
func (o *over) keepsDown(now bgp.PrefixLimit, at time.Time) bool {
	return o != nil && now.Shutdown && now.Max == o.limit && (now.Restart == 0 || at.Before(o.at.Add(now.Restart)))
}

// words say it to an operator.
func (o *over) words(now bgp.PrefixLimit) string {
	again := "it is tried again when maxPrefixes is changed, or adminState is Down and Up again"
	if now.Restart > 0 {
		again = fmt.Sprintf("it is tried again %s after its end", now.Restart)
	}
	return fmt.Sprintf("we sent NOTIFICATION Cease, maximum number of prefixes reached: the peer told %d prefixes of %s, and maxPrefixes is %d; %s",
		o.told, o.family, o.limit, again)
}

// enforceLimits ends the sessions with peers that have told too many prefixes, and tries those
// again whose time has come. It returns when to do so next.
//
// GoBGP's own limit is used only to end a session: it goes through all that the peer has
// told for every UPDATE, and a limit that changes while a session is up makes GoBGP forget that the
// peer offered graceful restart.
func (s *Speaker) enforceLimits(ctx context.Context) (next time.Duration) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	next = idleLimitPeriod
	var told uint64
	for _, addr := range sortedAddrs(s.held.peers) {
		p := s.held.peers[addr]
		if p.over == nil && (p.Limit.Max == 0 || !p.Limit.Shutdown) {
			continue
		}
		next = limitPeriod
		n, err := s.enforceLimit(ctx, p)
		if err != nil && ctx.Err() == nil {
			s.opts.Log.Error("the limit of prefixes could not be enforced", "peer", p.Name, "error", err)
		}
		told += n
	}
	return min(max(next, time.Duration(told)*limitPeriodPerPrefix), idleLimitPeriod)
}

// enforceLimit returns how many prefixes will have to be counted the next time.
func (s *Speaker) enforceLimit(ctx context.Context, p heldPeer) (told uint64, err error) {
	if p.over != nil {
		if p.over.keepsDown(p.Limit, time.Now()) {
			return 0, nil
		}
		wanted, changed := s.held.waiting[p.Address]
		if !changed {
			wanted = p.Peer
		}
		return 0, s.applyPeer(ctx, wanted)
	}
	if !s.sessions.get(p.Address).established {
		return 0, nil
	}
	live, err := s.livePeer(ctx, p.Address)
	if err != nil {
		return 0, err
	}
	for _, af := range live.GetAfiSafis() {
		received := af.GetState().GetReceived()
		told += received
		if received > uint64(p.Limit.Max) {
			o := &over{family: familyOf(af.GetConfig().GetFamily()), told: int(min(received, math.MaxInt32)), limit: p.Limit.Max, at: time.Now()}
			return 0, s.endOver(ctx, p, o)
		}
	}
	return told, nil
}

// endOver ends the session of a peer that is over its limit: GoBGP does that when it is told
// the limit now, and then stays idle.
func (s *Speaker) endOver(ctx context.Context, p heldPeer, o *over) error {
	conf := proto.CloneOf(p.conf)
	for _, af := range conf.GetAfiSafis() {
		if familyOf(af.GetConfig().GetFamily()) == o.family {
			af.PrefixLimits = &api.PrefixLimit{Family: af.GetConfig().GetFamily(), MaxPrefixes: uint32(o.limit)}
		}
	}
	p.over, p.unsettled = o, true
	s.held.peers[p.Address] = p
	s.sessions.ending(p.Address, o.words(p.Limit))
	_, err := s.server.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: conf})
	var live *api.Peer
	if err == nil {
		live, err = s.awaitEnd(ctx, p.Address)
	}
	if err == nil && live.GetState().GetAdminState() == api.PeerState_PFX_CT {
		return nil
	}
	// It could not be ended, or ended of itself just before and may come up again: the next look decides.
	p.over = nil
	s.held.peers[p.Address] = p
	s.sessions.ending(p.Address, "")
	return errors.Join(err, s.applyPeer(ctx, p.Peer))
}

// sayOver brings the words about a peer that is kept down up to date.
func (s *Speaker) sayOver(p heldPeer) {
	if p.over.keepsDown(p.Limit, time.Now()) {
		s.sessions.ending(p.Address, p.over.words(p.Limit))
	}
}
