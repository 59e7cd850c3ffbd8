package extproc

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nestor-gateway/nestor/extproc/ending"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// Metrics counts what the processor does. Labels take their values from the config,
// never from requests, so their number is bounded.
type Metrics struct {
	refusals  *prometheus.CounterVec
	attempts  *prometheus.CounterVec
	answers   *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	reserved  *prometheus.CounterVec
	denials   *prometheus.CounterVec
	closings  *prometheus.CounterVec
	cooldowns *prometheus.CounterVec
	withheld  prometheus.Counter
	expired   prometheus.Counter

	overBudget prometheus.Counter
	seconds    *prometheus.HistogramVec
}

// NewMetrics registers the processor's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		refusals: counter("nestor_refusals_total", "Requests that Nestor itself answered with an error.", "status"),
		attempts: counter("nestor_attempts_total", "Attempts that ended, by deployment, status and outcome "+
			"(success, failure, cut: it broke off after its headers, abort: the client left).", "deployment", "status", "outcome"),
		answers: counter("nestor_answers_total", "Attempts that ended, by the group they were picked from.", "group", "status"),
		tokens:  counter("nestor_tokens_total", "Tokens that providers reported.", "deployment", "kind"),
		reserved: counter("nestor_settled_tokens_total", "Tokens of the attempts that ended: reserved before, used in truth, "+
			"and overrun, which is by how much the truth was more.", "deployment", "kind"),
		denials:   counter("nestor_denials_total", "Times that a group had nothing left, by the limit in the way.", "group", "dimension"),
		closings:  counter("nestor_exhaustions_total", "Times that a provider said it had nothing left.", "deployment", "dimension"),
		cooldowns: counter("nestor_cooldowns_total", "Times that a deployment was left alone.", "deployment"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "nestor_attempt_seconds",
			Help:    "Time from the start of an attempt to its end.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2.5, 12),
		}, []string{"deployment"}),
	}
	m.withheld = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nestor_retries_withheld_total", Help: "Failures that were shown because the retry budget was used up.",
	})
	m.expired = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nestor_reservations_expired_total", Help: "Answers whose reservation was no longer held when they ended: it stands at its estimate.",
	})
	m.overBudget = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nestor_budget_refusals_total", Help: "Requests that were refused because a budget has too little left.",
	})
	r.MustRegister(m.overBudget)
	r.MustRegister(m.refusals, m.attempts, m.answers, m.tokens, m.reserved, m.denials, m.closings, m.cooldowns, m.seconds, m.withheld, m.expired)
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *Metrics) refused(status int) { m.refusals.WithLabelValues(strconv.Itoa(status)).Inc() }

func (m *Metrics) denied(group string, d ratelimit.Dimension) {
	m.denials.WithLabelValues(group, d.String()).Inc()
}

func (m *Metrics) exhausted(deployment string, d ratelimit.Dimension) {
	m.closings.WithLabelValues(deployment, d.String()).Inc()
}

// settled counts what an attempt turned out to have used.
func (m *Metrics) settled(d *nestorv1.Decision, tokens int64) {
	for _, t := range [...]struct {
		kind string
		n    int64
	}{{"reserved", d.ReservedTokens}, {"used", tokens}, {"overrun", tokens - d.ReservedTokens}} {
		if t.n > 0 {
			m.reserved.WithLabelValues(d.Deployment, t.kind).Add(float64(t.n))
		}
	}
}

func (m *Metrics) cooled(deployment string) { m.cooldowns.WithLabelValues(deployment).Inc() }

// ended counts an attempt from its access log entry.
func (m *Metrics) ended(e ending.Entry) {
	status := strconv.Itoa(e.Status)
	m.attempts.WithLabelValues(e.Decision.Deployment, status, string(e.Outcome())).Inc()
	m.answers.WithLabelValues(e.Group, status).Inc()
	m.seconds.WithLabelValues(e.Decision.Deployment).Observe(e.Duration.Seconds())
	for _, t := range []struct {
		kind string
		n    int64
	}{{"prompt", e.Usage.Prompt}, {"completion", e.Usage.Completion}, {"total", e.Usage.Sum()},
		{"cached", e.Usage.Cached}, {"reasoning", e.Usage.Reasoning}} {
		if t.n > 0 {
			m.tokens.WithLabelValues(e.Decision.Deployment, t.kind).Add(float64(t.n))
		}
	}
}
