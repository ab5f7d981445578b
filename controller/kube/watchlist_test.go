package kube

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// streaming is an API server that streams the initial state, and lists nothing.
type streaming struct{ events chan watch.Event }

func (s streaming) List(context.Context, metav1.ListOptions) (*corev1.ServiceList, error) {
	return nil, errors.New("nothing is listed here")
}

func (s streaming) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return watch.NewProxyWatcher(s.events), nil
}

// taker is a reader that tells of each change.
type taker struct {
	door
	changes chan struct{}
}

func (r taker) apply(_ *watched, change func() bool) {
	change()
	r.changes <- struct{}{}
}

func (taker) note(_ *watched, err error) (trouble, <-chan struct{}) {
	return troubleOf(err, "", resource{}), nil
}

// TestInitialStateThatIsStreamedIsTakenAtOnce: what the reflector gathers is converted already.
func TestInitialStateThatIsStreamedIsTakenAtOnce(t *testing.T) {
	server, r := streaming{make(chan watch.Event, 10)}, taker{make(door, 1), make(chan struct{}, 10)}
	var services collection[*snapshot.Service]
	w := newWatched(r, resource{name: "services"}, server, &services, func(o *corev1.Service) (*snapshot.Service, bool) {
		s := snapshot.ServiceFrom(o)
		return s, s != nil
	})
	service := func(name, ip, version string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, ResourceVersion: version}, Spec: corev1.ServiceSpec{ClusterIP: ip}}
	}
	server.events <- watch.Event{Type: watch.Added, Object: service("a", "10.96.0.1", "1")}
	server.events <- watch.Event{Type: watch.Added, Object: service("headless", "None", "2")}
	server.events <- watch.Event{Type: watch.Added, Object: service("b", "10.96.0.2", "3")}
	end := service("", "", "4")
	end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	server.events <- watch.Event{Type: watch.Bookmark, Object: end}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx, r) }()
	defer func() { cancel(); <-done }()

	for _, step := range []struct {
		event watch.Event
		want  string
	}{
		{watch.Event{}, "default/a default/b"},
		{watch.Event{Type: watch.Deleted, Object: service("a", "10.96.0.1", "5")}, "default/b"},
		{watch.Event{Type: watch.Added, Object: service("c", "10.96.0.3", "6")}, "default/b default/c"},
		{watch.Event{Type: watch.Modified, Object: service("b", "None", "7")}, "default/c"},
	} {
		if step.event.Type != "" {
			server.events <- step.event
		}
		select {
		case <-r.changes:
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing came after %s", step.event.Type)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(services.view())), " "); got != step.want {
			t.Errorf("after %q there are %s, want %s", step.event.Type, got, step.want)
		}
	}
}
