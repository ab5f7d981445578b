package gobgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// Dynamic neighbors without GoBGP's.
//
// GoBGP's own have their settings from a peer group, which overwrites those of explicit peers, and take no
// part in what is decided by address here: policies, limits, the check of numbers, next hops. So whoever
// connects from a prefix that we listen for is none to GoBGP, but known by its address from then on, and made
// a peer like any other, which we dial: its first connection is refused, and many a router tries again
// after minutes. GoBGP is told of a prefix only if it has a password, which the kernel has to know before it lets a connection
// through; the peer group that this takes is one that GoBGP cannot make a neighbor of.

// callers are the addresses that connected from a prefix that we listen for, and are no peers.
type callers struct {
	heard chan<- struct{} // to be signalled

	mu      sync.Mutex
	from    []netip.Prefix
	peers   map[netip.Addr]bgp.Peer // those that are wanted, and may not be there yet
	waiting map[netip.Addr]bool
}

// maxWaiting bounds the callers that nobody has asked for yet.
const maxWaiting = 1024

// What GoBGP says of a connection from an address that is no peer's, without and with a password
// for its prefix.
const (
	strangerRefused = "Can't find configuration for a new passive connection"
	callerRefused   = "Can't create new Dynamic Peer"
)

// note takes the address of a connection that GoBGP refuses.
func (c *callers) note(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, peer := c.peers[addr]
	inside := slices.ContainsFunc(c.from, func(p netip.Prefix) bool { return p.Contains(addr.WithZone("")) })
	if peer || !inside || len(c.waiting) >= maxWaiting {
		return
	}
	if c.waiting == nil {
		c.waiting = map[netip.Addr]bool{}
	}
	c.waiting[addr] = true
	signal(c.heard)
}

// listen has those noted that are inside the prefixes and no peers.
func (c *callers) listen(w wanted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from, c.peers = nil, w.peers
	for _, l := range w.listens {
		c.from = append(c.from, l.Prefix)
	}
}

// Callers returns the addresses from which somebody has connected since the last call who is no
// peer, out of the prefixes that we listen for. SessionEvents tells of them.
func (s *Speaker) Callers() []netip.Addr {
	c := &s.log.callers
	c.mu.Lock()
	defer c.mu.Unlock()
	addrs := sortedAddrs(c.waiting)
	c.waiting = nil
	return addrs
}

// applyListen has the listening sockets let through what is signed with the passwords of prefixes.
func (s *Speaker) applyListen(ctx context.Context, want []bgp.Listen) []error {
	guarded := map[netip.Prefix]bgp.Secret{}
	for _, l := range want {
		if l.Password != "" {
			guarded[l.Prefix] = l.Password
		}
	}
	var errs []error
	for _, prefix := range sortedPrefixes(s.held.listens) {
		if guarded[prefix] != s.held.listens[prefix] {
			errs = append(errs, listeningError(prefix, s.unguard(ctx, prefix)))
		}
	}
	for _, prefix := range sortedPrefixes(guarded) {
		if _, held := s.held.listens[prefix]; !held {
			errs = append(errs, listeningError(prefix, s.guard(ctx, prefix, guarded[prefix])))
		}
	}
	return errs
}

func listeningError(prefix netip.Prefix, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("listening for %s: %w", prefix, err)
}

func sortedPrefixes[V any](m map[netip.Prefix]V) []netip.Prefix {
	return slices.SortedFunc(maps.Keys(m), netip.Prefix.Compare)
}

// guard sets the password of a prefix.
func (s *Speaker) guard(ctx context.Context, prefix netip.Prefix, password bgp.Secret) error {
	group := &api.PeerGroup{Conf: &api.PeerGroupConf{
		PeerGroupName: groupOf(prefix),
		AuthPassword:  string(password),
		// GoBGP makes no neighbor of our own AS that is to have private numbers removed.
		PeerAsn:       s.held.config.ASN,
		RemovePrivate: api.RemovePrivate_REMOVE_ALL,
	}}
	s.log.clearMD5Failure(prefix)
	if err := s.server.AddPeerGroup(ctx, &api.AddPeerGroupRequest{PeerGroup: group}); err != nil {
		return err
	}
	s.held.listens[prefix] = password
	neighbor := &api.DynamicNeighbor{Prefix: prefix.String(), PeerGroup: groupOf(prefix)}
	if err := s.server.AddDynamicNeighbor(ctx, &api.AddDynamicNeighborRequest{DynamicNeighbor: neighbor}); err != nil {
		return errors.Join(err, s.unguard(ctx, prefix))
	}
	if failure := s.log.md5Failure(prefix); failure != nil {
		return errors.Join(fmt.Errorf("its password could not be set on the listening socket: %w", failure), s.unguard(ctx, prefix))
	}
	return nil
}

// unguard takes the password of a prefix away. GoBGP crashes at a group that it does not have.
func (s *Speaker) unguard(ctx context.Context, prefix netip.Prefix) error {
	name := groupOf(prefix)
	if s.groupExists(ctx, name) {
		if err := s.server.DeleteDynamicNeighbor(ctx, &api.DeleteDynamicNeighborRequest{Prefix: prefix.String(), PeerGroup: name}); err != nil {
			return err
		}
		if err := s.server.DeletePeerGroup(ctx, &api.DeletePeerGroupRequest{Name: name}); err != nil {
			return err
		}
	}
	delete(s.held.listens, prefix)
	return nil
}

func groupOf(prefix netip.Prefix) string { return "fairway-listen-" + prefix.String() }

// checkListen refuses what GoBGP, or the kernel, would take for something else.
func checkListen(list []bgp.Listen) (good []bgp.Listen, errs []error) {
	taken := map[netip.Prefix]bool{}
	for _, l := range list {
		var err error
		switch {
		case !l.Prefix.IsValid() || l.Prefix != l.Prefix.Masked() || l.Prefix.Addr().Is4In6():
			err = errors.New("it is not a valid prefix, or host bits are set")
		case taken[l.Prefix]:
			err = errors.New("it is there twice")
		case len(l.Password) > maxPassword:
			err = fmt.Errorf("its password is longer than the %d bytes that TCP MD5 allows", maxPassword)
		}
		if err != nil {
			errs = append(errs, listeningError(l.Prefix, err))
			continue
		}
		taken[l.Prefix] = true
		good = append(good, l)
	}
	return good, errs
}
