package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/controller/report"
)

// LeaseName is the Lease that decides which controller leads.
const LeaseName = "fairway-controller"

// A leader that cannot renew its lease stops leading after leaseRenewal; another may lead
// after leaseDuration.
const (
	leaseDuration = 15 * time.Second
	leaseRenewal  = 10 * time.Second
	leasePeriod   = 2 * time.Second
)

// RollupOptions say who rolls status up, and where.
type RollupOptions struct {
	Config *rest.Config
	// Namespace is where the Lease is.
	Namespace string
	// Host is the name of this machine or pod; with something unique behind it, it names
	// the holder in the Lease.
	Host    string
	Version string
	Log     *slog.Logger
}

// Rollup writes the status of BGPSpeakers, BGPPeers and BGPAdvertisements while it leads: of
// all those that run, one does. The others read nothing, so they cost the API server nothing
// but a look at the Lease.
type Rollup struct {
	host, version, identity string
	log                     *slog.Logger
	lock                    *notedLock
	ours                    *client.Client
	metadata                metadata.Interface

	mu               sync.Mutex
	leader           string
	term             *term // nil while another leads
	writes, failures uint64
}

// NewRollup makes one. It sends nothing yet.
func NewRollup(o RollupOptions) (*Rollup, error) {
	config := rest.CopyConfig(o.Config)
	config.UserAgent = "fairway-controller"
	config = prepared(config)
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("the API server's address or credentials cannot be used: %w", err)
	}
	ours, err := client.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	names, err := metadata.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	// A request that hangs must not cost the lease.
	patient := rest.CopyConfig(config)
	patient.Timeout = leaseRenewal / 2
	leases, err := coordinationclient.NewForConfig(patient)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	identity := o.Host + "_" + string(uuid.NewUUID())
	r := &Rollup{host: config.Host, version: o.Version, identity: identity, log: o.Log, ours: ours, metadata: names}
	r.lock = &notedLock{
		Interface: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: LeaseName},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		host: config.Host, log: o.Log,
	}
	return r, nil
}

// Run takes part in the election, and leads when it is elected, until the context ends,
// which is no error. It gives the lease up at the end, so that another leads at once.
func (r *Rollup) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.candidacy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// candidacy waits to be elected and leads until the lease is lost or ctx ends. The lease is
// held until all that leading does has ended.
func (r *Rollup) candidacy(ctx context.Context) error {
	electing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	elected := make(chan context.Context)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name:            LeaseName,
		Lock:            r.lock,
		LeaseDuration:   leaseDuration,
		RenewDeadline:   leaseRenewal,
		RetryPeriod:     leasePeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				select {
				case elected <- leading:
				case <-leading.Done():
				}
			},
			OnStoppedLeading: func() {},
			OnNewLeader:      r.noteLeader,
		},
	})
	if err != nil {
		return fmt.Errorf("preparing the election: %w", err)
	}
	var election sync.WaitGroup
	defer election.Wait()
	ended := make(chan struct{})
	election.Go(func() {
		defer close(ended)
		elector.Run(electing)
	})
	select {
	case leading := <-elected:
		r.lead(ctx, leading)
	case <-ctx.Done():
	case <-ended:
	}
	stop()
	return nil
}

// lead rolls up until the lease is lost or ctx ends.
func (r *Rollup) lead(ctx, leading context.Context) {
	leading, stop := context.WithCancel(leading)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	r.log.Info("leading", "identity", r.identity)
	t := newTerm(r)
	r.setTerm(t)
	t.run(leading)
	r.setTerm(nil)
	if ctx.Err() == nil {
		r.log.Warn("the lease is lost; another may lead", "identity", r.identity)
	}
}

func (r *Rollup) setTerm(t *term) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.term = t
}

func (r *Rollup) noteLeader(identity string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leader = identity
	if identity != "" && identity != r.identity {
		r.log.Info("another leads", "identity", identity)
	}
}

// count counts a write of status.
func (r *Rollup) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	if err != nil {
		r.failures++
	}
}

// Report returns what is so now.
func (r *Rollup) Report() *report.Controller {
	r.mu.Lock()
	t := r.term
	out := &report.Controller{
		Version: r.version, Time: time.Now(), Leader: r.leader, Leading: t != nil, Writes: r.writes, Failures: r.failures,
	}
	r.mu.Unlock()
	if t != nil {
		t.fill(out)
	}
	return out
}
