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
	errs = append(errs, spec.Kernel.validate(path.Child("kernel"))...)
	errs = append(errs, spec.Drain.validate(path.Child("drain"))...)
	errs = append(errs, spec.Readiness.validate(path.Child("readiness"))...)
	errs = append(errs, validateStations(path.Child("bmp"), spec.BMP)...)
	return append(errs, spec.CNI.validate(path.Child("cni"))...)
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
	if key == "" {
		return append(errs, field.Required(path, "write the key of a Node label, such as example.com/asn"))
	}
	return append(errs, validateLabelKey(path, key)...)
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
	errs := validateOptionalEnum(path.Child("type"), t.Type,
		TopologyFullMesh, TopologyRouteReflectors, TopologyFullMeshAndReflectors, TopologyNone)
	errs = append(errs, validateOptionalEnum(path.Child("scope"), t.Scope, ScopeSameSubnet, ScopeAll)...)
	errs = append(errs, t.validateReflectors(path)...)
	errs = append(errs, validateSecretReference(path.Child("passwordSecretRef"), t.PasswordSecretRef)...)
	return append(errs, t.BFD.validate(path.Child("bfd"))...)
}

func (t *Topology) validateReflectors(path *field.Path) field.ErrorList {
	selectsSome := t.Reflectors != nil && len(t.Reflectors.MatchLabels)+len(t.Reflectors.MatchExpressions) > 0
	errs := validateSelector(path.Child("reflectors"), t.Reflectors)
	if (t.Type == TopologyRouteReflectors || t.Type == TopologyFullMeshAndReflectors) && !selectsSome {
		errs = append(errs, field.Invalid(path.Child("reflectors"), field.OmitValueType{},
			"reflectors must select the nodes that reflect, since topology.type names reflectors: write reflectors with matchLabels, such as the label of the control plane's nodes, or topology.type: FullMesh"))
	}
	if t.ClusterID == "" {
		return errs
	}
	if id, err := parseAddress(t.ClusterID); err != nil || !id.Is4() || id.IsUnspecified() {
		errs = append(errs, field.Invalid(path.Child("clusterID"), t.ClusterID,
			"must be four octets written as an IPv4 address: write it such as 10.0.0.1, or leave it out to use the router ID"))
	}
	return errs
}

func (g *SpeakerGracefulRestart) validate(path *field.Path) field.ErrorList {
	errs := validateRange(path.Child("restartTimeSeconds"), g.RestartTimeSeconds, 1, 4095)
	errs = append(errs, validateRange(path.Child("deferralSeconds"), g.DeferralSeconds, 0, 600)...)
	errs = append(errs, validateRange(path.Child("staleSweepSeconds"), g.StaleSweepSeconds, 1, 4095)...)
	errs = append(errs, validateRange(path.Child("longLivedStaleSeconds"), g.LongLivedStaleSeconds, 0, 1<<24-1)...)
	if g.Enabled == nil || *g.Enabled {
		return errs
	}
	if g.Notification != nil && *g.Notification {
		errs = append(errs, field.Invalid(path.Child("notification"), true,
			"notification needs gracefulRestart.enabled (RFC 8538, section 2): write enabled: true, or notification: false"))
	}
	if g.LongLivedStaleSeconds != nil && *g.LongLivedStaleSeconds != 0 {
		errs = append(errs, field.Invalid(path.Child("longLivedStaleSeconds"), *g.LongLivedStaleSeconds,
			"longLivedStaleSeconds needs gracefulRestart.enabled (RFC 9494, section 3.1): write enabled: true, or longLivedStaleSeconds: 0"))
	}
	return errs
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
