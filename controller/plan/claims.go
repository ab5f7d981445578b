package plan

import (
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// claims says which Services ask for a prefix, in no particular order.
type claims struct {
	*cow.Draft[netip.Prefix, []*snapshot.Service]
}

func (c claims) add(prefix netip.Prefix, service *snapshot.Service) {
	all, _ := c.Get(prefix)
	c.Set(prefix, append(slices.Clip(all), service))
}

func (c claims) drop(prefix netip.Prefix, service *snapshot.Service) {
	all, _ := c.Get(prefix)
	var left []*snapshot.Service
	for _, s := range all {
		if s != service {
			left = append(left, s)
		}
	}
	if left == nil {
		c.Delete(prefix)
		return
	}
	c.Set(prefix, left)
}
