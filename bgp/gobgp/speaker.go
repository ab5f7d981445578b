// Package gobgp is the BGP speaker of Fairway: an embedded GoBGP v3 that holds exactly the
// [bgp.Desired] it was last given.
//
// What it keeps true:
//   - A peer hears a prefix if and only if it is in the audience of its advertisement, with
//     the next hop that is meant for that peer. Nothing else is exported but what is reflected
//     (RFC 4456), and a learned path enters the RIB only if a rule of its peer allows it and
//     our own AS is not in it.
//   - A peer with a password is refused until the sockets hold the password; if they cannot,
//     it stays refused.
//   - What did not change is not touched: a session is reset only by a change of its own peer
//     that cannot be applied to a live session.
//   - A peer or a prefix that cannot work affects itself alone.
//
// Every property of GoBGP v3 that has to be worked around is named where it is.
package gobgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/server"

	"github.com/fairway-bgp/fairway/bgp"
)

// Options are what a speaker is started with; they do not change while it runs.
type Options struct {
	Log *slog.Logger

	// GRPCAddress is where GoBGP's own gRPC API listens: "127.0.0.1:50051" or
	// "unix:///path", several separated by commas; empty: nowhere.
	GRPCAddress string
	// GRPCWritable lets clients of the gRPC API change the speaker. Otherwise only List*,
	// Get* and WatchEvent pass.
	GRPCWritable bool

	// Restarting says that our routes are in the kernel already, from before a restart of
	// the process: the first sessions tell the peers so (RFC 4724, section 4.1).
	Restarting bool
}

// Speaker is an embedded GoBGP. Run owns it; Apply says what it shall hold.
type Speaker struct {
	opts   Options
	log    *logger
	queue  *bgp.RIBQueue
	events chan struct{} // a session changed
	lost   chan struct{} // a session ended
	turned chan struct{} // a session came up or ended

	ready  chan struct{} // closed once server serves
	server *server.BgpServer

	applyMu sync.Mutex // held by whoever starts, stops or changes the server
	held    held
	last    *lastApplied        // nil after a failure
	want    bgp.Desired         // of the last Apply
	lends   map[netip.Addr]bool // peers whose session takes IPv6 next hops for IPv4

	view     atomic.Pointer[view]
	reader   reader // of the watch alone
	sessions *sessionLog
	accepted acceptedCount
}

// New checks the options and prepares a speaker. It starts nothing.
func New(opts Options) (*Speaker, error) {
	if opts.Log == nil {
		return nil, errors.New("a speaker needs a logger")
	}
	if err := checkGRPCAddress(opts.GRPCAddress); err != nil {
		return nil, err
	}
	sessions, events := newSessionLog(), make(chan struct{}, 1)
	s := &Speaker{
		opts:     opts,
		log:      newLogger(opts.Log, sessions, events),
		queue:    bgp.NewRIBQueue(),
		events:   events,
		lost:     make(chan struct{}, 1),
		turned:   make(chan struct{}, 1),
		ready:    make(chan struct{}),
		held:     held{restarting: opts.Restarting},
		sessions: sessions,
	}
	s.view.Store(&view{})
	return s, nil
}

// Run serves until ctx is done. It then returns without closing the sessions: a peer that
// helps a graceful restart would drop our routes at any NOTIFICATION, so a restart must be
// silent. GoBGP's goroutines have no end; the process is expected to exit.
func (s *Speaker) Run(ctx context.Context) error {
	if err := prepareGRPCSockets(s.opts.GRPCAddress); err != nil {
		return err
	}
	s.log.ctx = ctx
	options := []server.ServerOption{server.LoggerOption(s.log)}
	if s.opts.GRPCAddress != "" {
		guard := &guard{writable: s.opts.GRPCWritable, groupExists: s.groupExists}
		options = append(options,
			server.GrpcListenAddress(s.opts.GRPCAddress),
			server.GrpcOption(guard.serverOptions()))
	}
	s.server = server.NewBgpServer(options...)
	go s.server.Serve()
	if err := s.watch(ctx); err != nil {
		return err
	}
	close(s.ready)
	if err := tightenGRPCSockets(ctx, s.opts.GRPCAddress); err != nil {
		return err
	}
	limits := time.NewTimer(limitPeriod)
	defer limits.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-limits.C:
			limits.Reset(s.enforceLimits(ctx))
		case <-s.sessions.seen:
			s.checkASNs(ctx)
		case <-s.turned:
			s.checkNextHops(ctx)
		case <-s.lost:
			s.applyWaiting(ctx)
		case <-s.log.synced:
			s.rearm(ctx)
		}
	}
}

// Shutdown closes every session with a Cease, so that the peers drop our routes at once: for
// a drain or an uninstall, not for a restart. A later Apply starts the speaker again.
func (s *Speaker) Shutdown(ctx context.Context) error {
	select {
	case <-s.ready:
	default:
		return nil
	}
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	return s.stop(ctx)
}

// Queue holds the newest paths of every prefix that peers told us and whose best paths
// changed. Prefixes that only we originate appear, if at all, without paths.
func (s *Speaker) Queue() *bgp.RIBQueue { return s.queue }

// SessionEvents is readable after a session changed its state.
func (s *Speaker) SessionEvents() <-chan struct{} { return s.events }

// waitReady returns once the server serves: GoBGP's calls would block for ever before.
func (s *Speaker) waitReady(ctx context.Context) error {
	select {
	case <-s.ready:
		return ctx.Err()
	case <-ctx.Done():
		return fmt.Errorf("the speaker is not running: %w", ctx.Err())
	}
}

// groupExists reports whether GoBGP knows the peer group.
func (s *Speaker) groupExists(ctx context.Context, name string) bool {
	found := false
	err := s.server.ListPeerGroup(ctx, &api.ListPeerGroupRequest{PeerGroupName: name}, func(*api.PeerGroup) { found = true })
	return err == nil && found
}

// signal makes c readable, once for any number of calls.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
