// Package kube is the source that reads an API server, and what writes status to it: the one
// place that knows client-go.
//
// It keeps one thing true: what cannot be read takes nothing away. While the API server does
// not answer, the last complete snapshot stays as it is, and what was deleted meanwhile is
// noticed when it answers again.
package kube

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
	networkingclient "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// Options say what is read.
type Options struct {
	Config *rest.Config
	// NodeName is the node that this agent is for. The log says when it disappears; that it
	// never existed is the caller's to notice.
	NodeName string
	// Namespace is the agent's own, where the Secrets with passwords are.
	Namespace string
	Log       *slog.Logger
}

// Source is an API server, as it was last read.
type Source struct {
	host, node, namespace string
	log                   *slog.Logger
	core                  coreclient.CoreV1Interface
	changed               chan struct{} // for the user
	references            chan struct{} // for Run: the Secrets that are wanted may be others
	door

	mu      sync.Mutex
	watches watches
	demands []*demanded // those of watches that do not always run
	secrets map[string]*secret

	nodes          nodes
	services       collection[*snapshot.Service]
	slices         collection[*snapshot.EndpointSlice]
	apiServers     collection[[]netip.Addr] // by EndpointSlice of their Service
	namespaces     collection[*snapshot.Namespace]
	serviceCIDRs   collection[[]netip.Prefix]
	speakers       collection[*v1alpha1.BGPSpeaker]
	peers          collection[*v1alpha1.BGPPeer]
	advertisements collection[*v1alpha1.BGPAdvertisement]
	passwords      collection[snapshot.Password]

	dirty    bool // something is newer than snap
	snap     *snapshot.Snapshot
	state    report.Source
	trouble  trouble       // what state.Error says
	back     chan struct{} // closed, and made anew, when the API server answers again
	failures uint64        // requests, since the start
}

// New makes a source. It sends nothing yet.
func New(o Options) (*Source, error) {
	config := prepared(o.Config)
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("the API server's address or credentials cannot be used: %w", err)
	}
	ours, err := client.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	core, err := coreclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	discovery, err := discoveryclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	networking, err := networkingclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	s := &Source{
		host:       config.Host,
		node:       o.NodeName,
		namespace:  o.Namespace,
		log:        o.Log,
		core:       core,
		changed:    make(chan struct{}, 1),
		references: make(chan struct{}, 1),
		door:       make(door, 1),
		secrets:    map[string]*secret{},
		back:       make(chan struct{}),
		state:      report.Source{Since: time.Now()},
	}
	s.nodes = s.newNodes()
	s.watches = append(watches{s.nodes.own, s.nodes.others}, s.allWatches(core, discovery, networking, ours)...)
	return s, nil
}

