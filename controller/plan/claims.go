package plan

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// index finds values by a key that several of them may have, in no particular order.
type index[K, V comparable] struct {
	*cow.Draft[K, []V]
}

func newIndex[K, V comparable](room int) index[K, V] { return index[K, V]{cow.Make[K, []V](room)} }

func (x index[K, V]) fork() index[K, V] { return index[K, V]{x.Map().Edit()} }

func (x index[K, V]) of(key K) []V {
	all, _ := x.Get(key)
	return all
}

// add reports whether it is the first value of the key.
func (x index[K, V]) add(key K, value V) (first bool) {
	all := x.of(key)
	x.Set(key, append(slices.Clip(all), value))
	return len(all) == 0
}

// drop reports whether it was the last value of the key.
func (x index[K, V]) drop(key K, value V) (last bool) {
	var left []V
	for _, v := range x.of(key) {
		if v != value {
			left = append(left, v)
		}
	}
	if left == nil {
		x.Delete(key)
		return true
	}
	x.Set(key, left)
	return false
}

// claim is what a Service has an address as.
type claim struct {
	service *snapshot.Service
	kind    v1alpha1.ServiceAddressType
}

// local reports whether only endpoints on the node that a packet comes to serve the address.
func (c claim) local() bool {
	if c.kind == v1alpha1.AddressClusterIP {
		return c.service.InternalLocal
	}
	return c.service.ExternalLocal
}

// claimsOf yields the addresses of a Service; nothing of none.
func claimsOf(service *snapshot.Service) iter.Seq2[netip.Addr, claim] {
	return func(yield func(netip.Addr, claim) bool) {
		if service == nil {
			return
		}
		for kind, addrs := range map[v1alpha1.ServiceAddressType][]netip.Addr{
			v1alpha1.AddressClusterIP:      service.ClusterIPs,
			v1alpha1.AddressExternalIP:     service.ExternalIPs,
			v1alpha1.AddressLoadBalancerIP: service.LoadBalancerIPs,
		} {
			for _, addr := range addrs {
				if !yield(addr, claim{service, kind}) {
					return
				}
			}
		}
	}
}
