package gobgp

import (
	"context"
	"fmt"

	api "github.com/osrg/gobgp/v3/api"
)

// watch follows best paths, End-of-RIB markers and sessions in one stream, so that a marker
// is seen only after the paths before it are in the queue. GoBGP's channel has no bound: the
// callback only converts and notes.
func (s *Speaker) watch(ctx context.Context) error {
	request := &api.WatchEventRequest{
		Peer: &api.WatchEventRequest_Peer{},
		Table: &api.WatchEventRequest_Table{Filters: []*api.WatchEventRequest_Table_Filter{
			{Type: api.WatchEventRequest_Table_Filter_BEST, Init: true},
			{Type: api.WatchEventRequest_Table_Filter_EOR, Init: true},
		}},
		// Batches could split the paths of one prefix.
		BatchSize: 0,
	}
	if err := s.server.WatchEvent(ctx, request, s.handle); err != nil {
		return fmt.Errorf("watching the speaker: %w", err)
	}
	return nil
}

func (s *Speaker) handle(event *api.WatchEventResponse) {
	if peer := event.GetPeer(); peer != nil {
		s.handlePeer(peer)
		return
	}
	paths := event.GetTable().GetPaths()
	if len(paths) == 1 && paths[0].GetNlri() == nil {
		s.sessions.endOfRIB(parseAddr(paths[0].GetNeighborIp()), familyOf(paths[0].GetFamily()))
		signal(s.events)
		return
	}
	s.accepted.changed()
	s.reader.view = s.view.Load()
	changes, err := s.reader.changes(paths)
	if err != nil {
		s.opts.Log.Error("a path from the speaker cannot be read", "error", err)
		return
	}
	s.queue.Put(changes...)
}

func (s *Speaker) handlePeer(event *api.WatchEventResponse_PeerEvent) {
	if event.GetType() != api.WatchEventResponse_PeerEvent_STATE {
		return
	}
	state := event.GetPeer().GetState()
	established := state.GetSessionState() == api.PeerState_ESTABLISHED
	if established { // before that, GoBGP can leave the connection open of a peer that is taken away
		s.sessions.saw(parseAddr(state.GetNeighborAddress()), state.GetPeerAsn())
	}
	if s.sessions.changed(parseAddr(state.GetNeighborAddress()), established) {
		signal(s.turned)
		if !established {
			signal(s.lost)
		}
	}
	signal(s.events)
}
