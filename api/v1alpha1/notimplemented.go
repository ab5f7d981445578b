package v1alpha1

// without is a field that has no effect in this release. An issue that gives it one deletes
// its line, and the field joins those with effect in notimplemented_test.go.
type without[Spec any] struct {
	path string
	// set says whether it is something other than its default, filled in or not.
	set func(*Spec) bool
}

var speakerFieldsWithoutEffect = []without[BGPSpeakerSpec]{
	{"spec.topology.bfd", func(s *BGPSpeakerSpec) bool { return s.Topology.BFD != nil }},
	{"spec.drain.onExcludeLabel", func(s *BGPSpeakerSpec) bool { return isNot(s.Drain.OnExcludeLabel, true) }},
	{"spec.drain.onUnschedulable", func(s *BGPSpeakerSpec) bool { return isNot(s.Drain.OnUnschedulable, false) }},
	{"spec.drain.onTaints", func(s *BGPSpeakerSpec) bool { return len(s.Drain.OnTaints) > 0 }},
	{"spec.drain.gracefulShutdownSeconds", func(s *BGPSpeakerSpec) bool { return isNot(s.Drain.GracefulShutdownSeconds, 30) }},
	{"spec.cni.enabled", func(s *BGPSpeakerSpec) bool { return isNot(s.CNI.Enabled, false) }},
	{"spec.cni.installPlugins", func(s *BGPSpeakerSpec) bool { return isNot(s.CNI.InstallPlugins, false) }},
	{"spec.cni.mtu", func(s *BGPSpeakerSpec) bool { return s.CNI.MTU != nil }},
	{"spec.cni.masquerade", func(s *BGPSpeakerSpec) bool { return isNot(s.CNI.Masquerade, false) }},
	{"spec.cni.nonMasqueradeCIDRs", func(s *BGPSpeakerSpec) bool { return len(s.CNI.NonMasqueradeCIDRs) > 0 }},
}

var peerFieldsWithoutEffect = []without[BGPPeerSpec]{
	{"spec.bfd", func(s *BGPPeerSpec) bool { return s.BFD != nil }},
}

// NotImplemented returns the paths of fields that have no effect in this release and are
// set to something other than their default, such as "spec.bmp"; where only some values of
// a field have none, the value follows, as in "spec.topology.type RouteReflectors". The rest
// of the object works. Defaults need not be set.
func (s *BGPSpeaker) NotImplemented() []string {
	return setWithoutEffect(&s.Spec, speakerFieldsWithoutEffect)
}

// NotImplemented is as that of [BGPSpeaker].
func (p *BGPPeer) NotImplemented() []string {
	return setWithoutEffect(&p.Spec, peerFieldsWithoutEffect)
}

// NotImplemented is as that of [BGPSpeaker]: every field has an effect.
func (*BGPAdvertisement) NotImplemented() []string { return nil }

func setWithoutEffect[Spec any](spec *Spec, table []without[Spec]) []string {
	var paths []string
	for _, field := range table {
		if field.set(spec) {
			paths = append(paths, field.path)
		}
	}
	return paths
}

// isNot takes an absent value as the default.
func isNot[T comparable](value *T, byDefault T) bool { return value != nil && *value != byDefault }
