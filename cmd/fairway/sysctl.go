package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/routes/host"
)

// lookAgainPeriod is how often the host's facts are read although nothing told of a change:
// of most sysctls the kernel tells nobody.
const lookAgainPeriod = 30 * time.Second

// lookAgain has the host's facts read from time to time, until ctx ends.
func (k *kernel) lookAgain(ctx context.Context) error {
	tick := time.NewTicker(lookAgainPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			wake(k.host)
		}
	}
}

// sysctls sets what is not as it should be, where that is allowed.
type sysctls struct {
	set    bool
	log    *slog.Logger
	failed map[string]string // by path: why the last attempt to set it failed
}

// readHost reads the host's facts, and again after it has set what it may.
func (s *sysctls) readHost() (host.Facts, error) {
	facts, err := host.Read()
	if err != nil || !s.set {
		return facts, err
	}
	changed := false
	before := s.failed
	s.failed = map[string]string{}
	for _, w := range facts.WrongSysctls() {
		if w.Value == "" {
			continue // this kernel does not have it
		}
		if err := host.SetSysctl(w); err != nil {
			s.failed[w.Path] = err.Error()
			if before[w.Path] != err.Error() {
				s.log.Error("a sysctl is not as it should be", "error", err)
			}
			continue
		}
		changed = true
		s.log.Info("sysctl set", "name", w.Name(), "was", w.Value, "is", w.Want)
	}
	if !changed {
		return facts, nil
	}
	return host.Read()
}

// wrong turns what the host lacks into the words of the plan.
func (s *sysctls) wrong(facts host.Facts) []plan.Sysctl {
	var out []plan.Sysctl
	for _, w := range facts.WrongSysctls() {
		row := plan.Sysctl{
			Name: w.Name(), Family: bgp.IPv4Unicast, Value: w.Value, Want: w.Want, Required: w.Required, Why: w.Why,
		}
		if w.IPv6 {
			row.Family = bgp.IPv6Unicast
		}
		if failed := s.failed[w.Path]; failed != "" {
			row.Why += " (" + failed + ")"
		}
		out = append(out, row)
	}
	return out
}
