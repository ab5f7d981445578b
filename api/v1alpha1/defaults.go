package v1alpha1

// The defaults of the schema, in Go. Absent values that mean "follow something else",
// such as a keepalive time or the stale sweep, stay absent.

// SetDefaultsBGPSpeaker fills in what an API server would fill in. It may be called
// again on its own result.
func SetDefaultsBGPSpeaker(s *BGPSpeaker) {
	spec := &s.Spec
	setDefault(&spec.ListenPort, 179)
	if spec.Topology.Type == "" {
		spec.Topology.Type = TopologyFullMesh
	}
	if spec.Topology.Scope == "" {
		spec.Topology.Scope = ScopeSameSubnet
	}
	setDefault(&spec.GracefulRestart.Enabled, true)
	setDefault(&spec.GracefulRestart.RestartTimeSeconds, 120)
	setDefault(&spec.GracefulRestart.DeferralSeconds, 10)
	setDefault(&spec.Kernel.Table, 254)
	setDefault(&spec.Kernel.Metric, 2048)
	setDefault(&spec.Kernel.MaxPaths, 16)
}

// SetDefaultsBGPPeer fills in what an API server would fill in. It may be called again
// on its own result.
func SetDefaultsBGPPeer(p *BGPPeer) {
	spec := &p.Spec
	setDefault(&spec.Port, 179)
	setDefault(&spec.Passive, false)
	setDefault(&spec.Timers.HoldTimeSeconds, defaultHoldTimeSeconds)
	setDefault(&spec.Timers.ConnectRetrySeconds, 5)
	if spec.GracefulRestart != nil {
		setDefault(&spec.GracefulRestart.Enabled, true)
	}
}

const defaultHoldTimeSeconds = 90

// SetDefaultsBGPAdvertisement fills in what an API server would fill in. It may be
// called again on its own result.
func SetDefaultsBGPAdvertisement(a *BGPAdvertisement) {
	setDefault(&a.Spec.To.Mesh, false)
}

func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}
