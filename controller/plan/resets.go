package plan

import (
	"slices"

	"github.com/fairway-bgp/fairway/bgp"
)

// Reset is a session that a plan ends, to begin it anew as the plan wants it.
type Reset struct {
	Peer    string   // name of the session's Peer
	Because []string // what changed, as the API's fields are called
}

// resets returns the sessions that both plans have and that the step from one to the other
// resets, sorted by peer. Whatever else changes is carried out while they stay up.
func resets(before, after bgp.Desired) []Reset {
	if before.Config == nil || after.Config == nil {
		return nil
	}
	all := speakerChanges(before.Config, after.Config)
	was := map[string]bgp.Peer{}
	for _, p := range before.Peers {
		was[p.Name] = p
	}
	var out []Reset
	for _, p := range after.Peers {
		old, known := was[p.Name]
		if !known {
			continue
		}
		if because := slices.Concat(all, peerChanges(old, p)); len(because) > 0 {
			out = append(out, Reset{p.Name, because})
		}
	}
	return out
}

// speakerChanges are the changes that reset every session.
func speakerChanges(a, b *bgp.Config) []string {
	var out []string
	out = note(out, a.ASN != b.ASN, "localASN")
	out = note(out, a.RouterID != b.RouterID, "routerID")
	out = note(out, a.ListenPort != b.ListenPort, "listenPort")
	out = note(out, a.GracefulRestart.Enabled != b.GracefulRestart.Enabled, "gracefulRestart.enabled")
	return note(out, a.RestartTime != b.RestartTime, "gracefulRestart.restartTimeSeconds")
}

// peerChanges are the changes that reset the session of one peer: what its OPEN message or
// its connection is made of.
func peerChanges(a, b bgp.Peer) []string {
	var out []string
	out = note(out, a.ASN != b.ASN, "asn")
	out = note(out, a.Port != b.Port, "port")
	out = note(out, a.LocalAddress != b.LocalAddress, "localAddress")
	out = note(out, a.Passive != b.Passive, "passive")
	out = note(out, a.Password != b.Password, "password")
	out = note(out, !slices.Equal(a.Families, b.Families), "families")
	return note(out, a.GracefulRestart != b.GracefulRestart, "gracefulRestart")
}

func note(list []string, changed bool, field string) []string {
	if changed {
		return append(list, field)
	}
	return list
}
