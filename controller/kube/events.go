package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/controller/report"
)

const (
	// eventNamespace is where Events about objects without a namespace belong.
	eventNamespace  = metav1.NamespaceDefault
	eventController = v1alpha1.GroupName + "/agent"
	// The API server's bounds, in bytes.
	maxNote, maxInstance, maxEventName = 1024, 128, 253

	// An agent publishes so many Events at once, and then one each period.
	eventBurst  = 20
	eventPeriod = 10 * time.Second
	// The wait doubles between these after one that could not be published.
	firstEventRetry, lastEventRetry = 5 * time.Second, time.Minute
)

// EventOptions say for which node Events are published, and where.
type EventOptions struct {
	Config   *rest.Config
	NodeName string
	Log      *slog.Logger
}

// EventWriter publishes what changes from report to report as Events: sessions that come up
// and go down, objects that are not accepted, prefixes that are refused. It holds nobody up:
// while the API server is away, or more happens than Events are for, it keeps the newest
// report and later tells what is still so.
type EventWriter struct {
	node   string
	host   string
	log    *slog.Logger
	core   coreclient.CoreV1Interface
	ours   *client.Client
	events eventsclient.EventsV1Interface
	wake   chan struct{}

	mu     sync.Mutex
	latest *report.Report

	// Of the goroutine that runs Run.
	told   memory
	bucket bucket
	counts map[string]int32 // how often each Event of this hour was published, by its name
	hour   time.Time
	failed trouble       // of the last attempt
	retry  time.Duration // how long to wait after it, when it failed
	due    time.Time     // when to try again
	behind bool          // the log has said that there are too many
}

// NewEventWriter makes a writer. It sends nothing yet.
func NewEventWriter(o EventOptions) (*EventWriter, error) {
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
	events, err := eventsclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	ours, err := client.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	return &EventWriter{
		node:   o.NodeName,
		host:   config.Host,
		log:    o.Log,
		core:   core,
		ours:   ours,
		events: events,
		wake:   make(chan struct{}, 1),
		told:   memory{},
		bucket: bucket{tokens: eventBurst},
	}, nil
}

// Report notes the newest report; it never blocks. The caller must not change it any more.
func (w *EventWriter) Report(r *report.Report) {
	w.mu.Lock()
	w.latest = r
	w.mu.Unlock()
	wake(w.wake)
}

// Run publishes until the context ends, which is no error. Nothing else ends it.
func (w *EventWriter) Run(ctx context.Context) error {
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
		if wait := w.step(ctx); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// step publishes what is due. It returns how long to wait before there is more to do; 0: until
// the next report.
func (w *EventWriter) step(ctx context.Context) (wait time.Duration) {
	for ctx.Err() == nil {
		w.mu.Lock()
		r := w.latest
		w.mu.Unlock()
		if r == nil {
			return 0
		}
		var due []news
		w.told, due = diff(w.told, r)
		now := time.Now()
		if len(due) == 0 {
			w.behind = false
			return 0
		}
		if rest := w.due.Sub(now); rest > 0 {
			return rest
		}
		if rest := w.bucket.wait(now); rest > 0 {
			w.tellBehind(len(due))
			return rest
		}
		err := w.publish(ctx, due[0], now)
		if ctx.Err() != nil {
			return 0
		}
		w.tell(err)
		if err != nil {
			w.retry = min(max(2*w.retry, firstEventRetry), lastEventRetry)
			w.due = now.Add(w.retry + jittered(w.retry/5))
			continue
		}
		w.retry = 0
		w.bucket.take(now)
		w.told = w.told.with(due[0])
	}
	return 0
}

// publish makes one Event. An error is one to try again after.
func (w *EventWriter) publish(ctx context.Context, n news, now time.Time) error {
	regarding, err := w.reference(ctx, n.about)
	if apierrors.IsNotFound(err) {
		return nil // of what is gone, nothing is told
	}
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", n.about.kind, n.about.name, err)
	}
	event := eventOf(n, w.node, regarding, now)
	_, err = w.events.Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{})
	switch {
	case err == nil:
		w.count(event.Name, 1, now)
		return nil
	case apierrors.IsAlreadyExists(err):
		return w.again(ctx, n, event, now)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		w.log.Error("the API server refuses an Event; it is left out", "reason", n.reason, "about", n.about.kind+" "+n.about.name, "error", oneLine(err))
		return nil
	}
	return fmt.Errorf("creating an Event: %w", err)
}

