package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// globalTable is GoBGP's name for the one table of a speaker that is no route server.
const globalTable = "global"

// applyConfig starts, stops or restarts the speaker, as far as it has to.
func (s *Speaker) applyConfig(ctx context.Context, want *bgp.Config) error {
	if want == nil {
		return s.stop(ctx)
	}
	if err := checkConfig(*want); err != nil {
		return fmt.Errorf("speaker: %w", err)
	}
	if have := s.held.config; have != nil && (have.ASN != want.ASN || have.RouterID != want.RouterID || have.ListenPort != want.ListenPort) {
		if err := s.stop(ctx); err != nil {
			return err
		}
	}
	if s.held.config == nil {
		if err := s.start(ctx, *want); err != nil {
			return err
		}
	}
	config := *want
	s.held.config = &config
	s.held.gr.enabled, s.held.gr.restartTime = want.GracefulRestart.Enabled, want.GracefulRestart.RestartTime
	s.held.gr.notification, s.held.gr.longLived = want.GracefulRestart.Notification, want.GracefulRestart.LongLived
	return nil
}

// start starts GoBGP with a policy that lets nothing through but our own paths inwards.
func (s *Speaker) start(ctx context.Context, c bgp.Config) error {
	global := &api.Global{
		Asn:              c.ASN,
		RouterId:         c.RouterID.String(),
		ListenPort:       -1,
		UseMultiplePaths: true,
		// Otherwise the oldest eBGP path wins a tie, and nodes disagree for ever.
		RouteSelectionOptions: &api.RouteSelectionOptionsConfig{ExternalCompareRouterId: true},
	}
	if c.ListenPort != 0 {
		global.ListenPort = int32(c.ListenPort)
		global.ListenAddresses = listenAddresses()
	}
	if err := s.server.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		// A second listener that fails leaves the first one open.
		return errors.Join(fmt.Errorf("%w: %w", bgp.ErrNotStarted, listenError(c.ListenPort, err)), s.stopServer(ctx))
	}
	s.held.started = time.Now()
	s.held.peers = map[netip.Addr]heldPeer{}
	s.held.waiting = map[netip.Addr]bgp.Peer{}
	s.held.paths = map[netip.Prefix]int{}
	s.held.listens = map[netip.Prefix]bgp.Secret{}
	s.held.request = nil
	s.held.gr.deferral = c.GracefulRestart.Deferral
	if err := s.setPolicy(ctx, policy{asn: c.ASN}); err != nil {
		return errors.Join(err, s.stopServer(ctx))
	}
	for direction, name := range map[api.PolicyDirection]string{
		api.PolicyDirection_IMPORT: importPolicy,
		api.PolicyDirection_EXPORT: exportPolicy,
	} {
		err := s.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
			Name:          globalTable,
			Direction:     direction,
			Policies:      []*api.Policy{{Name: name}},
			DefaultAction: api.RouteAction_REJECT,
		}})
		if err != nil {
			return errors.Join(fmt.Errorf("assigning the policy: %w", err), s.stopServer(ctx))
		}
	}
	return nil
}

// stop closes every session with a Cease and forgets everything. What the peers told us is
// withdrawn from the queue's point of view, too.
func (s *Speaker) stop(ctx context.Context) error {
	if s.held.config == nil {
		return nil
	}
	if err := errors.Join(s.applyListen(ctx, nil)...); err != nil { // GoBGP's StopBgp leaves that alone
		return err
	}
	if err := s.stopServer(ctx); err != nil {
		return err
	}
	s.held, s.last = held{stations: s.held.stations}, nil // GoBGP's StopBgp leaves those alone
	return nil
}

// stopServer calls StopBgp, which heeds no context.
func (s *Speaker) stopServer(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.server.StopBgp(context.WithoutCancel(ctx), &api.StopBgpRequest{}) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("stopping the speaker: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping the speaker: %w", ctx.Err())
	}
}

// listenAddresses returns the wildcard of every family that the host has.
func listenAddresses() []string {
	addresses := []string{netip.IPv4Unspecified().String()}
	l, err := net.ListenTCP("tcp6", &net.TCPAddr{IP: net.IPv6unspecified})
	if err == nil {
		l.Close()
		addresses = append(addresses, netip.IPv6Unspecified().String())
	}
	return addresses
}

// listenError says what to do about a failure to listen.
func listenError(port uint16, err error) error {
	where := "TCP port " + strconv.Itoa(int(port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("starting the speaker: %s is in use: stop the other BGP daemon of this node, or set another listenPort: %w", where, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("starting the speaker: %s needs the capability NET_BIND_SERVICE: %w", where, err)
	}
	return fmt.Errorf("starting the speaker: %w", err)
}
