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
		if !known || old.Down != "" || p.Down != "" {
			continue // there is no session to reset, or its end is not the configuration's doing
		}
		because := slices.Concat(all, peerChanges(old, p), restartChanges(before.Config, after.Config, old, p))
		if before.Config.RouterID == after.Config.RouterID { // which may be the cluster ID as well
			because = slices.Concat(because, reflectionChanges(old, p))
		}
		if len(because) > 0 {
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
	return note(out, a.ListenPort != b.ListenPort, "listenPort")
}

// restartChanges are the changes of graceful restart that reset the session of one peer. It
// is offered where the speaker and the peer both have it enabled; elsewhere nothing changes.
func restartChanges(a, b *bgp.Config, was, is bgp.Peer) []string {
	offered, offers := a.Enabled && was.GracefulRestart, b.Enabled && is.GracefulRestart
	var out []string
	out = note(out, offered != offers && a.Enabled != b.Enabled, "gracefulRestart.enabled")
	out = note(out, offered && offers && a.RestartTime != b.RestartTime, "gracefulRestart.restartTimeSeconds")
	out = note(out, offered && offers && a.Notification != b.Notification, "gracefulRestart.notification")
	out = note(out, offered && offers && a.LongLived != b.LongLived, "gracefulRestart.longLivedStaleSeconds")
	return note(out, offered != offers && was.GracefulRestart != is.GracefulRestart, "gracefulRestart")
}

// reflectionChanges are the changes of what reflection needs of a session. That it is no longer
// needed can wait for the end of the session.
func reflectionChanges(a, b bgp.Peer) []string {
	out := note(nil, !a.ClusterID.IsValid() && b.ClusterID.IsValid(), "topology.reflectors")
	return note(out, a.ClusterID.IsValid() && b.ClusterID.IsValid() && a.ClusterID != b.ClusterID, "topology.clusterID")
}

// peerChanges are the changes that reset the session of one peer: what its OPEN message or
// its connection is made of.
func peerChanges(a, b bgp.Peer) []string {
	var out []string
	out = note(out, a.ASN != b.ASN && a.AnyExternal == b.AnyExternal, "asn")
	out = note(out, a.AnyExternal != b.AnyExternal, "asnType")
	out = note(out, a.LocalASN != b.LocalASN, "localASN")
	out = note(out, a.Port != b.Port, "port")
	out = note(out, a.LocalAddress != b.LocalAddress, "localAddress")
	out = note(out, a.Passive != b.Passive, "passive")
	out = note(out, a.Password != b.Password, "password")
	out = note(out, a.AddPaths.Receive != b.AddPaths.Receive, "addPaths.receive")
	out = note(out, a.AddPaths.SendMax != b.AddPaths.SendMax, "addPaths.sendMax")
	return note(out, !slices.Equal(a.Families, b.Families), "families")
}

func note(list []string, changed bool, field string) []string {
	if changed {
		return append(list, field)
	}
	return list
}
