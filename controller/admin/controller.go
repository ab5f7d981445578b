package admin

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-bgp/fairway/controller/report"
)

// Controller serves /livez, /readyz and /metrics of `fairway controller`.
type Controller struct{ web }

// NewController returns a Controller that asks for what is so at each request.
func NewController(now func() *report.Controller) *Controller {
	c := &Controller{}
	c.handle(
		func() error { return controllerAlive(now()) },
		func() error { return controllerReady(now()) },
		controllerCollector{now},
	)
	return c
}

// controllerAlive asks whether the loop turns, while there is one. Whether the API server
// answers is not asked.
func controllerAlive(c *report.Controller) error {
	if age := c.Time.Sub(c.Turned); c.Leading && age > stuckAfter {
		return fmt.Errorf("leading, and nothing was done for %s: the loop is stuck", age.Round(time.Second))
	}
	return nil
}

// controllerReady asks whether this process does its part: it leads and has read everything,
// or it knows who leads.
func controllerReady(c *report.Controller) error {
	switch {
	case c.Leading && !c.Source.Synced:
		return errors.New("leading, and the API server has not been read completely yet: " + c.Source.Error)
	case !c.Leading && c.Leader == "":
		return errors.New("nobody is known to lead yet")
	}
	return nil
}

func controllerDesc(name, help string, labels ...string) *prometheus.Desc {
	return desc("controller_"+name, help, labels...)
}

var (
	controllerInfo      = controllerDesc("build_info", "Always 1; the label is the controller's version.", "version")
	controllerLeading   = controllerDesc("leading", "1 while this controller leads, else 0. The other controller_ metrics are of use where it is 1.")
	controllerSynced    = controllerDesc("source_synced", "1 once the leader has read the API server completely, else 0.")
	controllerAvailable = controllerDesc("source_available", "1 while the leader can read the API server, else 0.")
	controllerNodes     = controllerDesc("nodes", "Nodes in the cluster.")
	controllerStates    = controllerDesc("node_states", "BGPNodeStates in the cluster: agents that have reported at least once.")
	controllerCondition = controllerDesc("object_condition", "1 while the condition of the configuration object is True, else 0.", "kind", "name", "condition")
	controllerWrites    = controllerDesc("status_writes_total", "Writes of status that were tried, since the start.")
	controllerFailures  = controllerDesc("status_write_failures_total", "Writes of status that failed and were or will be tried again, since the start.")
)

// controllerCollector makes metrics of what is so at each scrape.
type controllerCollector struct{ now func() *report.Controller }

// Describe implements prometheus.Collector.
func (c controllerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		controllerInfo, controllerLeading, controllerSynced, controllerAvailable, controllerNodes, controllerStates,
		controllerCondition, controllerWrites, controllerFailures,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c controllerCollector) Collect(ch chan<- prometheus.Metric) {
	r := c.now()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(controllerInfo, 1, r.Version)
	gauge(controllerLeading, number(r.Leading))
	ch <- prometheus.MustNewConstMetric(controllerWrites, prometheus.CounterValue, float64(r.Writes))
	ch <- prometheus.MustNewConstMetric(controllerFailures, prometheus.CounterValue, float64(r.Failures))
	if !r.Leading {
		return
	}
	gauge(controllerSynced, number(r.Source.Synced))
	gauge(controllerAvailable, number(r.Source.Error == ""))
	gauge(controllerNodes, float64(r.Nodes))
	gauge(controllerStates, float64(r.NodeStates))
	for _, o := range r.Objects {
		gauge(controllerCondition, number(o.True), o.Kind, o.Name, o.Type)
	}
}
