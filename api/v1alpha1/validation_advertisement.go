package v1alpha1

import "k8s.io/apimachinery/pkg/util/validation/field"

// Validate returns all that is wrong with the object by itself, and nothing when an API
// server would take it. Defaults need not be set.
func (a *BGPAdvertisement) Validate() field.ErrorList {
	path, spec := field.NewPath("spec"), &a.Spec
	errs := validateSelector(path.Child("nodeSelector"), spec.NodeSelector)
	errs = append(errs, validateSelector(path.Child("to", "peerSelector"), spec.To.PeerSelector)...)
	if spec.PodCIDRs == nil && spec.Services == nil {
		errs = append(errs, field.Invalid(path, field.OmitValueType{},
			"at least one of podCIDRs and services must be set: write podCIDRs: {} for the nodes' pod CIDRs, or services with addressTypes"))
	}
	return append(errs, spec.Services.validate(path.Child("services"))...)
}

func (s *AdvertisedServices) validate(path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := validateSelector(path.Child("selector"), s.Selector)
	path = path.Child("addressTypes")
	if s.AddressTypes == nil {
		return append(errs, field.Required(path, "write at least one of ClusterIP, ExternalIP and LoadBalancerIP"))
	}
	return append(errs, validateEnumSet(path, s.AddressTypes, AddressClusterIP, AddressExternalIP, AddressLoadBalancerIP)...)
}
