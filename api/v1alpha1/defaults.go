package v1alpha1

// The defaults of the schema, in Go. Absent values that mean "follow something else",
// such as a keepalive time or the stale sweep, stay absent.

// SetDefaultsBGPSpeaker fills in what an API server would fill in. It may be called
// again on its own result.
func SetDefaultsBGPSpeaker(s *BGPSpeaker) {
	spec := &s.Spec
	setDefault(&spec.ListenPort, 179)
	setDefaultText(&spec.Topology.Type, TopologyFullMesh)
	setDefaultText(&spec.Topology.Scope, ScopeSameSubnet)
	spec.Topology.BFD.setDefaults()
	setDefault(&spec.GracefulRestart.Enabled, true)
	setDefault(&spec.GracefulRestart.RestartTimeSeconds, 120)
	setDefault(&spec.GracefulRestart.Notification, false)
	setDefault(&spec.GracefulRestart.DeferralSeconds, 10)
	setDefault(&spec.GracefulRestart.LongLivedStaleSeconds, 0)
	setDefault(&spec.Kernel.Table, 254)
	setDefault(&spec.Kernel.Metric, 2048)
	setDefault(&spec.Kernel.MaxPaths, 16)
	setDefault(&spec.Kernel.ResolveViaDefault, false)
	setDefault(&spec.Drain.OnExcludeLabel, true)
	setDefault(&spec.Drain.OnUnschedulable, false)
	setDefault(&spec.Drain.GracefulShutdownSeconds, 30)
	spec.Readiness.setDefaults()
	for i := range spec.BMP {
		setDefault(&spec.BMP[i].Port, defaultBMPPort)
		setDefaultText(&spec.BMP[i].Policy, BMPPrePolicy)
	}
	setDefault(&spec.CNI.Enabled, false)
	setDefault(&spec.CNI.InstallPlugins, false)
	setDefault(&spec.CNI.Masquerade, false)
}

func (r *Readiness) setDefaults() {
	setDefault(&r.DataplaneDelayMilliseconds, 0)
	for i := range r.Probes {
		if http := r.Probes[i].HTTP; http != nil {
			setDefaultText(&http.Address, "127.0.0.1")
			setDefaultText(&http.Path, "/healthz")
		}
	}
}

func (b *BFD) setDefaults() {
	if b == nil {
		return
	}
	setDefault(&b.ReceiveIntervalMilliseconds, 300)
	setDefault(&b.TransmitIntervalMilliseconds, 300)
	setDefault(&b.DetectMultiplier, 3)
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
	setDefault(&spec.ExtendedNextHop, false)
	spec.BFD.setDefaults()
	if spec.AddPaths != nil {
		setDefault(&spec.AddPaths.Receive, false)
		setDefault(&spec.AddPaths.SendMax, 0)
	}
	setDefault(&spec.AllowOwnAS, 0)
	setDefaultText(&spec.Import.MaxPrefixesAction, MaxPrefixesWarn)
	setDefaultText(&spec.AdminState, AdminUp)
}

const (
	defaultHoldTimeSeconds = 90
	defaultBMPPort         = 11019
)

// SetDefaultsBGPAdvertisement fills in what an API server would fill in. It may be
// called again on its own result.
func SetDefaultsBGPAdvertisement(a *BGPAdvertisement) {
	spec := &a.Spec
	setDefault(&spec.To.Mesh, false)
	if spec.Services != nil {
		setDefault(&spec.Services.Aggregation.IPv4Length, 32)
		setDefault(&spec.Services.Aggregation.IPv6Length, 128)
	}
	if spec.FromMesh != nil {
		setDefault(&spec.FromMesh.PodCIDRs, false)
		setDefault(&spec.FromMesh.Services, false)
	}
	setDefaultText(&spec.NextHop, NextHopSelf)
	for i := range spec.Prefixes {
		setDefault(&spec.Prefixes[i].Force, false)
	}
	setDefault(&spec.Attributes.ASPathPrepend, 0)
	setDefaultText(&spec.Attributes.LinkBandwidth, LinkBandwidthNone)
	setDefault(&spec.Precedence, 0)
}

func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func setDefaultText[T ~string](p *T, value T) {
	if *p == "" {
		*p = value
	}
}
