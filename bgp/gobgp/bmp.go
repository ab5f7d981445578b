package gobgp

import (
	"context"
	"fmt"
	"slices"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// applyStations makes GoBGP tell exactly these BMP stations. GoBGP connects to each by itself, and
// again when it is lost; an error here is no word about whether it is reached.
func (s *Speaker) applyStations(ctx context.Context, want []bgp.Station) []error {
	var errs []error
	var held []bgp.Station
	for _, station := range s.held.stations {
		if slices.Contains(want, station) {
			held = append(held, station)
			continue
		}
		request := &api.DeleteBmpRequest{Address: station.Address.String(), Port: uint32(station.Port)}
		if err := s.server.DeleteBmp(ctx, request); err != nil {
			errs = append(errs, fmt.Errorf("leaving the BMP station %s: %w", station.Address, err))
			held = append(held, station)
		}
	}
	for _, station := range want {
		if slices.Contains(held, station) {
			continue
		}
		request := &api.AddBmpRequest{
			Address: station.Address.String(), Port: uint32(station.Port), Policy: stationPolicies[station.Hears],
			SysName: "fairway", SysDescr: "Fairway",
		}
		if err := s.server.AddBmp(ctx, request); err != nil {
			errs = append(errs, fmt.Errorf("telling the BMP station %s: %w", station.Address, err))
			continue
		}
		held = append(held, station)
	}
	s.held.stations = held
	return errs
}

var stationPolicies = map[bgp.StationPolicy]api.AddBmpRequest_MonitoringPolicy{
	bgp.PrePolicy:    api.AddBmpRequest_PRE,
	bgp.PostPolicy:   api.AddBmpRequest_POST,
	bgp.BothPolicies: api.AddBmpRequest_BOTH,
	bgp.LocalRIB:     api.AddBmpRequest_LOCAL,
	bgp.AllRoutes:    api.AddBmpRequest_ALL,
}
