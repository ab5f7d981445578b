package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// proxy stands for a service proxy on a node: a healthz and a healthCheckNodePort.
type proxy struct {
	listener net.Listener
	status   atomic.Int32
}

func (n *node) proxy(t *testing.T, address string, status int) *proxy {
	t.Helper()
	p := &proxy{}
	p.status.Store(int32(status))
	var err error
	if p.listener, err = n.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(p.status.Load()))
	})}
	go func() { _ = server.Serve(p.listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return p
}

const readinessSite = `
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.0.2.11}]}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec:
  localASN: 64512
  topology: {type: None}
  readiness:
    dataplaneDelayMilliseconds: 2500
    probes: [{name: proxy, http: {port: 10256}}]
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata: {name: default}
spec: {podCIDRs: {}, services: {addressTypes: [ClusterIP, LoadBalancerIP]}}
`

// readinessService is a Service with an endpoint on node-1: a ClusterIP, or as Local a load
// balancer IP.
func readinessService(name, address string, local bool) string {
	spec, status := "{clusterIP: "+address+", ports: [{port: 80}]}", "{}"
	if local {
		spec = "{type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30080, ports: [{port: 80}]}"
		status = "{loadBalancer: {ingress: [{ip: " + address + ", ipMode: VIP}]}}"
	}
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: default}\nspec: %s\nstatus: %s\n---\n", name, spec, status) +
		fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s, namespace: default, labels: {kubernetes.io/service-name: %s}}\n", name, name) +
		"addressType: IPv4\nendpoints: [{addresses: [10.244.1.9], nodeName: node-1, conditions: {ready: true}}]\n"
}

// Addresses of Services are announced when the node can forward to them, and not before;
// withdrawals do not wait; a restart does not either for what was announced.
func TestAddressesOfServicesWaitUntilTheNodeCanForward(t *testing.T) {
	r, n, dir, start := dirRig(t)
	const one, two, local = "10.96.0.1/32", "10.96.0.2/32", "203.0.113.1/32"
	write(t, dir, "speaker.yaml", readinessSite)
	write(t, dir, "router.yaml", peerManifest)
	write(t, dir, "one.yaml", readinessService("one", "10.96.0.1", false))
	write(t, dir, "local.yaml", readinessService("local", "203.0.113.1", true))
	announced := func(prefix string) {
		t.Helper()
		r.eventually(func() error { return r.routerHas(prefix, n.IPv4()) })
	}
	not := func(prefixes ...string) {
		t.Helper()
		for _, prefix := range prefixes {
			if err := r.routerHas(prefix); err != nil {
				t.Errorf("too early: %v", err)
			}
		}
	}
	waiting := func(reason string, count int) {
		t.Helper()
		r.eventually(func() error { return n.metric(fmt.Sprintf(`fairway_prefixes_waiting{reason=%q} %d`, reason, count)) })
	}

	t.Log("nothing answers: pods alone are announced")
	start()
	announced("10.244.1.0/24")
	waiting("ProbeFailed", 2)
	not(one, local)

	t.Log("a good probe opens; the Local Service waits for its port, which is open on the Node's address alone")
	healthz := n.proxy(t, "127.0.0.1:10256", 200)
	announced(one)
	waiting("HealthCheckNodePort", 1)
	port := n.proxy(t, "192.0.2.11:30080", 503)
	not(local)
	port.status.Store(200)
	announced(local)

	t.Log("an address that is new has a delay")
	began := time.Now()
	write(t, dir, "two.yaml", readinessService("two", "10.96.0.2", false))
	waiting("DataplaneDelay", 1)
	announced(two)
	if took := time.Since(began); took < 2500*time.Millisecond {
		t.Errorf("it was announced after %s", took)
	}

	t.Log("a restart announces again what was announced: the router never lets go of it")
	if err := n.agent.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	port.status.Store(503) // it is not asked again
	start()
	all := func() error {
		return errors.Join(r.routerHas(one, n.IPv4()), r.routerHas(two, n.IPv4()), r.routerHas(local, n.IPv4()))
	}
	if err := lab.Stays(t.Context(), 6*time.Second, all); err != nil { // longer than the delay, with what the session takes
		t.Errorf("the router lost an address: %v", err)
	}
	if err := n.established(1); err != nil {
		t.Error(err)
	}

	t.Log("a probe that fails withdraws at once, and the pods stay")
	healthz.status.Store(503)
	for _, prefix := range []string{one, two, local} {
		r.eventually(func() error { return r.routerHas(prefix) })
	}
	announced("10.244.1.0/24")
	waiting("ProbeFailed", 3)
	const why = "the probe proxy fails, so this node announces no address of a Service: http://127.0.0.1:10256/healthz answers 503"
	r.eventually(func() error { return n.says("BGPNodeState_node-1", why) })

	t.Log("what was not announced is not after a restart")
	if err := n.agent.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	start()
	announced("10.244.1.0/24")
	waiting("ProbeFailed", 3)
	not(one, two, local)
	healthz.status.Store(200)
	announced(one)
}
