package client_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/kube/client"
)

const group = "/apis/bgp.fairway.dev/v1alpha1/"

// server keeps objects as an API server does, as far as this client can see it: by
// resource and name, with a status that only the subresource changes.
type server struct {
	mu      sync.Mutex
	objects map[string]map[string]any // by "bgppeers/name"
	accepts []string                  // Accept headers seen
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepts = append(s.accepts, r.Header.Get("Accept"))
	path, ok := strings.CutPrefix(r.URL.Path, group)
	if !ok {
		http.Error(w, "no such group: "+r.URL.Path, http.StatusNotFound)
		return
	}
	key, isStatus := strings.CutSuffix(path, "/status")
	switch r.Method {
	case http.MethodGet:
		s.read(w, r, key)
	case http.MethodPost:
		obj := body(r)
		delete(obj, "status")
		s.store(w, key+"/"+obj["metadata"].(map[string]any)["name"].(string), obj)
	case http.MethodPut, http.MethodPatch:
		s.change(w, key, isStatus, body(r))
	case http.MethodDelete:
		delete(s.objects, key)
		reply(w, http.StatusOK, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	}
}

func (s *server) read(w http.ResponseWriter, r *http.Request, key string) {
	if strings.Contains(key, "/") {
		obj, ok := s.objects[key]
		if !ok {
			reply(w, http.StatusNotFound, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
			return
		}
		reply(w, http.StatusOK, obj)
		return
	}
	items := []any{}
	for name, obj := range s.objects {
		if strings.HasPrefix(name, key+"/") {
			items = append(items, obj)
		}
	}
	if r.URL.Query().Get("watch") == "" {
		reply(w, http.StatusOK, map[string]any{"items": items})
		return
	}
	for _, obj := range items {
		reply(w, http.StatusOK, map[string]any{"type": "ADDED", "object": obj})
	}
}

// change merges at the first level, which is all that these tests need of a patch.
func (s *server) change(w http.ResponseWriter, key string, isStatus bool, with map[string]any) {
	obj := s.objects[key]
	for _, part := range []string{"spec", "status"} {
		if value, ok := with[part]; ok && (part == "status") == isStatus {
			obj[part] = value
		}
	}
	s.store(w, key, obj)
}

func (s *server) store(w http.ResponseWriter, key string, obj map[string]any) {
	s.objects[key] = obj
	reply(w, http.StatusOK, obj)
}

func body(r *http.Request) map[string]any {
	var obj map[string]any
	text, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(text, &obj); err != nil {
		panic(err) // net/http turns it into a failed request
	}
	return obj
}

func reply(w http.ResponseWriter, code int, obj any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(obj)
}

func start(t *testing.T) (*client.Client, *server) {
	t.Helper()
	s := &server{objects: map[string]map[string]any{}}
	listener := httptest.NewServer(s)
	t.Cleanup(listener.Close)
	c, err := client.NewForConfig(&rest.Config{
		Host:          listener.URL,
		QPS:           -1, // no limit
		ContentConfig: rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// api is what each of the four clients can do.
type api[T, L any] interface {
	Create(context.Context, T, metav1.CreateOptions) (T, error)
	Get(context.Context, string, metav1.GetOptions) (T, error)
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
	Update(context.Context, T, metav1.UpdateOptions) (T, error)
	UpdateStatus(context.Context, T, metav1.UpdateOptions) (T, error)
	Patch(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (T, error)
	Delete(context.Context, string, metav1.DeleteOptions) error
}

// walk takes one object through its life; conditions shows its status.
func walk[T metav1.Object, L any](t *testing.T, c api[T, L], obj T, conditions func(T) *[]metav1.Condition, count func(L) int) {
	t.Helper()
	ctx, name := t.Context(), obj.GetName()
	fatal := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err := c.Create(ctx, obj, metav1.CreateOptions{})
	fatal("create", err)
	got, err := c.Get(ctx, name, metav1.GetOptions{})
	fatal("get", err)
	*conditions(got) = []metav1.Condition{{Type: v1alpha1.ConditionAccepted, Reason: v1alpha1.ReasonAccepted, Status: metav1.ConditionTrue}}
	updated, err := c.Update(ctx, got, metav1.UpdateOptions{})
	fatal("update", err)
	if len(*conditions(updated)) != 0 {
		t.Error("Update wrote the status")
	}
	updated, err = c.UpdateStatus(ctx, got, metav1.UpdateOptions{})
	fatal("update status", err)
	if len(*conditions(updated)) != 1 {
		t.Error("UpdateStatus did not write the status")
	}
	updated, err = c.Patch(ctx, name, types.MergePatchType, []byte(`{"status":{"conditions":[]}}`), metav1.PatchOptions{}, "status")
	fatal("patch status", err)
	if len(*conditions(updated)) != 0 {
		t.Error("Patch did not write the status")
	}
	list, err := c.List(ctx, metav1.ListOptions{})
	fatal("list", err)
	if n := count(list); n != 1 {
		t.Errorf("the list has %d objects, want 1", n)
	}
	watched, err := c.Watch(ctx, metav1.ListOptions{})
	fatal("watch", err)
	event := <-watched.ResultChan()
	if seen, ok := event.Object.(T); !ok || event.Type != watch.Added || seen.GetName() != name {
		t.Errorf("watch brought %v %T, want ADDED %T", event.Type, event.Object, obj)
	}
	watched.Stop()
	fatal("delete", c.Delete(ctx, name, metav1.DeleteOptions{}))
	if _, err := c.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get after delete: %v, want not found", err)
	}
}

func TestEachKindLivesThroughItsClient(t *testing.T) {
	c, s := start(t)
	meta := metav1.ObjectMeta{Name: "a"}
	walk(t, c.BGPSpeakers(), &v1alpha1.BGPSpeaker{ObjectMeta: meta},
		func(o *v1alpha1.BGPSpeaker) *[]metav1.Condition { return &o.Status.Conditions },
		func(l *v1alpha1.BGPSpeakerList) int { return len(l.Items) })
	walk(t, c.BGPPeers(), &v1alpha1.BGPPeer{ObjectMeta: meta},
		func(o *v1alpha1.BGPPeer) *[]metav1.Condition { return &o.Status.Conditions },
		func(l *v1alpha1.BGPPeerList) int { return len(l.Items) })
	walk(t, c.BGPAdvertisements(), &v1alpha1.BGPAdvertisement{ObjectMeta: meta},
		func(o *v1alpha1.BGPAdvertisement) *[]metav1.Condition { return &o.Status.Conditions },
		func(l *v1alpha1.BGPAdvertisementList) int { return len(l.Items) })
	walk(t, c.BGPNodeStates(), &v1alpha1.BGPNodeState{ObjectMeta: meta},
		func(o *v1alpha1.BGPNodeState) *[]metav1.Condition { return &o.Status.Conditions },
		func(l *v1alpha1.BGPNodeStateList) int { return len(l.Items) })

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, accept := range s.accepts {
		if strings.Contains(accept, "protobuf") || !strings.Contains(accept, "application/json") {
			t.Errorf("a request asked for %q; custom resources exist in JSON only", accept)
		}
	}
}

func TestNewForConfigLeavesTheConfigurationAlone(t *testing.T) {
	config := &rest.Config{Host: "https://192.0.2.1", ContentConfig: rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf"}}
	before := rest.CopyConfig(config)
	if _, err := client.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if config.ContentType != before.ContentType || config.GroupVersion != nil || config.APIPath != "" || config.UserAgent != "" {
		t.Errorf("changed to %v", config)
	}
}

func TestNewForConfigSaysWhatIsWrong(t *testing.T) {
	config := &rest.Config{Host: "https://192.0.2.1", TLSClientConfig: rest.TLSClientConfig{CAFile: "/nonexistent/ca.crt"}}
	if _, err := client.NewForConfig(config); err == nil || !strings.Contains(err.Error(), "/nonexistent/ca.crt") {
		t.Errorf("got %v, want an error that names the file", err)
	}
}
