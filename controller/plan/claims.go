package plan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// claims says which Services have an address. Forks share all that has not changed since, so
// that one costs next to nothing, and no fork sees what another one changes.
type claims struct {
	shards [claimShards]map[netip.Addr][]*snapshot.Service
	own    [claimShards]bool // shards that no other fork has
}

// claimShards is so large that a shard of tens of thousands of addresses is quickly copied.
const claimShards = 256

// shardOf spreads addresses, which mostly differ at the end.
func shardOf(addr netip.Addr) int { return int(addr.As16()[15]) }

// newClaims returns one with room for the addresses of that many Services.
func newClaims(services int) *claims {
	c := &claims{}
	for i := range c.shards {
		c.shards[i], c.own[i] = make(map[netip.Addr][]*snapshot.Service, 2*services/claimShards), true
	}
	return c
}

func (c *claims) fork() *claims { return &claims{shards: c.shards} }

// of returns the Services that have an address, in no particular order.
func (c *claims) of(addr netip.Addr) []*snapshot.Service { return c.shards[shardOf(addr)][addr] }

// replace takes back what one Service claims and notes what another one does; either may be nil.
func (c *claims) replace(was, is *snapshot.Service) {
	if was != nil {
		for _, addr := range was.ClusterIPs {
			c.drop(addr, was)
		}
	}
	if is != nil {
		for _, addr := range is.ClusterIPs {
			c.add(addr, is)
		}
	}
}

func (c *claims) add(addr netip.Addr, service *snapshot.Service) {
	shard := c.shard(addr)
	shard[addr] = append(slices.Clip(shard[addr]), service)
}

func (c *claims) drop(addr netip.Addr, service *snapshot.Service) {
	shard := c.shard(addr)
	var left []*snapshot.Service
	for _, s := range shard[addr] {
		if s != service {
			left = append(left, s)
		}
	}
	if left == nil {
		delete(shard, addr)
		return
	}
	shard[addr] = left
}

// shard returns the part that an address is in, to be changed.
func (c *claims) shard(addr netip.Addr) map[netip.Addr][]*snapshot.Service {
	i := shardOf(addr)
	if !c.own[i] {
		c.shards[i], c.own[i] = maps.Clone(c.shards[i]), true
	}
	return c.shards[i]
}
