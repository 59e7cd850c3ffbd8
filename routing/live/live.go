// Package live tells how deployments and limits stand, and why a deployment gets nothing.
package live

// Status is how things stand, for a called name or for all deployments.
type Status struct {
	// Model and Group are what is called, and what it means; empty for all deployments.
	Model string `json:"model,omitempty"`
	Group string `json:"group,omitempty"`
	// Deployments are in the order of the file.
	Deployments []Deployment `json:"deployments"`
	// References and Groups are those with limits of their own.
	References []Reference `json:"references"`
	Groups     []Group     `json:"groups"`
}

// Deployment is how a deployment stands. Times are in seconds from now.
type Deployment struct {
	ID string `json:"id"`
	// Name is that of its limits, as in Reason.Limit.
	Name string `json:"limit_name"`
	// Model is litellm_params.model as written.
	Model   string `json:"model"`
	APIBase string `json:"api_base"`
	// Probability is that of the next request; nil where nothing in particular is called.
	Probability *float64 `json:"probability,omitempty"`
	// Eligible says that a request can go to it, in its tier's turn. A deployment that is cooling can be
	// when cooldown is all that keeps out every deployment of the called group.
	Eligible bool `json:"eligible"`
	// WhyNot is everything that stands in the way.
	WhyNot   []Reason `json:"why_not,omitempty"`
	InFlight int64    `json:"in_flight"`
	Limits   []Use    `json:"limits"`
	Cooldown float64  `json:"cooldown_seconds"`
	// FirstToken of streams and Latency of whole answers are means of the latest ones; 0 where nothing is known.
	FirstToken float64 `json:"first_token_seconds"`
	Latency    float64 `json:"latency_seconds"`
}

// Reference is how the limits of a reference stand.
type Reference struct {
	Name  string `json:"limit_name"`
	Group string `json:"group"`
	To    string `json:"to"`
	// Number counts the references of the group to the same target, from 1.
	Number int    `json:"number"`
	Limits []Use  `json:"limits"`
	Full   *Until `json:"full,omitempty"`
	// Closed is for how long it admits nothing, whatever is used: what was used is not known.
	Closed float64 `json:"closed_seconds,omitempty"`
}

// Group is how the limits of a group stand.
type Group struct {
	Name   string  `json:"limit_name"`
	Group  string  `json:"group"`
	Limits []Use   `json:"limits"`
	Full   *Until  `json:"full,omitempty"`
	Closed float64 `json:"closed_seconds,omitempty"`
}

// Use is how one dimension of a limit stands.
type Use struct {
	// Dimension is "requests", "tokens" or "parallel".
	Dimension string `json:"dimension"`
	Used      int64  `json:"used"`
	// Limit is nil where there is none.
	Limit *int64 `json:"limit"`
	// Reset is when nothing counts any more.
	Reset float64 `json:"reset_seconds"`
}

// Until is in which dimension something is full, and for how long.
type Until struct {
	Dimension string  `json:"dimension"`
	Seconds   float64 `json:"seconds"`
}

// Reason is why a deployment is not eligible.
type Reason struct {
	// Why is Configured, Cooling, Full, Closed or Exhausted.
	Why string `json:"why"`
	// Limit names the limit that is full or closed: "deployment:ID", "reference:GROUP:TARGET:NUMBER" or "group:NAME".
	Limit string `json:"limit,omitempty"`
	// Dimension is that in which it is full or exhausted.
	Dimension string `json:"dimension,omitempty"`
	// Seconds is for how long; 0 for Configured, which lasts.
	Seconds float64 `json:"seconds,omitempty"`
	// Text is what the config says.
	Text string `json:"text,omitempty"`
}

// The reasons: the config lets nothing through, a cooldown, a limit that is used up, one that admits nothing whatever is
// used since its store does not know what was, or a provider that has announced it.
const (
	Configured = "config"
	Cooling    = "cooling"
	Full       = "full"
	Closed     = "closed"
	Exhausted  = "exhausted"
)
