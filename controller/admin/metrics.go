package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-bgp/fairway/bgp"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fairway_"+name, help, labels, nil)
}

var (
	buildInfo       = desc("build_info", "Always 1; the label is the agent's version.", "version")
	sourceSynced    = desc("source_synced", "1 once the configuration has been read completely, else 0.")
	sourceAvailable = desc("source_available", "1 while the source of the configuration can be read, 0 while it cannot and the last one read stays at work.")
	sourceFailures  = desc("source_failures_total", "Requests to the source of the configuration that failed, since the agent started.")
	plans           = desc("plan_seconds", "Time from when something new was read until the speaker held the plan made of it, and the number of plans, since the agent started.")
	speakerRunning  = desc("speaker_running", "1 while the BGP speaker runs, else 0.")
	complete        = desc("picture_complete", "1 once all that an earlier process may have learned has been learned again, so that stale kernel routes may go.")
	sessionUp       = desc("session_up", "1 while the BGP session is Established, else 0.", "peer", "address")
	received        = desc("session_received_prefixes", "Prefixes that the peer has sent, before import rules.", "peer", "address", "family")
	accepted        = desc("session_accepted_prefixes", "Prefixes of the peer that its import rules let in.", "peer", "address", "family")
	advertised      = desc("session_advertised_prefixes", "Prefixes that are announced to the peer.", "peer", "address", "family")
	routesWanted    = desc("routes_wanted", "Kernel routes that are wanted.")
	routesInstalled = desc("routes_installed", "Kernel routes that are wanted and installed.")
	routesFailed    = desc("routes_failed", "Kernel routes that are wanted and could not be installed.")
	routesContested = desc("routes_contested", "Kernel routes that something else keeps deleting or replacing, and that are put back after growing waits.")
	refused         = desc("refused_prefixes", "Learned prefixes, or paths to them, that stay out of the kernel, by peer and reason.", "peer", "reason")
	waiting         = desc("prefixes_waiting", "Prefixes of Services that are to be announced and are not yet, because the node may not be able to forward to them, by reason.", "reason")
	sysctlsWrong    = desc("sysctls_wrong", "Settings of the kernel that are not as they should be. Without the required ones nothing of their family is advertised.", "class")
	problems        = desc("problems", "Things that the configuration asks for and that are not done, by kind of object and reason.", "kind", "reason")
)

var descs = []*prometheus.Desc{
	buildInfo, sourceSynced, sourceAvailable, sourceFailures, plans, speakerRunning, complete, sessionUp, received,
	accepted, advertised, routesWanted, routesInstalled, routesFailed, routesContested, refused, waiting, sysctlsWrong, problems,
}

// collector makes metrics of the last report at each scrape; it asks the speaker nothing.
type collector struct{ server *Server }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	r := c.server.last.Load()
	if r == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(buildInfo, 1, r.Version)
	gauge(sourceSynced, number(r.Source.Synced))
	gauge(sourceAvailable, number(r.Source.Error == ""))
	ch <- prometheus.MustNewConstMetric(sourceFailures, prometheus.CounterValue, float64(r.Source.Failures))
	ch <- prometheus.MustNewConstSummary(plans, r.Plans.Made, r.Plans.Took.Seconds(), nil)
	gauge(speakerRunning, number(r.Speaker.Running))
	gauge(complete, number(r.Complete))
	gauge(routesWanted, float64(r.Routes.Wanted))
	gauge(routesInstalled, float64(r.Routes.Installed))
	gauge(routesFailed, float64(len(r.Routes.Failed)))
	gauge(routesContested, float64(len(r.Routes.Contested)))
	for _, s := range r.Sessions {
		peer, address := s.Object, s.Address.String()
		gauge(sessionUp, number(s.State == bgp.Established), peer, address)
		for _, f := range s.Families {
			gauge(received, float64(f.Received), peer, address, f.Family.String())
			gauge(accepted, float64(f.Accepted), peer, address, f.Family.String())
			gauge(advertised, float64(f.Advertised), peer, address, f.Family.String())
		}
	}
	wrong := map[bool]int{}
	for _, s := range r.Sysctls {
		wrong[s.Required]++
	}
	gauge(sysctlsWrong, float64(wrong[true]), "required")
	gauge(sysctlsWrong, float64(wrong[false]), "recommended")
	for key, n := range r.Refusals {
		gauge(refused, float64(n), key.Peer, key.Reason)
	}
	for reason, n := range r.Waiting {
		gauge(waiting, float64(n), reason)
	}
	type kindReason struct{ kind, reason string }
	counts := map[kindReason]int{}
	for _, p := range r.Problems {
		counts[kindReason{p.Kind, p.Reason}]++
	}
	for _, v := range r.Verdicts {
		if !v.Accepted {
			counts[kindReason{v.Kind, v.Reason}]++
		}
	}
	for key, n := range counts {
		gauge(problems, float64(n), key.kind, key.reason)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
