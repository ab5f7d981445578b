package plan_test

import (
	"fmt"
	"net/netip"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// large is a cluster of 5,000 nodes and 10,000 Services, seen from one node with two routers.
func large() (*snapshot.Snapshot, plan.Local) {
	asn, peerASN := int64(64512), int64(65001)
	speaker := &v1alpha1.BGPSpeaker{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1alpha1.BGPSpeakerSpec{
		LocalASN: &asn, Topology: v1alpha1.Topology{Type: v1alpha1.TopologyNone},
		Cluster: v1alpha1.ClusterNetworks{PodCIDRs: []string{"10.0.0.0/8", "fd00::/16"}, ServiceCIDRs: []string{"172.16.0.0/12"}},
	}}
	v1alpha1.SetDefaultsBGPSpeaker(speaker)
	snap := &snapshot.Snapshot{
		Nodes:          map[string]*snapshot.Node{},
		Speakers:       map[string]*v1alpha1.BGPSpeaker{"default": speaker},
		Peers:          map[string]*v1alpha1.BGPPeer{},
		Advertisements: map[string]*v1alpha1.BGPAdvertisement{"default": advertisement("default", v1alpha1.AddressClusterIP, 32)},
	}
	for i := range 2 {
		p := &v1alpha1.BGPPeer{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("tor-%d", i)}, Spec: v1alpha1.BGPPeerSpec{Address: fmt.Sprintf("192.0.2.%d", i+1), ASN: &peerASN}}
		v1alpha1.SetDefaultsBGPPeer(p)
		snap.Peers[p.Name] = p
	}
	for i := range 5000 {
		name := fmt.Sprintf("node-%d", i)
		snap.Nodes[name] = &snapshot.Node{
			Name:      name,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(2 + i>>8), byte(11 + i)})},
			PodCIDRs:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)},
		}
	}
	services, endpoints := map[string]*snapshot.Service{}, map[string]*snapshot.EndpointSlice{}
	for i := range 10000 {
		s := service(i)
		services[s.Key()] = s
		for _, family := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
			endpoints[fmt.Sprintf("%s-%d", s.Key(), family)] = &snapshot.EndpointSlice{
				Service: s.Key(), Family: family, Nodes: []snapshot.Endpoints{{Node: fmt.Sprintf("node-%d", i%5000), Ready: 1}}}
		}
	}
	snap.Services, snap.Slices = cow.Of(services), cow.Of(endpoints)
	local := plan.Local{NodeName: "node-0", Networks: []plan.Network{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Addr: netip.MustParseAddr("192.0.2.11"), Link: 2}}}
	return snap, local
}

func advertisement(name string, kind v1alpha1.ServiceAddressType, length int32) *v1alpha1.BGPAdvertisement {
	ad := &v1alpha1.BGPAdvertisement{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.BGPAdvertisementSpec{PodCIDRs: &v1alpha1.AdvertisedPodCIDRs{}, Services: &v1alpha1.AdvertisedServices{
			AddressTypes: []v1alpha1.ServiceAddressType{kind}, Aggregation: v1alpha1.Aggregation{IPv4Length: &length},
		}},
	}
	v1alpha1.SetDefaultsBGPAdvertisement(ad)
	return ad
}

func service(i int) *snapshot.Service {
	return &snapshot.Service{Namespace: "default", Name: fmt.Sprintf("service-%d", i), ClusterIPs: []netip.Addr{
		netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}),
		netip.AddrFrom16([16]byte{0xfd, 0x10, 14: byte(i >> 8), 15: byte(i)}),
	}}
}

func BenchmarkWholeBuild(b *testing.B) {
	snap, local := large()
	for b.Loop() {
		plan.Build(snap, local, nil)
	}
}

func BenchmarkOneServiceChanges(b *testing.B) { changeOne(b, 32) }

// All ten thousand lie in one aggregate.
func BenchmarkOneServiceOfAnAggregateChanges(b *testing.B) { changeOne(b, 12) }

// changeOne changes a label of one Service.
func changeOne(b *testing.B, length int32) {
	snap, local := large()
	snap.Advertisements["default"] = advertisement("default", v1alpha1.AddressClusterIP, length)
	p := plan.Build(snap, local, nil)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		next, services := *snap, snap.Services.Edit()
		changed := service(7)
		changed.Labels = snapshot.LabelsFrom(map[string]string{"step": fmt.Sprint(i % 2)})
		services.Set("default/service-7", changed)
		next.Services = services.Map()
		snap = &next
		b.StartTimer()
		p = plan.Build(snap, local, p)
	}
}

// written is a cluster in which one BGPAdvertisement forces so many prefixes.
func written(prefixes int) (*snapshot.Snapshot, plan.Local) {
	snap, local := large()
	snap.Services, snap.Slices = cow.Of(map[string]*snapshot.Service{}), cow.Of(map[string]*snapshot.EndpointSlice{})
	force := true
	ad := &v1alpha1.BGPAdvertisement{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	for i := range prefixes {
		ad.Spec.Prefixes = append(ad.Spec.Prefixes, v1alpha1.AdvertisedPrefix{Prefix: fmt.Sprintf("203.0.113.%d/32", i), Force: &force})
	}
	v1alpha1.SetDefaultsBGPAdvertisement(ad)
	snap.Advertisements["default"] = ad
	return snap, local
}

func BenchmarkWholeBuildOfWrittenPrefixes(b *testing.B) {
	snap, local := written(256)
	for b.Loop() {
		plan.Build(snap, local, nil)
	}
}

// What a written prefix takes does not grow with the number of Nodes.
func TestAWrittenPrefixCostsItsOwn(t *testing.T) {
	bytes := func(prefixes int) int64 {
		snap, local := written(prefixes)
		return testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plan.Build(snap, local, nil)
			}
		}).AllocedBytesPerOp()
	}
	if each := (bytes(256) - bytes(1)) / 255; each > 4<<10 {
		t.Errorf("each takes %d bytes in a cluster of 5000 nodes", each)
	}
}
