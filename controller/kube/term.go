package kube

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/controller/rollup"
)

const (
	// passPause is the least time between two looks at everything, and so between two writes
	// of one object.
	passPause = 2 * time.Second
	// turnPeriod is how often the loop turns when nothing happens.
	turnPeriod = 10 * time.Second
	// lastWritePause is how long at most an object waits after writes that failed.
	lastWritePause = time.Minute
)

// term is the time for which one controller leads, and what it has read in it. Of a Node it
// keeps the labels, of a BGPNodeState an extract: there may be thousands.
type term struct {
	*Rollup
	door
	changed chan struct{}

	mu             sync.Mutex
	watches        watches
	speakers       collection[*v1alpha1.BGPSpeaker]
	peers          collection[*v1alpha1.BGPPeer]
	advertisements collection[*v1alpha1.BGPAdvertisement]
	nodes          collection[*rollup.Node]
	states         collection[*rollup.NodeState]
	dirty          bool
	source         report.Source
	trouble        trouble
	back           chan struct{}
	turned         time.Time
	objects        []report.ObjectCondition

	// Of the goroutine that runs run.
	retries map[types.UID]retry // of objects that could not be written
	cutOff  bool                // in this pass, the API server has not answered
	failing trouble             // the first of this pass
	failed  trouble             // what the log has said
}

func newTerm(r *Rollup) *term {
	t := &term{
		Rollup:  r,
		door:    make(door, 1),
		changed: make(chan struct{}, 1),
		back:    make(chan struct{}),
		turned:  time.Now(),
		source:  report.Source{Since: time.Now()},
		retries: map[types.UID]retry{},
	}
	own := func(name string) resource { return resource{name: name, ours: true} }
	t.watches = watches{
		newWatched(t, resource{name: "nodes"}, r.metadata.Resource(corev1.SchemeGroupVersion.WithResource("nodes")), &t.nodes,
			func(o *metav1.PartialObjectMetadata) (*rollup.Node, bool) {
				return &rollup.Node{Labels: o.Labels}, true
			}),
		newWatched(t, own(v1alpha1.ResourceBGPSpeakers), r.ours.BGPSpeakers(), &t.speakers,
			func(o *v1alpha1.BGPSpeaker) (*v1alpha1.BGPSpeaker, bool) {
				v1alpha1.SetDefaultsBGPSpeaker(o)
				return &v1alpha1.BGPSpeaker{ObjectMeta: versioned(o.ObjectMeta), Spec: o.Spec, Status: o.Status}, true
			}),
		newWatched(t, own(v1alpha1.ResourceBGPPeers), r.ours.BGPPeers(), &t.peers,
			func(o *v1alpha1.BGPPeer) (*v1alpha1.BGPPeer, bool) {
				v1alpha1.SetDefaultsBGPPeer(o)
				return &v1alpha1.BGPPeer{ObjectMeta: versioned(o.ObjectMeta), Spec: o.Spec, Status: o.Status}, true
			}),
		newWatched(t, own(v1alpha1.ResourceBGPAdvertisements), r.ours.BGPAdvertisements(), &t.advertisements,
			func(o *v1alpha1.BGPAdvertisement) (*v1alpha1.BGPAdvertisement, bool) {
				v1alpha1.SetDefaultsBGPAdvertisement(o)
				return &v1alpha1.BGPAdvertisement{ObjectMeta: versioned(o.ObjectMeta), Spec: o.Spec, Status: o.Status}, true
			}),
		newWatched(t, own(v1alpha1.ResourceBGPNodeStates), r.ours.BGPNodeStates(), &t.states,
			func(o *v1alpha1.BGPNodeState) (*rollup.NodeState, bool) { return rollup.NodeStateFrom(o), true }),
	}
	return t
}

// versioned is trimmed with the resource version, so that a write that is based on something
// old is refused.
func versioned(m metav1.ObjectMeta) metav1.ObjectMeta {
	out := trimmed(m)
	out.ResourceVersion = m.ResourceVersion
	return out
}

