package spend

import "github.com/prometheus/client_golang/prometheus"

// Waiting is how many rows the database does not have yet, Written how many it took, Lost how many it will never have.
func (o *Outbox) Waiting() int64 {
	o.mu.Lock()
	n := int64(len(o.pending))
	o.mu.Unlock()
	return n + o.queue.waiting()
}

// Unsaved is how many rows neither disk nor database has yet: a process that is killed takes them with it.
func (o *Outbox) Unsaved() int64 {
	o.mu.Lock()
	n := len(o.pending) + o.storing
	o.mu.Unlock()
	return int64(n) + o.queue.loose()
}

// Written counts since the start.
func (o *Outbox) Written() int64 { return o.written.Load() }

// Lost counts since the start.
func (o *Outbox) Lost() int64 { return o.lost.Load() }

// Describe implements prometheus.Collector.
func (o *Outbox) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(o, out) }

// Collect implements prometheus.Collector.
func (o *Outbox) Collect(out chan<- prometheus.Metric) {
	for _, m := range []struct {
		name, help string
		kind       prometheus.ValueType
		value      int64
	}{
		{"nestor_spend_rows_waiting", "Rows of the spend log that the database does not have yet.", prometheus.GaugeValue, o.Waiting()},
		{"nestor_spend_rows_unsaved", "Rows of the spend log that neither disk nor database has yet.", prometheus.GaugeValue, o.Unsaved()},
		{"nestor_spend_rows_written_total", "Rows of the spend log that the database took.", prometheus.CounterValue, o.Written()},
		{"nestor_spend_rows_lost_total", "Rows of the spend log that the database will never have.", prometheus.CounterValue, o.Lost()},
	} {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.name, m.help, nil, nil), m.kind, float64(m.value))
	}
}
