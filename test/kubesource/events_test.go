package kubesource

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/kube"
	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/lab"
)

const agentRights = "../../deploy/kustomize/base/rbac.yaml"

func startEvents(t *testing.T, config *rest.Config, node string) (*kube.EventWriter, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	w, err := kube.NewEventWriter(kube.EventOptions{Config: config, NodeName: node, Log: slog.New(slog.NewTextHandler(log, nil))})
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
			t.Logf("log of the writer of %s:\n%s", node, log)
		}
	})
	return w, log
}

// nodeReport is what the agent of a node reports.
func nodeReport(node string, sessions ...report.Session) *report.Report {
	return &report.Report{Node: node, Time: time.Now(), Source: report.Source{Synced: true}, Sessions: sessions}
}

func sessionWith(object string, state bgp.SessionState, since time.Time, lastError string) report.Session {
	return report.Session{Object: object, Session: bgp.Session{
		Peer: object + "/192.0.2.1", Address: netip.MustParseAddr("192.0.2.1"), ASN: 64512,
		State: state, Since: since, LastError: lastError,
	}}
}

// published are the Events as a person reads them, sorted.
func published(t *testing.T, cp *controlplane.ControlPlane) []string {
	t.Helper()
	list, err := cp.Client().EventsV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range list.Items {
		if e.ReportingController != "bgp.fairway.dev/agent" {
			continue // the API server tells Events too
		}
		times := int32(1)
		if e.Series != nil {
			times = e.Series.Count
		}
		out = append(out, fmt.Sprintf("%s %s %s/%s x%d: %s", e.Type, e.Reason, e.Regarding.Kind, e.Regarding.Name, times, e.Note))
	}
	slices.Sort(out)
	return out
}

func eventuallyPublished(t *testing.T, cp *controlplane.ControlPlane, want ...string) {
	t.Helper()
	slices.Sort(want)
	lab.Eventually(t, 30*time.Second, func() error {
		if got := published(t, cp); !slices.Equal(got, want) {
			return fmt.Errorf("Events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return nil
	})
}

func clearEvents(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	events := cp.Client().EventsV1().Events("default")
	if err := events.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
}

// startEventPlane starts a control plane with the agents' rights, a BGPPeer and two Nodes, and
// returns what an agent reaches it by.
func startEventPlane(t *testing.T) (*controlplane.ControlPlane, *rest.Config) {
	t.Helper()
	cp := startControlPlane(t)
	applyCRDs(t, cp)
	rights, err := os.ReadFile(agentRights)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, cp, string(rights), peer("tor", ""), node("node-a", "10.244.0.0/24"), node("node-b", "10.244.1.0/24"))
	return cp, configOf(t, cp.KubeconfigForServiceAccount(t.Context(), namespace, "fairway-agent"))
}

func TestEventsTellWhatChanges(t *testing.T) {
	t.Parallel()
	cp, config := startEventPlane(t)
	w, _ := startEvents(t, config, "node-a")
	const who = "node-a: the session with 192.0.2.1 (AS 64512) "
	began := time.Now()

	t.Run("sessions, about the BGPPeer or the other Node", func(t *testing.T) {
		w.Report(nodeReport("node-a", sessionWith("tor", bgp.Established, began, ""), sessionWith("mesh/node-b", bgp.Established, began, "")))
		up := []string{"Normal SessionUp BGPPeer/tor x1: " + who + "is up", "Normal SessionUp Node/node-b x1: " + who + "is up"}
		eventuallyPublished(t, cp, up...)
		w.Report(nodeReport("node-a", sessionWith("tor", bgp.Idle, began, "the peer sent Cease: it goes down for maintenance"), sessionWith("mesh/node-b", bgp.Established, began, "")))
		eventuallyPublished(t, cp, append(up, "Warning SessionDown BGPPeer/tor x1: "+who+"went down: the peer sent Cease: it goes down for maintenance")...)
	})
	t.Run("as kubectl describe looks for them", func(t *testing.T) {
		c, err := client.NewForConfig(cp.RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		tor, err := c.BGPPeers().Get(t.Context(), "tor", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		selector := fmt.Sprintf("involvedObject.kind=BGPPeer,involvedObject.name=tor,involvedObject.uid=%s", tor.UID)
		list, err := cp.Client().CoreV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{FieldSelector: selector})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 2 {
			t.Errorf("%d Events of BGPPeer tor, want 2", len(list.Items))
		}
	})
	t.Run("the same again counts up", func(t *testing.T) {
		clearEvents(t, cp)
		for i := range 3 {
			w.Report(nodeReport("node-a", sessionWith("tor", bgp.Established, began.Add(time.Duration(i+1)*time.Second), "")))
			up := fmt.Sprintf("Normal SessionUp BGPPeer/tor x%d: %sis up", i+1, who)
			down := fmt.Sprintf("Warning SessionDown BGPPeer/tor x%d: %swent down: lost", i+1, who)
			before := []string{up}
			if i > 0 {
				before = append(before, fmt.Sprintf("Warning SessionDown BGPPeer/tor x%d: %swent down: lost", i, who))
			}
			eventuallyPublished(t, cp, before...)
			w.Report(nodeReport("node-a", sessionWith("tor", bgp.Idle, began, "lost")))
			eventuallyPublished(t, cp, up, down)
		}
	})
	t.Run("a rejected object, once for all agents", func(t *testing.T) {
		clearEvents(t, cp)
		rejected := nodeReport("node-a")
		rejected.Verdicts = []report.Verdict{{Kind: "BGPPeer", Name: "tor", Generation: 1, Reason: "Conflicted", Message: "the older one counts"}}
		w.Report(rejected)
		want := "Warning Conflicted BGPPeer/tor x1: the older one counts (said first by the agent on node-a)"
		eventuallyPublished(t, cp, want)
		other, _ := startEvents(t, config, "node-b")
		theirs := *rejected
		theirs.Node = "node-b"
		theirs.Refusals = map[report.Refusal]int{{Peer: "tor", Reason: "OwnPodCIDR"}: 7} // comes after the verdict
		other.Report(&theirs)
		eventuallyPublished(t, cp, want, "Warning PrefixesRefused BGPPeer/tor x1: node-b: learned prefixes that stay out of the kernel: 7 (OwnPodCIDR)")
	})
	t.Run("an address of a Service that is not announced, in the Service's namespace", func(t *testing.T) {
		clearEvents(t, cp)
		apply(t, cp, namespaced("shop", ""), strings.Replace(service("web", "10.96.0.81"), "namespace: default", "namespace: shop", 1))
		r := nodeReport("node-a")
		r.Problems = []report.Problem{{Kind: "Service", Name: "shop/web", Subject: "203.0.113.9", Reason: "OutsideRanges", Message: "203.0.113.9 lies in no range"}}
		w.Report(r)
		eventuallyPublished(t, cp, "Warning OutsideRanges Service/web x1: 203.0.113.9 lies in no range (said first by the agent on node-a)")
		list, err := cp.Client().EventsV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			t.Errorf("%d Events in the namespace, %v", len(list.Items), err)
		}
		if err := cp.Client().EventsV1().Events("shop").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("nothing of what is gone", func(t *testing.T) {
		clearEvents(t, cp)
		w.Report(nodeReport("node-a", sessionWith("gone", bgp.Established, began, ""), sessionWith("tor", bgp.Established, began.Add(time.Hour), "")))
		eventuallyPublished(t, cp, "Normal SessionUp BGPPeer/tor x1: "+who+"is up")
	})
}

func TestEventsWaitForTheAPIServerAndTellTheNewest(t *testing.T) {
	t.Parallel()
	cp, config := startEventPlane(t)
	way := &uplink{}
	config.Dial = way.dial
	way.cut()
	w, log := startEvents(t, config, "node-a")
	w.Report(nodeReport("node-a", sessionWith("tor", bgp.Established, time.Now(), "")))
	eventuallyLogged(t, log, "Events cannot be published")
	w.Report(nodeReport("node-a", sessionWith("tor", bgp.Active, time.Now(), "lost")))
	w.Report(nodeReport("node-a", sessionWith("mesh/node-b", bgp.Established, time.Now(), "")))
	way.mend()
	eventuallyPublished(t, cp, "Normal SessionUp Node/node-b x1: node-a: the session with 192.0.2.1 (AS 64512) is up")
	eventuallyLogged(t, log, "Events are published again")
	if n := log.count("cannot be published"); n != 1 {
		t.Errorf("one outage made %d lines:\n%s", n, log)
	}
}

func TestManyEventsAtOnceAreFewAndTheLogSaysSo(t *testing.T) {
	t.Parallel()
	cp, config := startEventPlane(t)
	w, log := startEvents(t, config, "node-a")
	var sessions []report.Session
	for i := range 50 {
		s := sessionWith("tor", bgp.Established, time.Now(), "")
		s.Peer, s.Address = fmt.Sprintf("tor/192.0.2.%d", i), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		sessions = append(sessions, s)
	}
	w.Report(nodeReport("node-a", sessions...))
	eventuallyLogged(t, log, "more=30")
	if n := len(published(t, cp)); n != 20 {
		t.Errorf("%d Events were published at once, want 20", n)
	}
	for i := range sessions { // what is no longer so is not told
		sessions[i].Object = ""
	}
	sessions[49].Object = "tor"
	w.Report(nodeReport("node-a", sessions...))
	var last []string
	lab.Eventually(t, 30*time.Second, func() error {
		if last = published(t, cp); len(last) != 21 {
			return fmt.Errorf("%d Events, want one more: the one that is still so", len(last))
		}
		return nil
	})
	if !slices.Contains(last, "Normal SessionUp BGPPeer/tor x1: node-a: the session with 192.0.2.49 (AS 64512) is up") {
		t.Errorf("Events are\n%s\nwithout that of 192.0.2.49, the one that is still so", strings.Join(last, "\n"))
	}
	if n := log.count("too much happens for Events"); n != 1 {
		t.Errorf("the log says so %d times, want once:\n%s", n, log)
	}
}
