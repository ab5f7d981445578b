package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-bgp/fairway/test/controlplane/binaries"
)

const (
	minNodes = 3 // the agent's and two reflectors
	// The numbers that the addresses below have room for.
	maxNodes, maxServices = 32767, 50000
	// writers create objects at the same time. More than these do not make the server faster.
	writers = 64
)

// prefixes are what the router has to have, by family as FRR calls it.
type prefixes map[string]map[netip.Prefix]bool

func (p prefixes) add(prefix netip.Prefix) {
	family := "ipv6"
	if prefix.Addr().Is4() {
		family = "ipv4"
	}
	if p[family] == nil {
		p[family] = map[netip.Prefix]bool{}
	}
	p[family][prefix] = true
}

func (p prefixes) count() int { return len(p["ipv4"]) + len(p["ipv6"]) }

// client is one for many writes at once.
func (s *site) client() (kubernetes.Interface, error) {
	config := s.cp.RESTConfig()
	config.ContentType = runtime.ContentTypeProtobuf
	return kubernetes.NewForConfig(config)
}

// cached returns the folder that keeps the objects of a cluster for later runs. Its name tells
// apart what differs in anything.
func cached(nodes, services int) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for the cluster's objects: %w", err)
	}
	kubernetes, err := binaries.Version()
	if err != nil {
		return "", err
	}
	examples, err := json.Marshal([]any{kubernetes, nodes, services, node(1), service(1), endpointSlice(services, nodes)})
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "fairway-test", fmt.Sprintf("cluster-%x", sha256.Sum256(examples))[:24]), nil
}

// keep saves the cluster's objects, in place of those of an earlier run.
func (s *site) keep(ctx context.Context, dir string) error {
	old, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "cluster-*"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	unfinished := filepath.Join(filepath.Dir(dir), fmt.Sprintf("cluster-unfinished-%d", os.Getpid()))
	if err := s.cp.Save(ctx, unfinished); err != nil {
		return err
	}
	return os.Rename(unfinished, dir)
}

// populate creates the objects of the cluster.
func (s *site) populate(ctx context.Context, nodes, services int) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		name   string
		count  int
		create func(ctx context.Context, i int) error
	}{
		{"Nodes", nodes, func(ctx context.Context, i int) error {
			_, err := client.CoreV1().Nodes().Create(ctx, node(i), metav1.CreateOptions{})
			return err
		}},
		{"Services", services, func(ctx context.Context, i int) error {
			_, err := client.CoreV1().Services("default").Create(ctx, service(i), metav1.CreateOptions{})
			return err
		}},
		// One more, for the Service that comes and goes.
		{"EndpointSlices", services + 1, func(ctx context.Context, i int) error {
			_, err := client.DiscoveryV1().EndpointSlices("default").Create(ctx, endpointSlice(i, nodes), metav1.CreateOptions{})
			return err
		}},
	} {
		began := time.Now()
		all, ctx := errgroup.WithContext(ctx)
		all.SetLimit(writers)
		for i := range kind.count {
			all.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return kind.create(ctx, i)
			})
		}
		if err := all.Wait(); err != nil {
			return fmt.Errorf("creating %s: %w", kind.name, err)
		}
		s.said.say("%d %s created in %.1f s", kind.count, kind.name, time.Since(began).Seconds())
	}
	return nil
}

// prefixes returns what the agent has to announce, as the API server's objects say.
func (s *site) prefixes(ctx context.Context) (prefixes, error) {
	all, err := s.cp.Client().CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	want := prefixes{}
	for _, cidr := range []string{podIPv4, podIPv6} {
		want.add(netip.MustParsePrefix(cidr))
	}
	for _, svc := range all.Items {
		for _, ip := range svc.Spec.ClusterIPs {
			addr, err := netip.ParseAddr(ip)
			if err != nil {
				return nil, fmt.Errorf("service %s/%s: %w", svc.Namespace, svc.Name, err)
			}
			if addr.Is4() { // the EndpointSlices are of IPv4
				want.add(netip.PrefixFrom(addr, addr.BitLen()))
			}
		}
	}
	return want, nil
}

