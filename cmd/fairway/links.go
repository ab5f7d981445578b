package main

import (
	"slices"

	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/routes/host"
)

// addLinks tells of the links with these names that there are, and of those that link-local
// gateways are on.
func addLinks(local *plan.Local, names []string, facts host.Facts) {
	for _, g := range local.Gateways {
		if zone := g.Addr.Zone(); zone != "" && !slices.Contains(names, zone) {
			names = append(slices.Clip(names), zone)
		}
	}
	for _, name := range names {
		link, known := facts.LinkNamed(name)
		if !known {
			continue
		}
		if local.Links == nil {
			local.Links = map[string]plan.Link{}
		}
		local.Links[name] = plan.Link{Index: link.Index, Addr: facts.LinkLocal(link.Index)}
		if !link.Carrier {
			local.LinksDown[link.Index] = true
		}
	}
}
