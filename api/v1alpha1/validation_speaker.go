package v1alpha1

import "k8s.io/apimachinery/pkg/util/validation/field"

// localTable is the kernel's own routing table, RT_TABLE_LOCAL of rtnetlink.h.
const localTable = 255

// Validate returns all that is wrong with the object by itself, and nothing when an API
// server would take it. Defaults need not be set.
func (s *BGPSpeaker) Validate() field.ErrorList {
	path, spec := field.NewPath("spec"), &s.Spec
	errs := validateSelector(path.Child("nodeSelector"), spec.NodeSelector)
	errs = append(errs, spec.validateASN(path)...)
	errs = append(errs, validateOptionalEnum(path.Child("routerID"), spec.RouterID, RouterIDNodeIPv4, RouterIDNodeNameHash)...)
	errs = append(errs, spec.validateListenPort(path.Child("listenPort"))...)
	errs = append(errs, spec.Cluster.validate(path.Child("cluster"))...)
	errs = append(errs, spec.Topology.validate(path.Child("topology"))...)
	errs = append(errs, spec.GracefulRestart.validate(path.Child("gracefulRestart"))...)
	return append(errs, spec.Kernel.validate(path.Child("kernel"))...)
}

func (s *BGPSpeakerSpec) validateASN(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if (s.LocalASN == nil) == (s.LocalASNFrom == nil) {
		errs = append(errs, field.Invalid(path, field.OmitValueType{},
			"exactly one of localASN and localASNFrom must be set: write localASN: 64512, or localASNFrom with the nodeLabel that holds each node's number"))
	}
	errs = append(errs, validateRange(path.Child("localASN"), s.LocalASN, 1, maxASN)...)
	if s.LocalASNFrom == nil {
		return errs
	}
	key, path := s.LocalASNFrom.NodeLabel, path.Child("localASNFrom", "nodeLabel")
	switch {
	case key == "":
		errs = append(errs, field.Required(path, "write the key of a Node label, such as example.com/asn"))
	case len(key) > 317 || !labelKey.MatchString(key):
		errs = append(errs, field.Invalid(path, key, "must be the key of a label: write it such as example.com/asn"))
	}
	return errs
}

func (s *BGPSpeakerSpec) validateListenPort(path *field.Path) field.ErrorList {
	if s.ListenPort != nil && *s.ListenPort == 0 && s.Topology.Type != TopologyNone {
		return field.ErrorList{field.Invalid(path, 0,
			"listenPort 0 (never listen) needs topology.type None, because mesh peers dial each other: write topology.type: None, or a port from 1 to 65535")}
	}
	return validateRange(path, s.ListenPort, 0, 65535)
}

func (c *ClusterNetworks) validate(path *field.Path) field.ErrorList {
	errs := validatePrefixes(path.Child("podCIDRs"), c.PodCIDRs, 64)
	errs = append(errs, validatePrefixes(path.Child("serviceCIDRs"), c.ServiceCIDRs, 64)...)
	return append(errs, validatePrefixes(path.Child("nodeCIDRs"), c.NodeCIDRs, 64)...)
}

func (t *Topology) validate(path *field.Path) field.ErrorList {
	errs := validateOptionalEnum(path.Child("type"), t.Type, TopologyFullMesh, TopologyNone)
	errs = append(errs, validateOptionalEnum(path.Child("scope"), t.Scope, ScopeSameSubnet, ScopeAll)...)
	return append(errs, validateSecretReference(path.Child("passwordSecretRef"), t.PasswordSecretRef)...)
}

func (g *SpeakerGracefulRestart) validate(path *field.Path) field.ErrorList {
	errs := validateRange(path.Child("restartTimeSeconds"), g.RestartTimeSeconds, 1, 4095)
	errs = append(errs, validateRange(path.Child("deferralSeconds"), g.DeferralSeconds, 0, 600)...)
	return append(errs, validateRange(path.Child("staleSweepSeconds"), g.StaleSweepSeconds, 1, 4095)...)
}

func (k *KernelRoutes) validate(path *field.Path) field.ErrorList {
	errs := validateRange(path.Child("table"), k.Table, 1, 4294967295)
	if k.Table != nil && *k.Table == localTable {
		errs = append(errs, field.Invalid(path.Child("table"), *k.Table,
			"must not be 255: the kernel's own table local; write 254 for main or a table of your own"))
	}
	errs = append(errs, validateRange(path.Child("metric"), k.Metric, 1, 4294967295)...)
	errs = append(errs, validateRange(path.Child("maxPaths"), k.MaxPaths, 1, 128)...)
	return append(errs, validatePrefixes(path.Child("protectedPrefixes"), k.ProtectedPrefixes, 256)...)
}
