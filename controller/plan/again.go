package plan

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
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
	changed := changedServices(prev.made.snap.Services, snap)
	next := *prev
	next.made = inputs{snap, local}
	next.Desired.Changes = nil
	next.Resets = nil // a Service touches no session
	if len(changed) == 0 {
		return &next
	}
	if len(changed) > len(snap.Services)/4 {
		return nil // no cheaper than the whole
	}
	next.announcer = prev.announcer.fork(&next, snap)
	next.announcer.resay(changed, prev.made.snap)
	next.sort()
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

// changedServices returns the keys that are new, gone, or stand for another object.
func changedServices(before map[string]*snapshot.Service, snap *snapshot.Snapshot) map[string]bool {
	now, changed := snap.Services, map[string]bool{}
	if same(before, now) {
		return changed
	}
	if told := snap.ServiceChanges; told != nil && same(told.From, before) {
		for _, key := range told.Keys {
			if before[key] != now[key] {
				changed[key] = true
			}
		}
		return changed
	}
	for key, service := range now {
		if before[key] != service {
			changed[key] = true
		}
	}
	if len(before) != len(now)-len(changed) { // some of before are gone, or some of now are new
		for key := range before {
			if _, still := now[key]; !still {
				changed[key] = true
			}
		}
	}
	return changed
}

// fork returns an announcer for the next plan that knows the same sayings and audiences.
func (a *announcer) fork(next *Plan, snap *snapshot.Snapshot) *announcer {
	b := *a.b
	b.plan, b.snap = next, snap
	next.Refusals = slices.Clone(next.Refusals)
	fork := *a
	fork.b = &b
	fork.claims = a.claims.fork()
	return &fork
}

// resay decides the prefixes of changed Services anew, in a copy of what is advertised.
func (a *announcer) resay(changed map[string]bool, before *snapshot.Snapshot) {
	affected := map[netip.Prefix]bool{}
	for key := range changed {
		was, is := before.Services[key], a.b.snap.Services[key]
		a.claims.replace(was, is)
		for _, service := range []*snapshot.Service{was, is} {
			if service == nil {
				continue
			}
			for _, addr := range service.ClusterIPs {
				affected[netip.PrefixFrom(addr, addr.BitLen())] = true
			}
		}
	}
	a.refuseAnew(changed)
	a.said = map[netip.Prefix]sayings{}
	a.sayPodCIDRs(func(p netip.Prefix) bool { return affected[p] })
	for prefix := range affected {
		// An address may be that of several Services, so all of them are asked.
		for _, service := range a.claims.of(prefix.Addr()) {
			a.sayService(service, prefix.Addr())
		}
	}
	from := a.b.plan.Desired.Advertisements
	a.b.plan.Desired.Advertisements = maps.Clone(from)
	a.b.plan.Desired.Changes = &bgp.Changes{From: from, Prefixes: affected}
	for prefix := range affected {
		delete(a.b.plan.Desired.Advertisements, prefix)
	}
	a.publish()
}

// refuseAnew makes the refusals of changed Services anew.
func (a *announcer) refuseAnew(changed map[string]bool) {
	a.b.plan.Refusals = slices.DeleteFunc(a.b.plan.Refusals, func(r Refusal) bool {
		return r.Object.Kind == "Service" && changed[r.Object.Name]
	})
	for key := range changed {
		if service := a.b.snap.Services[key]; service != nil {
			a.refuseProblems(key, service)
		}
	}
}