// node is a Node as a kubelet, a cloud's controller and the node IPAM controller leave it.
// Node 0 is the one that the agent runs for.
func node(i int) *corev1.Node {
	ipv4 := netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}).String()
	ipv6 := fmt.Sprintf("2001:db8:1::%x", i+1)
	if i == 0 {
		ipv4, ipv6 = "192.0.2.1", "2001:db8:a::1"
	}
	name := fmt.Sprintf("node-%d", i)
	pods := []string{fmt.Sprintf("10.%d.%d.0/24", 128+i>>8, i&0xff), fmt.Sprintf("fd00:10:244:%x::/64", i)}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
				"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
				"node.kubernetes.io/instance-type": "m.4xlarge", "topology.kubernetes.io/region": "north",
				"topology.kubernetes.io/zone": fmt.Sprintf("north-%d", i%3), "example.com/rack": fmt.Sprintf("rack-%d", i/40),
			},
			Annotations: map[string]string{"node.alpha.kubernetes.io/ttl": "300", "volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		},
		Spec: corev1.NodeSpec{PodCIDR: pods[0], PodCIDRs: pods, ProviderID: "example://north/" + name},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: ipv4}, {Type: corev1.NodeInternalIP, Address: ipv6}, {Type: corev1.NodeHostName, Address: name},
			},
			Capacity: capacity, Allocatable: capacity, Conditions: conditions(), Images: images,
			NodeInfo: corev1.NodeSystemInfo{
				MachineID: "5ea1f00dcafe4b1d9d0e5ea1f00dcafe", SystemUUID: "5ea1f00d-cafe-4b1d-9d0e-5ea1f00dcafe", BootID: "cafe4b1d-9d0e-4ea1-800d-cafe5ea1f00d",
				KernelVersion: "6.12.0-amd64", OSImage: "Debian GNU/Linux 13", ContainerRuntimeVersion: "containerd://2.1.0",
				KubeletVersion: "v1.36.3", OperatingSystem: "linux", Architecture: "amd64",
			},
		},
	}
}

var capacity = corev1.ResourceList{
	corev1.ResourceCPU: resource.MustParse("16"), corev1.ResourceMemory: resource.MustParse("65536Mi"),
	corev1.ResourceEphemeralStorage: resource.MustParse("200Gi"), corev1.ResourcePods: resource.MustParse("110"),
}

func conditions() []corev1.NodeCondition {
	now := metav1.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	var out []corev1.NodeCondition
	for _, kind := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		out = append(out, corev1.NodeCondition{
			Type: kind, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficient" + string(kind),
			Message: "kubelet has enough of it", LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	return append(out, corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
		Message: "kubelet is posting ready status", LastHeartbeatTime: now, LastTransitionTime: now,
	})
}

// images are as many as a kubelet reports by default: they are most of a Node's bytes.
var images = func() []corev1.ContainerImage {
	var out []corev1.ContainerImage
	for i := range 50 {
		repository := fmt.Sprintf("registry.example.com/team-%d/application-%d", i%7, i)
		out = append(out, corev1.ContainerImage{
			Names:     []string{repository + "@sha256:" + strings.Repeat(fmt.Sprintf("%02x", i), 32), fmt.Sprintf("%s:v1.%d.0", repository, i)},
			SizeBytes: int64(50+i) << 20,
		})
	}
	return out
}()

// service is a dual-stack Service of an address of its own per family.
func service(i int) *corev1.Service {
	const first = 1 << 12 // leaves room for the server's own
	ipv4 := netip.AddrFrom4([4]byte{10, 96, byte((first + i) >> 8), byte(first + i)}).String()
	ipv6 := fmt.Sprintf("fd00:10:96::%x", first+i)
	policy := corev1.IPFamilyPolicyRequireDualStack
	name := fmt.Sprintf("service-%d", i)
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default",
			Labels: map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": fmt.Sprintf("system-%d", i/20), "app.kubernetes.io/managed-by": "Helm"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: ipv4, ClusterIPs: []string{ipv4, ipv6}, IPFamilyPolicy: &policy,
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			Selector:   map[string]string{"app.kubernetes.io/name": name},
			Ports:      []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "metrics", Port: 9090}},
		},
	}
}

// endpointSlice holds three endpoints of a Service.
func endpointSlice(i, nodes int) *discoveryv1.EndpointSlice {
	name, yes := fmt.Sprintf("service-%d", i), true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default",
			Labels: map[string]string{discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, port := range []struct {
		name   string
		number int32
	}{{"http", 8080}, {"metrics", 9090}} {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &port.name, Port: &port.number})
	}
	for k := range 3 {
		on := (i + k) % nodes
		nodeName := fmt.Sprintf("node-%d", on)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.%d.%d.%d", 128+on>>8, on&0xff, 2+i%250)}, NodeName: &nodeName,
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: fmt.Sprintf("%s-%d", name, k)},
		})
	}
	return slice
}
