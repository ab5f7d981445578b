package v1alpha1

import (
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate returns all that is wrong with the object by itself, and nothing when an API
// server would take it. Defaults need not be set.
func (a *BGPAdvertisement) Validate() field.ErrorList {
	path, spec := field.NewPath("spec"), &a.Spec
	errs := validateSelector(path.Child("nodeSelector"), spec.NodeSelector)
	errs = append(errs, validateSelector(path.Child("to", "peerSelector"), spec.To.PeerSelector)...)
	if spec.PodCIDRs == nil && spec.Services == nil && spec.FromMesh == nil && spec.Prefixes == nil {
		errs = append(errs, field.Invalid(path, field.OmitValueType{},
			"at least one of podCIDRs, services, fromMesh and prefixes must be set: write podCIDRs: {} for the nodes' pod CIDRs, or services with addressTypes"))
	}
	errs = append(errs, spec.Services.validate(path.Child("services"))...)
	errs = append(errs, spec.validateFromMesh(path)...)
	errs = append(errs, validateAdvertisedPrefixes(path.Child("prefixes"), spec.Prefixes)...)
	return append(errs, spec.Attributes.validate(path.Child("attributes"))...)
}

func (s *AdvertisedServices) validate(path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := validateSelector(path.Child("selector"), s.Selector)
	errs = append(errs, validateSelector(path.Child("namespaceSelector"), s.NamespaceSelector)...)
	errs = append(errs, s.validateRanges(path)...)
	errs = append(errs, validateRange(path.Child("aggregation", "ipv4Length"), s.Aggregation.IPv4Length, 1, 32)...)
	errs = append(errs, validateRange(path.Child("aggregation", "ipv6Length"), s.Aggregation.IPv6Length, 1, 128)...)
	path = path.Child("addressTypes")
	if s.AddressTypes == nil {
		return append(errs, field.Required(path, "write at least one of ClusterIP, ExternalIP and LoadBalancerIP"))
	}
	return append(errs, validateEnumSet(path, s.AddressTypes, AddressClusterIP, AddressExternalIP, AddressLoadBalancerIP)...)
}

// validateRanges leaves a missing addressTypes to the rule that demands it.
func (s *AdvertisedServices) validateRanges(path *field.Path) field.ErrorList {
	external, balancer := path.Child("externalIPRanges"), path.Child("loadBalancerIPRanges")
	errs := validateSomePrefixes(external, s.ExternalIPRanges, 64)
	errs = append(errs, validateSomePrefixes(balancer, s.LoadBalancerIPRanges, 64)...)
	if s.AddressTypes == nil {
		return errs
	}
	if s.ExternalIPRanges != nil && !slices.Contains(s.AddressTypes, AddressExternalIP) {
		errs = append(errs, field.Invalid(external, field.OmitValueType{},
			"externalIPRanges needs ExternalIP among addressTypes: add it there, or leave externalIPRanges out"))
	}
	if s.LoadBalancerIPRanges != nil && !slices.Contains(s.AddressTypes, AddressLoadBalancerIP) {
		errs = append(errs, field.Invalid(balancer, field.OmitValueType{},
			"loadBalancerIPRanges needs LoadBalancerIP among addressTypes: add it there, or leave loadBalancerIPRanges out"))
	}
	return errs
}

func (s *BGPAdvertisementSpec) validateFromMesh(path *field.Path) field.ErrorList {
	errs := validateOptionalEnum(path.Child("nextHop"), s.NextHop, NextHopSelf, NextHopUnchanged)
	from := s.FromMesh
	if s.NextHop == NextHopUnchanged && from == nil {
		errs = append(errs, field.Invalid(path.Child("nextHop"), s.NextHop,
			"nextHop Unchanged needs fromMesh, because a node's own prefixes have no other next hop: write fromMesh: {podCIDRs: true}, or nextHop: Self"))
	}
	if from != nil && !isTrue(from.PodCIDRs) && !isTrue(from.Services) {
		errs = append(errs, field.Invalid(path.Child("fromMesh"), field.OmitValueType{},
			"at least one of podCIDRs and services must be true: write podCIDRs: true, or leave fromMesh out"))
	}
	return errs
}

func isTrue(b *bool) bool { return b != nil && *b }

func validateAdvertisedPrefixes(path *field.Path, prefixes []AdvertisedPrefix) field.ErrorList {
	if prefixes != nil && len(prefixes) == 0 {
		return field.ErrorList{field.Invalid(path, prefixes, needEntry)}
	}
	var errs field.ErrorList
	if len(prefixes) > 256 {
		errs = append(errs, field.TooMany(path, len(prefixes), 256))
	}
	seen := sets.New[string]()
	for i := range prefixes {
		if text := prefixes[i].Prefix; seen.Has(text) {
			errs = append(errs, field.Duplicate(path.Index(i), text))
		}
		seen.Insert(prefixes[i].Prefix)
		errs = append(errs, validatePrefix(path.Index(i).Child("prefix"), prefixes[i].Prefix)...)
	}
	return errs
}

func (a *PathAttributes) validate(path *field.Path) field.ErrorList {
	errs := validateCommunities(path.Child("communities"), a.Communities)
	errs = append(errs, validateRange(path.Child("localPref"), a.LocalPref, 0, math.MaxUint32)...)
	errs = append(errs, validateRange(path.Child("med"), a.MED, 0, math.MaxUint32)...)
	errs = append(errs, validateRange(path.Child("asPathPrepend"), a.ASPathPrepend, 0, 16)...)
	return append(errs, validateOptionalEnum(path.Child("linkBandwidth"), a.LinkBandwidth,
		LinkBandwidthNone, LinkBandwidthByLocalEndpoints)...)
}
