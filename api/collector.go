package api

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/live"
)

// Collector tells Prometheus how deployments and limits stand when it asks. Labels take their
// values from the config alone.
type Collector struct {
	view func() *routing.View
	// used, limit and full are by limit and dimension, the rest by deployment.
	used, limit, full                                       *prometheus.Desc
	eligible, inFlight, cooldown, spent, latency, firstByte *prometheus.Desc
}

// NewCollector returns a collector of the view in force.
func NewCollector(view func() *routing.View) *Collector {
	limit := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"limit", "dimension"}, nil)
	}
	deployment := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"deployment"}, more...), nil)
	}
	return &Collector{
		view:  view,
		used:  limit("nestor_limit_used", "What is used of a limit now: over the last minute, or in flight; reservations count. With Redis, that of other replicas as this one last heard."),
		limit: limit("nestor_limit", "A limit in force, by its name (deployment:ID, reference:GROUP:TARGET:NUMBER, group:NAME) and dimension."),
		full:  limit("nestor_limit_full_seconds", "How long a limit that is full stands in the way; absent where it does not."),
		eligible: deployment("nestor_deployment_eligible",
			"1 when a request can go to the deployment, 0 when it is full, cooling, exhausted or configured to take none."),
		inFlight:  deployment("nestor_in_flight", "Attempts at a deployment that have not ended."),
		cooldown:  deployment("nestor_cooldown_seconds", "How long a deployment is still left alone; absent where it is not."),
		spent:     deployment("nestor_exhausted_seconds", "How long a provider admits nothing more to a deployment by its own word; absent where it does.", "dimension"),
		latency:   deployment("nestor_latency_seconds", "Time of whole answers of late; absent where none is known."),
		firstByte: deployment("nestor_first_token_seconds", "Time to the first byte of streams of late; absent where none is known."),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.used, c.limit, c.full, c.eligible, c.inFlight, c.cooldown, c.spent, c.latency, c.firstByte} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	status := c.view().LiveAll()
	for i := range status.Deployments {
		c.deployment(out, &status.Deployments[i])
	}
	for _, r := range status.References {
		c.limits(out, r.Name, r.Limits, r.Full)
	}
	for _, g := range status.Groups {
		c.limits(out, g.Name, g.Limits, g.Full)
	}
}

func (c *Collector) deployment(out chan<- prometheus.Metric, d *live.Deployment) {
	eligible := 0.0
	if d.Eligible {
		eligible = 1
	}
	gauge(out, c.eligible, eligible, d.ID)
	gauge(out, c.inFlight, float64(d.InFlight), d.ID)
	for _, of := range []struct {
		desc    *prometheus.Desc
		seconds float64
	}{{c.cooldown, d.Cooldown}, {c.latency, d.Latency}, {c.firstByte, d.FirstToken}} {
		if of.seconds > 0 {
			gauge(out, of.desc, of.seconds, d.ID)
		}
	}
	var full *live.Until
	for _, r := range d.WhyNot {
		switch r.Why {
		case live.Exhausted:
			gauge(out, c.spent, r.Seconds, d.ID, r.Dimension)
		case live.Full:
			full = &live.Until{Dimension: r.Dimension, Seconds: r.Seconds}
		}
	}
	c.limits(out, d.Name, d.Limits, full)
}

// limits tells of the dimensions of an entity that are limited.
func (c *Collector) limits(out chan<- prometheus.Metric, name string, uses []live.Use, full *live.Until) {
	limited := func(u live.Use) bool { return u.Limit != nil }
	if !slices.ContainsFunc(uses, limited) {
		return
	}
	for _, u := range uses {
		if limited(u) {
			gauge(out, c.used, float64(u.Used), name, u.Dimension)
			gauge(out, c.limit, float64(*u.Limit), name, u.Dimension)
		}
	}
	if full != nil {
		gauge(out, c.full, full.Seconds, name, full.Dimension)
	}
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}