// apply implements reader.
func (t *term) apply(_ *watched, change func() (changed bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !change() {
		return
	}
	t.dirty = true
	if !t.source.Synced && t.watches.complete() {
		t.source.Synced, t.source.Since = true, time.Now()
		t.log.Info("the API server has been read completely", "server", t.host)
	}
	if t.source.Synced {
		wake(t.changed)
	}
}

// note implements reader.
func (t *term) note(w *watched, err error) (trouble, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.source.Failures++
	} else if t.watches.unreachable() {
		close(t.back)
		t.back = make(chan struct{})
	}
	w.trouble = troubleOf(err, t.host, w.resource)
	worst := t.watches.worst()
	t.source.Error = worst.text
	switch {
	case worst.class == t.trouble.class:
	case worst.class == fine:
		t.log.Info("the API server can be read again", "server", t.host, "after", time.Since(t.source.Since).Round(time.Millisecond))
	default:
		t.log.Error("the API server cannot be read; status stays as it was written last", "reason", worst.text)
	}
	if worst.class != t.trouble.class {
		t.source.Since = time.Now()
	}
	t.trouble = worst
	return w.trouble, t.back
}

// run reads and writes until the context ends.
func (t *term) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, w := range t.watches {
		running.Go(func() { w.run(ctx, t) })
	}
	timer := time.NewTimer(turnPeriod)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-t.changed:
		case <-timer.C:
		}
		t.pass(ctx)
		wait := turnPeriod
		if len(t.retries) > 0 {
			wait = 0 // some may be due
		}
		sleep(ctx, passPause) // what happens meanwhile is one change
		timer.Reset(wait)
	}
}

// pass brings the status of all objects up to date.
func (t *term) pass(ctx context.Context) {
	c := t.cluster()
	if c == nil {
		return
	}
	next := rollup.Build(c, time.Now())
	before := t.retries
	t.retries, t.cutOff = map[types.UID]retry{}, false
	statusOf[*v1alpha1.BGPSpeaker, v1alpha1.BGPSpeakerStatus]{
		v1alpha1.ResourceBGPSpeakers, c.Speakers,
		func(o *v1alpha1.BGPSpeaker) *v1alpha1.BGPSpeakerStatus { return &o.Status }, t.ours.BGPSpeakers(),
	}.write(ctx, t, next.Speakers, before)
	statusOf[*v1alpha1.BGPPeer, v1alpha1.BGPPeerStatus]{
		v1alpha1.ResourceBGPPeers, c.Peers,
		func(o *v1alpha1.BGPPeer) *v1alpha1.BGPPeerStatus { return &o.Status }, t.ours.BGPPeers(),
	}.write(ctx, t, next.Peers, before)
	statusOf[*v1alpha1.BGPAdvertisement, v1alpha1.BGPAdvertisementStatus]{
		v1alpha1.ResourceBGPAdvertisements, c.Advertisements,
		func(o *v1alpha1.BGPAdvertisement) *v1alpha1.BGPAdvertisementStatus { return &o.Status }, t.ours.BGPAdvertisements(),
	}.write(ctx, t, next.Advertisements, before)
	t.tellWrites()
	t.show(next)
	if t.cutOff {
		t.mu.Lock()
		t.dirty = true // what has not been tried has left no trace
		t.mu.Unlock()
	}
}

// cluster returns what has been read, nil while that is not all, or when nothing is to do.
func (t *term) cluster() *rollup.Cluster {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turned = time.Now()
	if !t.source.Synced || !t.dirty && len(t.retries) == 0 {
		return nil
	}
	t.dirty = false
	return &rollup.Cluster{
		Speakers: t.speakers.view(), Peers: t.peers.view(), Advertisements: t.advertisements.view(),
		Nodes: t.nodes.view(), States: t.states.view(),
	}
}

// show keeps what the last pass found, for the metrics.
func (t *term) show(s *rollup.Statuses) {
	var all []report.ObjectCondition
	add := func(kind, name string, conditions []metav1.Condition) {
		for _, c := range conditions {
			all = append(all, report.ObjectCondition{Kind: kind, Name: name, Type: c.Type, True: c.Status == metav1.ConditionTrue})
		}
	}
	for name, o := range s.Speakers {
		add(v1alpha1.KindBGPSpeaker, name, o.Conditions)
	}
	for name, o := range s.Peers {
		add(v1alpha1.KindBGPPeer, name, o.Conditions)
	}
	for name, o := range s.Advertisements {
		add(v1alpha1.KindBGPAdvertisement, name, o.Conditions)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.objects = all
}

// fill adds what a leader knows.
func (t *term) fill(out *report.Controller) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out.Turned, out.Source = t.turned, t.source
	out.Nodes, out.NodeStates = t.nodes.items.Len(), t.states.items.Len()
	out.Objects = t.objects
}
