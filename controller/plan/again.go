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

// again makes the plan from the last one where nothing but Services and EndpointSlices has changed since: only
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
	moved := map[string]bool{}
	for key := range cow.Diff(prev.made.snap.Slices, snap.Slices) {
		moved[key] = true
	}
	if len(changed)+len(moved) == 0 {
		return &next
	}
	if len(changed)+len(moved) > snap.Services.Len()/4 {
		return nil // no cheaper than the whole
	}
	next.announcer = prev.announcer.fork(&next, snap)
	next.announcer.resay(changed, moved, prev.made.snap)
	next.sortRefusals()
	return &next
}

// sameBut reports whether all inputs but the Services are the same.
func sameBut(a, b inputs) bool {
	return sameMap(a.snap.Nodes, b.snap.Nodes) &&
		sameMap(a.snap.Namespaces, b.snap.Namespaces) &&
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
	fork.claims, fork.slices, fork.members = a.claims.fork(), a.slices.fork(), a.members.fork()
	fork.advertised = a.advertised.Map().Edit()
	fork.aggregates = a.aggregates.Map().Edit()
	fork.quiet = a.quiet.Map().Edit()
	fork.said, fork.standing = a.said.Map().Edit(), a.standing.Map().Edit()
	fork.silent = maps.Clone(a.silent)
	fork.tally = maps.Clone(a.tally)
	return &fork
}

// resay decides the prefixes anew of Services that changed, or whose endpoints did.
func (a *announcer) resay(changed, moved map[string]bool, before *snapshot.Snapshot) {
	affected := map[netip.Addr]bool{}
	touch := func(service *snapshot.Service) {
		for addr := range claimsOf(service) {
			affected[addr] = true
		}
	}
	come, gone := map[netip.Addr]bool{}, map[netip.Addr]bool{} // what is claimed now and was not, and the other way round
	for key := range changed {
		was, _ := before.Services.Get(key)
		is, _ := a.b.snap.Services.Get(key)
		for addr, c := range claimsOf(was) {
			if a.claims.drop(addr, c) {
				gone[addr] = true
			}
		}
		for addr, c := range claimsOf(is) {
			if a.claims.add(addr, c) && !gone[addr] {
				come[addr] = true
			}
			delete(gone, addr)
		}
		touch(was)
		touch(is)
	}
	a.gather(maps.Keys(come), gone)
	for key := range moved {
		was, _ := before.Slices.Get(key)
		is, _ := a.b.snap.Slices.Get(key)
		for _, slice := range []*snapshot.EndpointSlice{was, is} { // it may have been given to another Service
			if slice != nil {
				service, _ := a.b.snap.Services.Get(slice.Service)
				touch(service)
			}
		}
		if was != nil {
			a.slices.drop(was.Service, was)
		}
		if is != nil {
			a.slices.add(is.Service, is)
		}
	}
	a.refuseAnew(changed, affected)
	a.decide(hostRoutes(maps.Keys(affected)))
	aggregates := map[netip.Prefix]bool{}
	for addr := range affected {
		for _, p := range a.aggregatesOf(addr) {
			aggregates[p] = true
		}
	}
	a.decide(maps.Keys(aggregates))
	a.refuseOverridden()
	a.refuseUnowned()
}

// refuseAnew takes back the refusals of changed Services and affected addresses, and makes
// those anew that are not of an address.
func (a *announcer) refuseAnew(changed map[string]bool, affected map[netip.Addr]bool) {
	subjects := make(map[string]bool, len(affected))
	for addr := range affected {
		subjects[addr.String()] = true
	}
	a.b.plan.Refusals = slices.DeleteFunc(a.b.plan.Refusals, func(r Refusal) bool {
		return r.Object.Kind == "Service" && (changed[r.Object.Name] || subjects[r.Subject])
	})
	for key := range changed {
		if service, there := a.b.snap.Services.Get(key); there {
			a.refuseProblems(key, service)
		}
	}
}
