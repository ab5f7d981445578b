package kubesource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/kube"
	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/lab"
)

func startWriter(t *testing.T, o kube.StatusOptions) (*kube.StatusWriter, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	o.NodeName, o.Log = "node-a", slog.New(slog.NewTextHandler(log, nil))
	w, err := kube.NewStatusWriter(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the writer:\n%s", log)
		}
	})
	return w, log
}

var upSince = time.Now()

// reportOf has one session in a state, which holds so many prefixes.
func reportOf(state bgp.SessionState, prefixes int) *report.Report {
	return &report.Report{
		Node: "node-a", Version: "v1", Time: time.Now(),
		Source: report.Source{Synced: true}, RoutesSynced: true,
		Speaker: report.Speaker{Name: "all", Running: true, Config: bgp.Config{ASN: 65000, RouterID: netip.MustParseAddr("192.0.2.11")}},
		Routes:  routes.State{Wanted: prefixes, Installed: prefixes},
		Sessions: []report.Session{{Object: "mesh/node-b", Session: bgp.Session{
			Address: netip.MustParseAddr("192.0.2.12"), State: state, Since: upSince,
			Families: []bgp.FamilySession{{Family: bgp.IPv4Unicast, Received: prefixes}},
		}}},
	}
}

// states reads BGPNodeStates.
type states struct {
	t      *testing.T
	client *client.NodeStates
}

func newStates(t *testing.T, config *rest.Config) states {
	t.Helper()
	c, err := client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return states{t, c.BGPNodeStates()}
}

func (s states) eventually(what string, holds func(*v1alpha1.BGPNodeState) bool) (state *v1alpha1.BGPNodeState) {
	s.t.Helper()
	lab.Eventually(s.t, 30*time.Second, func() (err error) {
		if state, err = s.client.Get(s.t.Context(), "node-a", metav1.GetOptions{}); err == nil && !holds(state) {
			err = fmt.Errorf("%s: it is %+v", what, state)
		}
		return err
	})
	return state
}

func sessionIs(state v1alpha1.SessionState) func(*v1alpha1.BGPNodeState) bool {
	return func(s *v1alpha1.BGPNodeState) bool {
		return len(s.Status.Sessions) == 1 && s.Status.Sessions[0].State == state
	}
}

func TestStatusWriter(t *testing.T) {
	t.Parallel()
	cp := startControlPlane(t)
	w, log := startWriter(t, kube.StatusOptions{Config: cp.RESTConfig()})
	w.Report(reportOf(bgp.Active, 0))
	eventuallyLogged(t, log, "the Node does not exist")
	apply(t, cp, node("node-a", "10.244.0.0/24"))
	applyCRDs(t, cp)
	s := newStates(t, cp.RESTConfig())
	state := s.eventually("status", sessionIs("Active"))
	if n := log.count("it is tried again"); n != 1 {
		t.Errorf("the log told of failures %d times:\n%s", n, log)
	}
	checkOwner(t, cp, state)
	if got := state.Status.RouterID; got != "192.0.2.11" {
		t.Errorf("router ID %q", got)
	}

	t.Run("writes a change of state, at most every five seconds", func(t *testing.T) {
		began := time.Now()
		w.Report(reportOf(bgp.Established, 0))
		w.Report(reportOf(bgp.Idle, 0)) // the newest counts
		newStates(t, cp.RESTConfig()).eventually("new state", sessionIs("Idle"))
		w.Report(reportOf(bgp.Established, 1))
		newStates(t, cp.RESTConfig()).eventually("newer state", sessionIs("Established"))
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("two changes were written within %v", took)
		}
	})
	t.Run("holds mere counters back", func(t *testing.T) {
		s := newStates(t, cp.RESTConfig())
		before := s.eventually("object", sessionIs("Established"))
		w.Report(reportOf(bgp.Established, 7))
		err := lab.Stays(t.Context(), 6*time.Second, func() error {
			if now := s.eventually("object", sessionIs("Established")); now.ResourceVersion != before.ResourceVersion {
				return errors.New("counters alone were written")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.Report(reportOf(bgp.Active, 8)) // a change of state takes the counters along
		now := newStates(t, cp.RESTConfig()).eventually("new state", sessionIs("Active"))
		if now.Status.Routes.Wanted != 8 {
			t.Errorf("routes %+v", now.Status.Routes)
		}
	})
	t.Run("creates the object again when it was deleted", func(t *testing.T) {
		s := newStates(t, cp.RESTConfig())
		if err := s.client.Delete(t.Context(), "node-a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.Report(reportOf(bgp.Established, 1))
		checkOwner(t, cp, s.eventually("object", sessionIs("Established")))
	})
	t.Run("keeps transition times over a restart", func(t *testing.T) {
		s := newStates(t, cp.RESTConfig())
		before := s.eventually("object", sessionIs("Established")).Status.Conditions
		again, _ := startWriter(t, kube.StatusOptions{Config: cp.RESTConfig()})
		later := reportOf(bgp.Established, 2)
		later.Time, later.Version = time.Now().Add(time.Hour), "v2"
		again.Report(later)
		after := s.eventually("new version", func(s *v1alpha1.BGPNodeState) bool { return s.Status.SoftwareVersion == "v2" }).Status.Conditions
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("conditions changed from\n%v to\n%v", before, after)
		}
	})
}

func checkOwner(t *testing.T, cp *controlplane.ControlPlane, state *v1alpha1.BGPNodeState) {
	t.Helper()
	node, err := cp.Client().CoreV1().Nodes().Get(t.Context(), "node-a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: "node-a", UID: node.UID}
	if len(state.OwnerReferences) != 1 || state.OwnerReferences[0] != want {
		t.Errorf("owners %+v, want %+v", state.OwnerReferences, want)
	}
}

func eventuallyLogged(t *testing.T, log *logBuffer, text string) {
	t.Helper()
	lab.Eventually(t, 30*time.Second, func() error {
		if log.count(text) == 0 {
			return fmt.Errorf("not logged %q:\n%s", text, log)
		}
		return nil
	})
}