// again counts an Event that this hour has seen before. One that another agent has published
// for all of them stays as it is.
func (w *EventWriter) again(ctx context.Context, n news, event *eventsv1.Event, now time.Time) error {
	name := event.Name
	if n.shared && w.counts[name] == 0 {
		return nil
	}
	times := max(w.counts[name], 1) + 1 // of a process before this one it is not known how often
	patch, err := json.Marshal(map[string]any{
		"series": eventsv1.EventSeries{Count: times, LastObservedTime: metav1.NewMicroTime(now)},
	})
	if err != nil {
		return fmt.Errorf("making an Event: %w", err)
	}
	if _, err := w.events.Events(event.Namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("counting an Event: %w", err)
	}
	w.count(name, times, now)
	return nil
}

// count notes how often an Event was published. Those of the hour before have other names.
func (w *EventWriter) count(name string, times int32, now time.Time) {
	if hour := now.Truncate(time.Hour); w.counts == nil || !hour.Equal(w.hour) {
		w.counts, w.hour = map[string]int32{}, hour
	}
	w.counts[name] = times
}

// reference finds the object: an Event is found by its UID.
func (w *EventWriter) reference(ctx context.Context, a about) (corev1.ObjectReference, error) {
	var object metav1.Object
	var err error
	version := v1alpha1.SchemeGroupVersion.String()
	namespace, name := "", a.name
	switch a.kind {
	case v1alpha1.KindBGPSpeaker:
		object, err = w.ours.BGPSpeakers().Get(ctx, a.name, metav1.GetOptions{})
	case v1alpha1.KindBGPPeer:
		object, err = w.ours.BGPPeers().Get(ctx, a.name, metav1.GetOptions{})
	case v1alpha1.KindBGPAdvertisement:
		object, err = w.ours.BGPAdvertisements().Get(ctx, a.name, metav1.GetOptions{})
	case kindService:
		version = "v1"
		namespace, name, _ = strings.Cut(a.name, "/")
		object, err = w.core.Services(namespace).Get(ctx, name, metav1.GetOptions{})
	default:
		version = "v1"
		object, err = w.core.Nodes().Get(ctx, a.name, metav1.GetOptions{})
	}
	if err != nil {
		return corev1.ObjectReference{}, err
	}
	return corev1.ObjectReference{APIVersion: version, Kind: a.kind, Namespace: namespace, Name: name, UID: object.GetUID()}, nil
}

// eventOf is the Event for a piece of news. The same news has the same name within an hour.
func eventOf(n news, node string, regarding corev1.ObjectReference, now time.Time) *eventsv1.Event {
	hash := fnv.New64a()
	fmt.Fprintln(hash, regarding.UID, n.reason, n.note, n.then.verdict.Generation, now.Truncate(time.Hour).Unix())
	kind, by := corev1.EventTypeNormal, ""
	if n.warning {
		kind = corev1.EventTypeWarning
	}
	if n.shared {
		by = " (said first by the agent on " + node + ")"
	}
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cmp.Or(regarding.Namespace, eventNamespace),
			Name:      fmt.Sprintf("%s.%016x", strings.TrimRight(cut(regarding.Name, maxEventName-17), "-."), hash.Sum64()),
		},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: eventController,
		ReportingInstance:   cut(node, maxInstance),
		Action:              n.action,
		Reason:              n.reason,
		Regarding:           regarding,
		Note:                cut(plain(n.note), maxNote-len(by)) + by,
		Type:                kind,
	}
}

// plain is a text on one line: the words of a peer may hold anything (RFC 9003).
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

// cut cuts a text to so many bytes, between two characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}

// tell logs when publishing begins to fail, when it fails for another reason, and when it works again.
func (w *EventWriter) tell(err error) {
	t := troubleOf(err, w.host, resource{name: "events"})
	switch {
	case errors.Is(err, context.Canceled), t.class == w.failed.class:
	case t.class == fine:
		w.log.Info("Events are published again")
	default:
		w.log.Warn("Events cannot be published; the newest are kept and tried again", "reason", t.text)
	}
	w.failed = t
}

// tellBehind logs, once until all has been told, that more happens than Events are for.
func (w *EventWriter) tellBehind(waiting int) {
	if !w.behind {
		w.log.Info("too much happens for Events; more of them follow one by one, as far as they are still so", "more", waiting)
	}
	w.behind = true
}

// bucket holds the right to publish: it fills up by one each eventPeriod.
type bucket struct {
	tokens float64
	at     time.Time // when that was so
}

// wait returns how long it takes until there is one.
func (b *bucket) wait(now time.Time) time.Duration {
	if !b.at.IsZero() {
		b.tokens = min(b.tokens+float64(now.Sub(b.at))/float64(eventPeriod), eventBurst)
	}
	b.at = now
	if b.tokens >= 1 {
		return 0
	}
	return time.Duration((1-b.tokens)*float64(eventPeriod)) + time.Millisecond
}

// take takes one out.
func (b *bucket) take(now time.Time) {
	b.wait(now)
	b.tokens--
}
