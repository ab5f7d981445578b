package rollup

import (
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// NodeState is what the roll-up needs of a BGPNodeState: little, as there may be thousands,
// and none of the counters that always move.
type NodeState struct {
	Ready  bool
	Reason string // why not
	// Sessions counts those with each BGPPeer, by name.
	Sessions []PeerSessions
	// Unlisted reports whether there are established sessions that Sessions does not count.
	Unlisted bool
	// MeshNodes is how many other nodes this one has sessions with.
	MeshNodes      int
	Advertisements []Advertised
	// Problems are those of configuration objects; messages are cut to 256 bytes.
	Problems []v1alpha1.Problem
}

// PeerSessions counts the sessions of one node with one BGPPeer.
type PeerSessions struct {
	Peer               string
	Established, Total int
}

// Advertised is what became, on one node, of what one field of a BGPAdvertisement asks for.
type Advertised struct {
	Name       string
	Source     v1alpha1.AdvertisedSource
	Advertised int
	Rejected   []v1alpha1.RefusedCount
}

const maxProblemMessage = 256

// NodeStateFrom takes what is needed; the result shares no memory with the object but texts.
func NodeStateFrom(o *v1alpha1.BGPNodeState) *NodeState {
	s := &NodeState{Reason: v1alpha1.ReasonPending}
	if ready := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		s.Ready, s.Reason = ready.Status == "True", ready.Reason
	}
	s.countSessions(&o.Status)
	for _, a := range o.Status.Advertisements {
		s.Advertisements = append(s.Advertisements, Advertised{
			Name: a.Name, Source: a.Source, Advertised: int(a.Advertised), Rejected: slices.Clone(a.Rejected),
		})
	}
	for _, p := range o.Status.Problems {
		switch p.Kind {
		case v1alpha1.KindBGPSpeaker, v1alpha1.KindBGPPeer, v1alpha1.KindBGPAdvertisement:
			p.Message = cut(p.Message, maxProblemMessage)
			s.Problems = append(s.Problems, p)
		}
	}
	return s
}

// countSessions counts by BGPPeer. The worst are listed first, so where the list is not long
// enough for all and ends with established ones, those left out are established too.
func (s *NodeState) countSessions(status *v1alpha1.BGPNodeStateStatus) {
	at := map[string]int{}
	mesh := map[string]bool{}
	for _, session := range status.Sessions {
		name := session.Peer
		if strings.HasPrefix(name, v1alpha1.MeshPeer+"/") {
			mesh[name] = true
			continue
		}
		i, known := at[name]
		if !known {
			i = len(s.Sessions)
			at[name], s.Sessions = i, append(s.Sessions, PeerSessions{Peer: name})
		}
		s.Sessions[i].Total++
		if session.State == v1alpha1.SessionEstablished {
			s.Sessions[i].Established++
		}
	}
	s.MeshNodes = len(mesh)
	if n := len(status.Sessions); n > 0 && int(status.SessionsTotal) > n {
		s.Unlisted = status.Sessions[n-1].State == v1alpha1.SessionEstablished
	}
}

// with returns the sessions with a BGPPeer. nil stands for a node that has said nothing.
func (s *NodeState) with(peer string) PeerSessions {
	if s == nil {
		return PeerSessions{Peer: peer}
	}
	for _, sessions := range s.Sessions {
		if sessions.Peer == peer {
			return sessions
		}
	}
	if s.Unlisted {
		return PeerSessions{Peer: peer, Established: 1, Total: 1}
	}
	return PeerSessions{Peer: peer}
}

// cut shortens a text to at most limit bytes, and shows that it did.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	return strings.ToValidUTF8(text[:limit-len(mark)], "") + mark
}

// count fits a count into the schema's integers.
func count(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }
