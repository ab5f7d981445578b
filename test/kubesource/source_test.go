package kubesource

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/controller/snapshot"
)

func TestSourceSaysThatCRDsAreMissingAndGoesOnOnceTheyAreThere(t *testing.T) {
	cp := startControlPlane(t)
	apply(t, cp, node("node-a", "10.244.0.0/24"))
	noLeaks(t)
	r := startReader(t, cp.RESTConfig())
	r.eventuallyState("error about CRDs", func(err string, synced bool) bool {
		return strings.Contains(err, "run: kubectl apply -k deploy/crds") && !synced
	})
	if snap, _ := r.Snapshot(); snap != nil {
		t.Errorf("there is a snapshot already: %s", text(snap))
	}
	applyCRDs(t, cp)
	r.eventuallyText("node-a[10.244.0.0/24]")
	r.eventuallyState("no error", func(err string, synced bool) bool { return err == "" && synced })
	if n := r.log.count("the CRDs of bgp.fairway.dev are not installed"); n != 1 {
		t.Errorf("the log told it %d times:\n%s", n, r.log)
	}
}

func TestSource(t *testing.T) {
	cp := startControlPlane(t)
	applyCRDs(t, cp)
	apply(t, cp, node("node-a", "10.244.0.0/24"))

	t.Run("follows objects that come, change and go", func(t *testing.T) {
		r := startReader(t, cp.RESTConfig())
		r.eventuallyText("node-a[10.244.0.0/24]")
		apply(t, cp, node("node-b", "10.244.1.0/24"), service("web", "10.96.0.80"), speaker, peer("tor-a", ""))
		r.eventuallyText("node-a[10.244.0.0/24] node-b[10.244.1.0/24] default/web[10.96.0.80] all/179 tor-a/179")
		snap, _ := r.Snapshot()
		if got := fmt.Sprint(snap.ServiceCIDRs); got != "[10.96.0.0/16 fd00:10:96::/112]" {
			t.Errorf("service ranges %s", got)
		}
		remove(t, cp, node("node-b", "10.244.1.0/24"), service("web", "10.96.0.80"), speaker, peer("tor-a", ""))
		r.eventuallyText("node-a[10.244.0.0/24]")
		if text(snap) == "node-a[10.244.0.0/24]" {
			t.Error("a snapshot that was handed out has changed")
		}
	})

	t.Run("reads other Nodes only while a speaker needs them", func(t *testing.T) {
		none := strings.Replace(speaker, "localASN: 65000", "localASN: 65000, topology: {type: None}, cluster: {podCIDRs: [10.244.0.0/16]}", 1)
		apply(t, cp, node("node-b", "10.244.1.0/24"), none)
		defer remove(t, cp, node("node-b", "10.244.1.0/24"), speaker)
		r := startReader(t, cp.RESTConfig())
		r.eventuallyText("node-a[10.244.0.0/24] all/179")
		apply(t, cp, speaker)
		r.eventuallyText("node-a[10.244.0.0/24] node-b[10.244.1.0/24] all/179")
		apply(t, cp, none)
		r.eventuallyText("node-a[10.244.0.0/24] all/179")
		apply(t, cp, speaker)
		r.eventuallyText("node-a[10.244.0.0/24] node-b[10.244.1.0/24] all/179")
	})

	t.Run("reads endpoints and namespaces only while an advertisement needs them", func(t *testing.T) {
		noLeaks(t)
		r := startReader(t, cp.RESTConfig())
		apply(t, cp, namespaced("shop", "tier: shop"), slice("web", "web", "node-a"), slice("headless", "db", "node-a"))
		defer remove(t, cp, slice("web", "web", ""), slice("headless", "db", ""))
		r.eventuallyText("node-a[10.244.0.0/24]")
		apply(t, cp, advertisement("{addressTypes: [ClusterIP]}"))
		defer remove(t, cp, advertisement("{addressTypes: [ClusterIP]}"))
		const one = "node-a[10.244.0.0/24] default/web:default/web[{node-a 1 0}]"
		r.eventuallyText(one)
		apply(t, cp, slice("web", "web", "node-b"))
		r.eventuallyText("node-a[10.244.0.0/24] default/web:default/web[{node-b 1 0}]")
		apply(t, cp, slice("web", "web", "node-a"), advertisement("{addressTypes: [ClusterIP], namespaceSelector: {matchLabels: {tier: shop}}}"))
		r.eventually("the labels of the namespace", func(snap *snapshot.Snapshot) bool {
			return text(snap) == one && snap.Namespaces["shop"] != nil && snap.Namespaces["shop"].Labels.Get("tier") == "shop"
		})
		apply(t, cp, advertisement("{addressTypes: [ClusterIP]}"))
		r.eventually("no namespaces", func(snap *snapshot.Snapshot) bool { return text(snap) == one && len(snap.Namespaces) == 0 })
	})

	t.Run("knows where the API servers are whatever is announced", func(t *testing.T) {
		r := startReader(t, cp.RESTConfig())
		apply(t, cp, slice("web", "web", "node-a"), ofAPIServers("203.0.113.6", "203.0.113.7"))
		defer remove(t, cp, slice("web", "web", ""))
		are := func(want ...string) {
			t.Helper()
			want = append([]string{cp.Address().Addr().String()}, want...)
			r.eventually(fmt.Sprint("API servers at ", want), func(snap *snapshot.Snapshot) bool {
				return fmt.Sprint(snap.APIServers) == fmt.Sprint(want) && snap.Slices.Len() == 0
			})
		}
		are("203.0.113.6")
		apply(t, cp, ofAPIServers("203.0.113.7", "203.0.113.6"))
		are("203.0.113.7")
		remove(t, cp, ofAPIServers("203.0.113.7", "203.0.113.6"))
		are()
	})

	t.Run("makes no new snapshot of what says nothing new", func(t *testing.T) {
		apply(t, cp, speaker, peer("tor-a", ""))
		defer remove(t, cp, speaker, peer("tor-a", ""))
		r := startReader(t, cp.RESTConfig())
		r.eventuallyText("node-a[10.244.0.0/24] all/179 tor-a/179")
		before, _ := r.Snapshot()
		for _, patch := range []struct{ path, body string }{
			{"/api/v1/nodes/node-a/status", `{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}`},
			{"/apis/bgp.fairway.dev/v1alpha1/bgpspeakers/all", `{"metadata": {"annotations": {"x": "y"}}}`},
		} {
			if err := cp.Client().CoreV1().RESTClient().Patch("application/merge-patch+json").AbsPath(patch.path).Body([]byte(patch.body)).Do(t.Context()).Error(); err != nil {
				t.Fatal(err)
			}
		}
		// Events of one kind come in order: when these are here, so were those before them.
		last := []string{node("node-z", "10.244.9.0/24"), strings.ReplaceAll(speaker, "all", "last")}
		apply(t, cp, last...)
		defer remove(t, cp, last...)
		r.eventuallyText("node-a[10.244.0.0/24] node-z[10.244.9.0/24] all/179 last/179 tor-a/179")
		after, _ := r.Snapshot()
		if before.Nodes["node-a"] != after.Nodes["node-a"] || before.Speakers["all"] != after.Speakers["all"] {
			t.Errorf("an object that says the same is another in the new snapshot:\n%#v\n%#v\n%#v\n%#v",
				before.Nodes["node-a"], after.Nodes["node-a"], before.Speakers["all"], after.Speakers["all"])
		}
	})

	t.Run("reads the Secrets that are referred to, and no others", func(t *testing.T) {
		apply(t, cp, secret("one", "abc"), secret("two", "xyz"), secret("unrelated", "other"))
		r := startReader(t, cp.RESTConfig())
		r.eventuallyText("node-a[10.244.0.0/24]")
		// No snapshot shows the peer without its password: that would be another session.
		apply(t, cp, peer("tor-a", "one"))
		defer remove(t, cp, peer("tor-a", ""))
		r.eventually("peer", func(snap *snapshot.Snapshot) bool {
			if len(snap.Peers) > 0 && text(snap) != "node-a[10.244.0.0/24] tor-a/179 one=abc" {
				t.Errorf("a snapshot on the way: %s", text(snap))
			}
			return len(snap.Peers) > 0
		})
		apply(t, cp, secret("one", "abcd"))
		r.eventuallyText("node-a[10.244.0.0/24] tor-a/179 one=abcd")
		apply(t, cp, peer("tor-a", "two"))
		r.eventuallyText("node-a[10.244.0.0/24] tor-a/179 two=xyz")
		remove(t, cp, secret("two", ""))
		r.eventuallyText("node-a[10.244.0.0/24] tor-a/179")
		apply(t, cp, secret("two", "new"))
		r.eventuallyText("node-a[10.244.0.0/24] tor-a/179 two=new")
	})

	t.Run("keeps what it read through an outage, and then notices what was deleted", func(t *testing.T) {
		apply(t, cp, service("web", "10.96.0.80"), speaker, peer("tor-a", "one"), secret("one", "abc"))
		noLeaks(t)
		way, config := &uplink{}, cp.RESTConfig()
		config.Dial = way.dial
		r := startReader(t, config)
		const all = "node-a[10.244.0.0/24] default/web[10.96.0.80] all/179 tor-a/179 one=abc"
		r.eventuallyText(all)
		before, stateBefore := r.Snapshot()

		way.cut()
		r.eventuallyState("error", func(err string, synced bool) bool {
			return strings.Contains(err, "cannot be reached: dial: the way is cut") && synced
		})
		if snap, _ := r.Snapshot(); snap != before {
			t.Errorf("the snapshot has changed to %s", text(snap))
		}
		if _, state := r.Snapshot(); state.Failures == stateBefore.Failures {
			t.Error("failed requests are not counted")
		}
		remove(t, cp, service("web", "10.96.0.80"), peer("tor-a", ""))
		way.mend()
		mended := time.Now()
		r.eventuallyText("node-a[10.244.0.0/24] all/179")
		r.eventuallyState("no error", func(err string, _ bool) bool { return err == "" })
		t.Logf("read again %v after the way was mended", time.Since(mended).Round(time.Millisecond))
		for _, line := range []string{"the API server cannot be read", "the API server can be read again"} {
			if n := r.log.count(line); n != 1 {
				t.Errorf("the log told %q %d times:\n%s", line, n, r.log)
			}
		}
		remove(t, cp, speaker)
	})

	t.Run("does without ServiceCIDRs, and without Secrets, that it may not read", func(t *testing.T) {
		apply(t, cp, limitedRole, peer("tor-a", "one"), secret("one", "abc"))
		defer remove(t, cp, peer("tor-a", ""))
		r := startReader(t, configOf(t, cp.KubeconfigForUser("limited")))
		r.eventually("snapshot", func(snap *snapshot.Snapshot) bool {
			return strings.Contains(snap.Passwords["one"].Problem, "cannot be read: reading secrets/one is forbidden") && len(snap.ServiceCIDRs) == 0
		})
		if _, state := r.Snapshot(); !state.Synced || state.Error != "" {
			t.Errorf("state %+v", state)
		}
		for _, line := range []string{"service ranges cannot be read", "a Secret with a password cannot be read"} {
			if n := r.log.count(line); n != 1 {
				t.Errorf("the log told %q %d times", line, n)
			}
		}
	})

	t.Run("says which kind it may not read", func(t *testing.T) {
		r := startReader(t, configOf(t, cp.KubeconfigForUser("nobody")))
		r.eventuallyState("error", func(err string, synced bool) bool {
			return strings.Contains(err, "reading nodes") && strings.Contains(err, "deploy/kustomize/base") && !synced
		})
	})

	t.Run("survives a restart of the API server", func(t *testing.T) {
		r := startReader(t, cp.RESTConfig())
		r.eventuallyText("node-a[10.244.0.0/24]")
		before, _ := r.Snapshot()
		cp.StopAPIServer()
		r.eventuallyState("error", func(err string, synced bool) bool {
			return strings.Contains(err, "connection refused") && synced
		})
		if snap, _ := r.Snapshot(); snap != before {
			t.Errorf("the snapshot has changed to %s", text(snap))
		}
		cp.StartAPIServer()
		apply(t, cp, service("again", "10.96.0.90"))
		r.eventuallyText("node-a[10.244.0.0/24] default/again[10.96.0.90]")
		r.eventuallyState("no error", func(err string, _ bool) bool { return err == "" })
	})
}

func TestSourceWaitsForAnAPIServerThatIsAwayButNotForASecret(t *testing.T) {
	t.Parallel()
	cp := startControlPlane(t)
	applyCRDs(t, cp)
	way, config := &uplink{}, cp.RESTConfig()
	config.Dial = way.dial
	config.Wrap(withoutSecrets)
	way.cut()
	r := startReader(t, config)
	r.eventuallyState("error", func(err string, synced bool) bool { return err != "" && !synced })
	if snap, _ := r.Snapshot(); snap != nil {
		t.Errorf("a snapshot of nothing: %s", text(snap))
	}
	way.mend()
	r.eventually("snapshot", func(*snapshot.Snapshot) bool { return true })
	const missing = "this node does not exist in the API server any more"
	if n := r.log.count(missing); n != 0 {
		t.Errorf("the log told %d times that a node is missing which was never there:\n%s", n, r.log)
	}
	apply(t, cp, node("node-a", "10.244.0.0/24"))
	r.eventuallyText("node-a[10.244.0.0/24]")
	remove(t, cp, node("node-a", "10.244.0.0/24"))
	r.eventuallyText("")
	if n := r.log.count(missing); n != 1 {
		t.Errorf("the log told %d times that the node is missing:\n%s", n, r.log)
	}
	apply(t, cp, peer("tor-a", "one"), secret("one", "abc"))
	r.eventuallyText("tor-a/179 one=could not be read within 5 seconds; it is tried again")
}

// deaf is an API server that never answers about Secrets.
type deaf struct{ http.RoundTripper }

func withoutSecrets(rt http.RoundTripper) http.RoundTripper { return deaf{rt} }

func (d deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/secrets") {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return d.RoundTripper.RoundTrip(r)
}

// limitedRole may read everything but ServiceCIDRs and Secrets.
const limitedRole = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: limited}
rules:
- {apiGroups: [""], resources: [nodes, services], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
- {apiGroups: [bgp.fairway.dev], resources: ["*"], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: limited}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: limited}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: limited}
`