// allWatches lists what is watched but for Secrets, in the order in which trouble is told.
func (s *Source) allWatches(core coreclient.CoreV1Interface, discovery discoveryclient.DiscoveryV1Interface, networking networkingclient.NetworkingV1Interface, ours *client.Client) watches {
	of := func(name string) resource { return resource{name: name} }
	own := func(name string) resource { return resource{name: name, ours: true} }
	serviceCIDRs := newWatched(s, of("servicecidrs"), networking.ServiceCIDRs(), &s.serviceCIDRs,
		func(o *networkingv1.ServiceCIDR) ([]netip.Prefix, bool) { return snapshot.ServiceCIDRsFrom(o), true })
	serviceCIDRs.optional = true // served from Kubernetes 1.33 on
	slices := newStreamed(s, of("endpointslices"), discovery.RESTClient(), discovery.EndpointSlices(metav1.NamespaceAll), &s.slices,
		func(o *discoveryv1.EndpointSlice) (*snapshot.EndpointSlice, bool) {
			slice := snapshot.SliceFrom(o)
			return slice, slice != nil
		})
	slices.labels = sliceSelector
	apiServers := newWatched(s, of("endpointslices"), discovery.EndpointSlices(snapshot.APIServerNamespace), &s.apiServers,
		func(o *discoveryv1.EndpointSlice) ([]netip.Addr, bool) { return snapshot.APIServersFrom(o), true })
	apiServers.labels = discoveryv1.LabelServiceName + "=" + snapshot.APIServerService
	namespaces := newWatched(s, of("namespaces"), core.Namespaces(), &s.namespaces,
		func(o *corev1.Namespace) (*snapshot.Namespace, bool) { return snapshot.NamespaceFrom(o), true })
	return watches{
		newStreamed(s, of("services"), core.RESTClient(), core.Services(metav1.NamespaceAll), &s.services,
			func(o *corev1.Service) (*snapshot.Service, bool) {
				service := snapshot.ServiceFrom(o)
				return service, service != nil
			}),
		newWatched(s, own(v1alpha1.ResourceBGPSpeakers), ours.BGPSpeakers(), &s.speakers,
			func(o *v1alpha1.BGPSpeaker) (*v1alpha1.BGPSpeaker, bool) {
				v1alpha1.SetDefaultsBGPSpeaker(o)
				return &v1alpha1.BGPSpeaker{ObjectMeta: trimmed(o.ObjectMeta), Spec: o.Spec}, true
			}),
		newWatched(s, own(v1alpha1.ResourceBGPPeers), ours.BGPPeers(), &s.peers,
			func(o *v1alpha1.BGPPeer) (*v1alpha1.BGPPeer, bool) {
				v1alpha1.SetDefaultsBGPPeer(o)
				return &v1alpha1.BGPPeer{ObjectMeta: trimmed(o.ObjectMeta), Spec: o.Spec}, true
			}),
		newWatched(s, own(v1alpha1.ResourceBGPAdvertisements), ours.BGPAdvertisements(), &s.advertisements,
			func(o *v1alpha1.BGPAdvertisement) (*v1alpha1.BGPAdvertisement, bool) {
				v1alpha1.SetDefaultsBGPAdvertisement(o)
				return &v1alpha1.BGPAdvertisement{ObjectMeta: trimmed(o.ObjectMeta), Spec: o.Spec}, true
			}),
		apiServers, // whatever is announced: no learned route may lead away from them
		s.demand(slices, func() bool { return needsEndpoints(s.advertisements.view()) }, func() { s.slices = collection[*snapshot.EndpointSlice]{} }),
		s.demand(namespaces, func() bool { return needsNamespaces(s.advertisements.view()) }, func() { s.namespaces = collection[*snapshot.Namespace]{} }),
		serviceCIDRs,
	}
}

// sliceSelector leaves out the EndpointSlices of headless Services, which have no address, and
// those of none.
const sliceSelector = discoveryv1.LabelServiceName + ",!" + corev1.IsHeadlessService

// trimmed leaves out what the plan does not use, above all the resource version: an update
// of the status is no change then. (The kind, which lists carry and watches do not, is left
// out too.)
func trimmed(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:              m.Name,
		UID:               m.UID,
		Generation:        m.Generation,
		CreationTimestamp: m.CreationTimestamp,
		Labels:            m.Labels,
	}
}

// Changed is readable when Snapshot may have something new to say.
func (s *Source) Changed() <-chan struct{} { return s.changed }

// Snapshot returns the newest complete picture, nil until there is one, and how well the API
// server can be read. The snapshot is never changed, and the same pointer while nothing has.
func (s *Source) Snapshot() (*snapshot.Snapshot, report.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirty && s.complete() {
		had := s.snap != nil && s.snap.Nodes[s.node] != nil
		s.snap, s.dirty = s.build(), false
		if had && s.snap.Nodes[s.node] == nil {
			s.log.Warn("this node does not exist in the API server any more: nothing is advertised until it does, or --node-name names another", "node", s.node)
		}
	}
	state := s.state
	state.Failures = s.failures
	return s.snap, state
}

