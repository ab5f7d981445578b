package plan

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// inputs are what a plan was made of.
type inputs struct {
	snap  *snapshot.Snapshot
	local Local
}

// again makes the plan from the last one where nothing but Services has changed since: only
// the prefixes of those that changed are decided anew, and the rest is shared. It returns
// what a whole Build would, or nil where that is needed.
func again(snap *snapshot.Snapshot, local Local, prev *Plan) *Plan {
	if prev == nil || prev.announcer == nil || !sameBut(prev.made, inputs{snap, local}) {
		return nil
	}
	next := *prev
	next.made = inputs{snap, local}
	next.Resets = nil // a Service touches no session
	changed := map[string]bool{}
	for key := range cow.Diff(prev.made.snap.Services, snap.Services) {
		changed[key] = true
	}
	if len(changed) == 0 {
		return &next
	}
	if len(changed) > snap.Services.Len()/4 {
		return nil // no cheaper than the whole
	}
	next.announcer = prev.announcer.fork(&next, snap)
	next.announcer.resay(changed, prev.made.snap)
	next.sortRefusals()
	return &next
}

// sameBut reports whether all inputs but the Services are the same.
func sameBut(a, b inputs) bool {
	return sameMap(a.snap.Nodes, b.snap.Nodes) &&
		sameMap(a.snap.Speakers, b.snap.Speakers) &&
		sameMap(a.snap.Peers, b.snap.Peers) &&
		sameMap(a.snap.Advertisements, b.snap.Advertisements) &&
		sameMap(a.snap.Passwords, b.snap.Passwords) &&
		slices.Equal(a.snap.ServiceCIDRs, b.snap.ServiceCIDRs) &&
		slices.Equal(a.snap.APIServers, b.snap.APIServers) &&
		slices.Equal(a.snap.Unreadable, b.snap.Unreadable) &&
		a.snap.Fallback == b.snap.Fallback &&
		reflect.DeepEqual(a.local, b.local)
}

// same reports whether two variables hold the very same map.
func same[V any](a, b map[string]V) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// sameMap compares two maps of comparable values. Sources share the maps that have not
// changed, which makes it a look at two pointers.
func sameMap[V comparable](a, b map[string]V) bool {
	if same(a, b) {
		return true
	}
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			return false
		}
	}
	return true
}

// fork returns an announcer for the next plan that knows the same sayings and audiences.
func (a *announcer) fork(next *Plan, snap *snapshot.Snapshot) *announcer {
	b := *a.b
	b.plan, b.snap = next, snap
	next.Refusals = slices.Clone(next.Refusals)
	fork := *a
	fork.b = &b
	fork.claims = claims{a.claims.Map().Edit()}
	fork.advertised = a.advertised.Map().Edit()
	fork.tally = maps.Clone(a.tally)
	return &fork
}

// resay decides the prefixes of changed Services anew.
func (a *announcer) resay(changed map[string]bool, before *snapshot.Snapshot) {
	affected := map[netip.Prefix]bool{}
	for key := range changed {
		was, _ := before.Services.Get(key)
		is, _ := a.b.snap.Services.Get(key)
		for prefix := range prefixesOf(was) {
			a.claims.drop(prefix, was)
			affected[prefix] = true
		}
		for prefix := range prefixesOf(is) {
			a.claims.add(prefix, is)
			affected[prefix] = true
		}
	}
	a.refuseAnew(changed)
	a.decide(maps.Keys(affected))
}

// refuseAnew makes the refusals of changed Services anew.
func (a *announcer) refuseAnew(changed map[string]bool) {
	a.b.plan.Refusals = slices.DeleteFunc(a.b.plan.Refusals, func(r Refusal) bool {
		return r.Object.Kind == "Service" && changed[r.Object.Name]
	})
	for key := range changed {
		if service, there := a.b.snap.Services.Get(key); there {
			a.refuseProblems(key, service)
		}
	}
}
