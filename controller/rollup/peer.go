package rollup

import (
	"fmt"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// tally is what the nodes say of their sessions with one BGPPeer.
type tally struct {
	nodes                 []string // that should have a session
	expected, established int
	missing               []string // nodes with a session that is not up
	silent                []string // those of them whose agents have not reported
	blamed                []string // those of them that say what is wrong with the object
}

func (r *roll) peer(p *v1alpha1.BGPPeer) v1alpha1.BGPPeerStatus {
	selected := r.selected(p.Spec.NodeSelector)
	faults := r.faultsOf(v1alpha1.KindBGPPeer, p)
	t := r.tallyOf(p, r.speakingAmong(selected))
	return v1alpha1.BGPPeerStatus{
		SessionsExpected:    count(t.expected),
		SessionsEstablished: count(t.established),
		NotEstablishedNodes: firstNames(t.missing),
		Conditions: r.conditions(p.Status.Conditions,
			accepted(p.Generation, faults),
			programmed(p.Generation, r.peerMisses(p, selected, t, faults))),
	}
}

func (r *roll) tallyOf(p *v1alpha1.BGPPeer, speaking []string) tally {
	var t tally
	complaints := map[string]bool{}
	for _, problem := range r.problems[ref{v1alpha1.KindBGPPeer, p.Name}] {
		complaints[problem.node] = true
	}
	for _, node := range speaking {
		state := r.States[node]
		sessions := state.with(p.Name)
		t.established += sessions.Established
		if p.Spec.AdminState == v1alpha1.AdminDown || leavesOut(p, state, sessions, complaints[node]) {
			continue
		}
		expected := sessions.Total
		if p.Spec.ListenRange == "" {
			expected = max(1, expected)
		}
		t.nodes = append(t.nodes, node)
		t.expected += expected
		if sessions.Established >= expected {
			continue
		}
		t.missing = append(t.missing, node)
		switch {
		case state == nil:
			t.silent = append(t.silent, node)
		case complaints[node]:
			t.blamed = append(t.blamed, node)
		}
	}
	return t
}

// leavesOut reports whether a node rightly has no session: only nodes with the local address
// or interface that the BGPPeer names talk to it, and which those are, only their agents know.
func leavesOut(p *v1alpha1.BGPPeer, state *NodeState, sessions PeerSessions, complains bool) bool {
	local := p.Spec.LocalAddress != "" || p.Spec.LocalInterface != ""
	return local && state != nil && sessions.Total == 0 && !complains
}

func (r *roll) peerMisses(p *v1alpha1.BGPPeer, selected []string, t tally, faults []fault) fault {
	down := p.Spec.AdminState == v1alpha1.AdminDown
	switch {
	case invalid(faults):
		return notAccepted
	case len(selected) == 0:
		return selectsNone
	case len(r.speakingAmong(selected)) == 0:
		return withoutSpeaker(selected)
	case down && t.established > 0:
		return fault{v1alpha1.ReasonPending, fmt.Sprintf("adminState is Down; sessions that are still established: %d", t.established)}
	case down:
		return fault{v1alpha1.ReasonProgrammed, "adminState is Down: no session is wanted"}
	case t.expected == 0 && p.Spec.ListenRange != "" && len(faults) > 0:
		return notAccepted
	case t.expected == 0 && p.Spec.ListenRange != "":
		return fault{v1alpha1.ReasonPending, "no router inside listenRange has connected to a node; a router that has is expected until it has been away for ten minutes"}
	case t.expected == 0:
		return fault{v1alpha1.ReasonNoNodes, "no node that nodeSelector selects has the local address or interface"}
	case len(t.missing) == 0:
		return fault{}
	case len(t.silent) == len(t.missing):
		return silent(t.silent)
	case len(t.blamed) == len(t.missing) && len(faults) > 0:
		return fault{v1alpha1.ReasonNotAccepted, fmt.Sprintf("%d of %d sessions are established; the condition Accepted says why", t.established, t.expected)}
	}
	message := fmt.Sprintf("%d of %d sessions are established; down on %s", t.established, t.expected, some(t.missing))
	for _, f := range r.reported(ref{v1alpha1.KindBGPPeer, p.Name}, func(reason string) bool { return !slices.Contains(refusing, reason) }) {
		message += fmt.Sprintf("; %s %s", f.reason, f.message)
	}
	return fault{v1alpha1.ReasonSessionsDown, message}
}

func withoutSpeaker(selected []string) fault {
	return fault{v1alpha1.ReasonNoNodes, fmt.Sprintf("no BGPSpeaker serves a node that nodeSelector selects, such as %s", selected[0])}
}