func (s *Source) build() *snapshot.Snapshot {
	return &snapshot.Snapshot{
		Nodes:          s.nodes.view(),
		Services:       s.services.version(),
		Slices:         s.slices.version(),
		Namespaces:     s.namespaces.view(),
		ServiceCIDRs:   s.prefixes(),
		APIServers:     s.addresses(),
		Speakers:       s.speakers.view(),
		Peers:          s.peers.view(),
		Advertisements: s.advertisements.view(),
		Passwords:      s.passwords.view(),
	}
}

func (s *Source) prefixes() []netip.Prefix {
	all := slices.Concat(slices.Collect(maps.Values(s.serviceCIDRs.view()))...)
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// addresses returns those of the API servers. The one in the URL is mostly that of their Service.
func (s *Source) addresses() []netip.Addr {
	all := append(addressesOf(s.host), slices.Concat(slices.Collect(maps.Values(s.apiServers.view()))...)...)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// complete reports whether every kind has been seen whole, and every Secret that is referred
// to was looked up. Later it can be false again, for moments, while a new Secret is.
func (s *Source) complete() bool {
	if !s.watches.complete() {
		return false
	}
	for _, c := range s.secrets {
		if !c.seen && !c.late {
			return false
		}
	}
	return true
}

// Run reads until the context ends, which is no error. Nothing else ends it.
func (s *Source) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for _, w := range s.watches {
		if s.demandOf(w) == nil {
			running.Go(func() { w.run(ctx, s) })
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.references:
			s.followSecrets(ctx, &running)
			s.followDemands(ctx, &running)
		}
	}
}

// apply makes one change of the collections.
func (s *Source) apply(w *watched, change func() (changed bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.name == secretsResource && (s.secrets[w.one] == nil || s.secrets[w.one].watched != w) {
		return // a Secret that nobody refers to any more
	}
	if d := s.demandOf(w); d != nil && d.stop == nil {
		return // an object that nobody needs any more
	}
	if !change() {
		return
	}
	s.dirty = true
	if w.ours {
		s.refer()
	}
	s.settle()
}

// note takes in how a request went. It returns the trouble, and what is closed when the API
// server answers again.
func (s *Source) note(w *watched, err error) (trouble, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := troubleOf(err, s.host, w.resource)
	if err != nil {
		s.failures++
	} else if s.anyUnreachable() {
		close(s.back)
		s.back = make(chan struct{})
	}
	before := w.trouble
	w.trouble = t
	if t != before {
		s.tellOne(w, before)
		s.settle()
	}
	return t, s.back
}

func (s *Source) anyUnreachable() bool {
	if s.watches.unreachable() {
		return true
	}
	for _, c := range s.secrets {
		if c.trouble.class == unreachable {
			return true
		}
	}
	return false
}

// tellOne logs what concerns one watch alone; what concerns the source is told by settle.
func (s *Source) tellOne(w *watched, before trouble) {
	if w.trouble.class == before.class {
		return
	}
	switch {
	case w.absent():
		s.log.Info("service ranges cannot be read and count as unknown; set cluster.serviceCIDRs of the BGPSpeaker", "reason", w.trouble.text)
	case w.name == secretsResource:
		s.noteSecret(w)
	}
}

// settle brings the state up to date and wakes the user when there is something new.
func (s *Source) settle() {
	worst := s.watches.worst()
	state := report.Source{Synced: s.state.Synced || s.complete(), Error: worst.text, Since: s.state.Since}
	if worst.class != s.trouble.class || state.Synced != s.state.Synced {
		state.Since = time.Now()
	}
	if worst.class != s.trouble.class {
		s.tell(worst)
	}
	if state.Synced && !s.state.Synced {
		s.log.Info("the API server has been read completely", "server", s.host)
	}
	news := state != s.state || s.dirty && s.complete()
	s.state, s.trouble = state, worst
	if news {
		wake(s.changed)
	}
}

func (s *Source) tell(worst trouble) {
	if worst.class == fine {
		s.log.Info("the API server can be read again", "server", s.host, "after", time.Since(s.state.Since).Round(time.Millisecond))
		return
	}
	s.log.Error("the API server cannot be read; what was last read stays in use", "reason", worst.text)
}

// wake makes a channel readable; it never blocks.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
