package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/controller/report"
)

// How often the status is written at most. A thousand agents write at different moments,
// because each waits up to a fifth longer.
const (
	statePause   = 5 * time.Second  // when something is so that was not
	counterPause = 60 * time.Second // when nothing but counters differ
	writeTimeout = 10 * time.Second
)

// StatusOptions say whose status is written, and where.
type StatusOptions struct {
	Config   *rest.Config
	NodeName string
	Log      *slog.Logger
}

// StatusWriter writes reports as the node's BGPNodeState. It creates the object where it is
// missing, with the Node as its owner. It holds nobody up: while the API server is away it
// keeps the newest report and tries again.
type StatusWriter struct {
	node   string
	host   string
	log    *slog.Logger
	nodes  coreclient.NodesGetter
	states *client.NodeStates
	wake   chan struct{}

	mu     sync.Mutex
	latest *report.Report

	// Of the goroutine that runs Run.
	object *v1alpha1.BGPNodeState // as the API server has it; nil when that is not known
	last   time.Time              // of the last attempt to write
	failed trouble                // of that attempt
	retry  time.Duration          // how long to wait after it, when it failed
}

// NewStatusWriter makes a writer. It sends nothing yet.
func NewStatusWriter(o StatusOptions) (*StatusWriter, error) {
	config := prepared(o.Config)
	config.Timeout = writeTimeout
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("the API server's address or credentials cannot be used: %w", err)
	}
	core, err := coreclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	ours, err := client.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	return &StatusWriter{
		node:   o.NodeName,
		host:   config.Host,
		log:    o.Log,
		nodes:  core,
		states: ours.BGPNodeStates(),
		wake:   make(chan struct{}, 1),
	}, nil
}

// Report notes the newest report; it never blocks. The caller must not change it any more.
func (w *StatusWriter) Report(r *report.Report) {
	w.mu.Lock()
	w.latest = r
	w.mu.Unlock()
	wake(w.wake)
}

// Run writes until the context ends, which is no error. Nothing else ends it.
func (w *StatusWriter) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-timer.C:
		}
		timer.Stop()
		if wait, again := w.step(ctx); again {
			timer.Reset(wait)
		}
	}
}

// step writes the newest report if it is due. again says that there is more to do after wait.
func (w *StatusWriter) step(ctx context.Context) (wait time.Duration, again bool) {
	w.mu.Lock()
	r := w.latest
	w.mu.Unlock()
	if r == nil {
		return 0, false
	}
	pause := max(statePause, w.retry)
	if w.object != nil && w.failed.class == fine {
		next := report.NodeState(r, w.object.Status)
		switch {
		case equality.Semantic.DeepEqual(next, w.object.Status):
			return 0, false
		case sameState(next, w.object.Status):
			pause = counterPause
		}
	}
	if rest := time.Until(w.last.Add(pause)); !w.last.IsZero() && rest > 0 {
		return rest + jittered(pause/5)/2, true
	}
	err := w.write(ctx, r)
	w.last = time.Now()
	if ctx.Err() != nil {
		return 0, false
	}
	if !errors.Is(err, errNoNode) || r.Source.Synced {
		w.tell(err) // until all has been read, the agent has yet to say whether it can be on this node
	}
	if err == nil {
		w.retry = 0
		return 0, false
	}
	w.retry = min(max(2*w.retry, statePause), counterPause)
	return w.retry, true
}

// write makes the object say what the report says. What is known of the object may be out of
// date, as somebody may have deleted it; then it is read anew, once.
func (w *StatusWriter) write(ctx context.Context, r *report.Report) error {
	for fresh := false; ; fresh = true {
		if w.object == nil {
			fresh = true
			if err := w.load(ctx); err != nil {
				return err
			}
		}
		wanted := w.object.DeepCopy()
		wanted.Status = report.NodeState(r, w.object.Status)
		written, err := w.states.UpdateStatus(ctx, wanted, metav1.UpdateOptions{})
		if err == nil {
			w.object = written
			return nil
		}
		w.object = nil
		if stale := apierrors.IsConflict(err) || apierrors.IsNotFound(err); !stale || fresh {
			return fmt.Errorf("writing BGPNodeState %s: %w", w.node, err)
		}
	}
}

// load reads the object, or creates it, and makes the Node its owner.
func (w *StatusWriter) load(ctx context.Context) error {
	node, err := w.nodes.Nodes().Get(ctx, w.node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errNoNode
	}
	if err != nil {
		return fmt.Errorf("reading Node %s: %w", w.node, err)
	}
	owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
	object, err := w.states.Get(ctx, w.node, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		object = &v1alpha1.BGPNodeState{ObjectMeta: metav1.ObjectMeta{Name: w.node, OwnerReferences: owner}}
		object, err = w.states.Create(ctx, object, metav1.CreateOptions{})
	case err == nil && !equality.Semantic.DeepEqual(object.OwnerReferences, owner):
		object.OwnerReferences = owner // the Node was deleted and created again
		object, err = w.states.Update(ctx, object, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("creating BGPNodeState %s: %w", w.node, err)
	}
	w.object = object
	return nil
}

var errNoNode = errors.New("the Node does not exist; name another with --node-name, or wait until the kubelet has created it")

// tell logs when writing begins to fail, when it fails for another reason, and when it works again.
func (w *StatusWriter) tell(err error) {
	t := troubleOf(err, w.host, resource{name: v1alpha1.ResourceBGPNodeStates, one: w.node, ours: true})
	if errors.Is(err, errNoNode) {
		t = trouble{otherTrouble, err.Error()}
	}
	switch {
	case t.class == w.failed.class:
	case t.class == fine:
		w.log.Info("the node's status is written again", "node", w.node)
	default:
		w.log.Warn("the node's status cannot be written; it is tried again", "node", w.node, "reason", t.text)
	}
	w.failed = t
}

// sameState reports whether nothing but counters differ.
func sameState(a, b v1alpha1.BGPNodeStateStatus) bool {
	return equality.Semantic.DeepEqual(withoutCounters(a), withoutCounters(b))
}

// withoutCounters returns a copy that differs only when something is so that was not.
func withoutCounters(status v1alpha1.BGPNodeStateStatus) v1alpha1.BGPNodeStateStatus {
	out := *status.DeepCopy()
	for i := range out.Sessions {
		for j := range out.Sessions[i].Families {
			f := &out.Sessions[i].Families[j]
			f.Received, f.Accepted, f.Advertised = 0, 0, 0
		}
	}
	out.Routes.Wanted, out.Routes.Installed = 0, 0
	for i := range out.Routes.Refused {
		out.Routes.Refused[i].Count = 0
	}
	slices.SortFunc(out.Routes.Refused, func(a, b v1alpha1.RefusedCount) int { return strings.Compare(a.Reason, b.Reason) })
	return out
}
