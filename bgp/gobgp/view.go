package gobgp

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/bgp"
)

// view is what readers need to know of the last Apply. It is never changed, only replaced.
type view struct {
	asn        uint32
	running    bool
	wanted     []bgp.Peer                        // all that were asked for, sorted by name
	peers      map[netip.Addr]bgp.Peer           // those that can work, by address without zone
	refused    map[string]string                 // by name: why the peer does not work
	advertised map[netip.Addr]map[bgp.Family]int // by address
	relays     map[int]relay                     // by number
}

// publish makes the outcome of an Apply known to the readers.
func (s *Speaker) publish(want bgp.Desired, w wanted, now []audience, err error) {
	v := &view{
		running:    s.held.config != nil,
		wanted:     slices.Clone(want.Peers),
		peers:      make(map[netip.Addr]bgp.Peer, len(w.peers)),
		refused:    map[string]string{},
		advertised: map[netip.Addr]map[bgp.Family]int{},
		relays:     s.held.policy.relays,
	}
	if v.running {
		v.asn = s.held.config.ASN
	} else if want.Config != nil && err != nil {
		for _, p := range want.Peers {
			v.refused[p.Name] = err.Error()
		}
	}
	slices.SortStableFunc(v.wanted, func(a, b bgp.Peer) int { return strings.Compare(a.Name, b.Name) })
	for addr, p := range w.peers {
		v.peers[addr.WithZone("")] = p
	}
	for _, a := range now {
		for addr := range a.class.members {
			if v.advertised[addr] == nil {
				v.advertised[addr] = map[bgp.Family]int{}
			}
			v.advertised[addr][a.class.family] += len(a.prefixes)
		}
	}
	for _, failure := range peerErrors(err) {
		v.refused[failure.Peer] = failure.Err.Error()
	}
	s.view.Store(v)
	s.sessions.keep(v.peers)
}

// peerErrors finds the PeerErrors in a joined error.
func peerErrors(err error) []*bgp.PeerError {
	var found []*bgp.PeerError
	for _, part := range bgp.Errors(err) {
		var failure *bgp.PeerError
		if errors.As(part, &failure) {
			found = append(found, failure)
		}
	}
	return found
}
