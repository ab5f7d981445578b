package plan

import (
	"cmp"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
)

// attributesOf reads what validation has found good.
func attributesOf(spec *v1alpha1.PathAttributes) bgp.Attributes {
	var a bgp.Attributes
	for _, text := range spec.Communities {
		c, err := v1alpha1.ParseCommunity(text)
		switch {
		case err != nil: // validation has seen to it
		case c.Large:
			a.LargeCommunities = append(a.LargeCommunities, bgp.LargeCommunity{GlobalAdmin: c.GlobalAdmin, Local1: c.Local1, Local2: c.Local2})
		default:
			a.Communities = append(a.Communities, bgp.Community(c.Standard))
		}
	}
	if spec.LocalPref != nil {
		v := uint32(*spec.LocalPref)
		a.LocalPref = &v
	}
	if spec.MED != nil {
		v := uint32(*spec.MED)
		a.MED = &v
	}
	if spec.ASPathPrepend != nil {
		a.Prepend = uint8(*spec.ASPathPrepend)
	}
	return a
}

// merge adds what a saying of lower precedence says: its communities join, the rest counts
// where nothing has been said yet. It returns the fields in which the lower one lost.
func merge(into *bgp.Attributes, lower bgp.Attributes) (lost []string) {
	into.Communities = joined(into.Communities, lower.Communities, cmp.Compare)
	into.LargeCommunities = joined(into.LargeCommunities, lower.LargeCommunities, compareLarge)
	choose := func(field string, into **uint32, lower *uint32) {
		switch {
		case lower == nil:
		case *into == nil:
			*into = lower
		case **into != *lower:
			lost = append(lost, field)
		}
	}
	choose("localPref", &into.LocalPref, lower.LocalPref)
	choose("med", &into.MED, lower.MED)
	switch {
	case lower.Prepend == 0 || into.Prepend == lower.Prepend:
	case into.Prepend == 0:
		into.Prepend = lower.Prepend
	default:
		lost = append(lost, "asPathPrepend")
	}
	into.LinkBandwidth = max(into.LinkBandwidth, lower.LinkBandwidth) // there is only one to tell, or none
	return lost
}

// joined returns the sorted union; the arguments stay as they are.
func joined[T comparable](a, b []T, compare func(T, T) int) []T {
	all := slices.Concat(a, b)
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}

func compareLarge(a, b bgp.LargeCommunity) int {
	return cmp.Or(cmp.Compare(a.GlobalAdmin, b.GlobalAdmin), cmp.Compare(a.Local1, b.Local1), cmp.Compare(a.Local2, b.Local2))
}

// audience returns who hears what these sayings say of a family, and with which attributes.
// The sayings are in the order of their precedence. endpoints are what this node's share of the
// traffic is told by; 0: it is not. An audience for each number would be many if it were not for how few
// numbers there are on one node.
func (a *announcer) audience(by sayings, family bgp.Family, endpoints int32) *bgp.Audience {
	if endpoints > 0 && !a.weighs(by) {
		endpoints = 0
	}
	key := audienceKey{by, family, endpoints}
	if known := a.audiences[key]; known != nil {
		return known
	}
	heard := map[string]*bgp.Attributes{} // by peer
	var lost []Refusal
	by.each(func(index int) {
		s := &a.sayings[index]
		for _, name := range s.to {
			if heard[name] == nil {
				heard[name] = &bgp.Attributes{}
			}
			attributes := s.attributes
			if s.byLocalEndpoints {
				attributes.LinkBandwidth = float32(endpoints) * bandwidthPerEndpoint
			}
			for _, field := range merge(heard[name], attributes) {
				lost = append(lost, overridden(s.ref, field, name))
			}
		}
	})
	audience := &bgp.Audience{Exports: a.exports(heard, family)}
	a.audiences[key] = audience
	if len(lost) > 0 {
		a.lost[audience] = lost
	}
	return audience
}

// refuseOverridden names the attributes that count for nothing in what is advertised.
func (a *announcer) refuseOverridden() {
	a.b.plan.Refusals = slices.DeleteFunc(a.b.plan.Refusals, func(r Refusal) bool { return r.Reason == ReasonOverridden })
	a.b.plan.Refusals = append(a.b.plan.Refusals, a.relayLost...)
	for audience, lost := range a.lost {
		if a.groups(audience) > 0 {
			a.b.plan.Refusals = append(a.b.plan.Refusals, lost...)
		}
	}
}

// weighs reports whether any of these sayings asks for a share of the traffic.
func (a *announcer) weighs(by sayings) (yes bool) {
	by.each(func(index int) { yes = yes || a.sayings[index].byLocalEndpoints })
	return yes
}

// exports groups the peers that can be told of the family by the attributes they hear.
func (a *announcer) exports(heard map[string]*bgp.Attributes, family bgp.Family) []bgp.Export {
	byText := map[string]*bgp.Export{}
	var texts []string
	for _, t := range a.b.targets {
		attributes := heard[t.peer.Name]
		if attributes == nil || !slices.Contains(t.peer.Families, family) || !t.peer.NextHops.For(family).IsValid() && !t.peer.Lends(family) {
			continue
		}
		told := *attributes
		if t.peer.Internal(a.b.asn) { // it would refuse its own number as a loop (RFC 4271, section 9.1.2)
			told.Prepend = 0
		}
		text := told.String()
		if byText[text] == nil {
			byText[text] = &bgp.Export{Attributes: told}
			texts = append(texts, text)
		}
		byText[text].To = append(byText[text].To, t.peer.Name)
	}
	slices.Sort(texts)
	out := make([]bgp.Export, len(texts))
	for i, text := range texts {
		slices.Sort(byText[text].To)
		out[i] = *byText[text]
	}
	return out
}
