package api

import (
	"fmt"
	"net/http"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/api/reply"
	"github.com/nestor-gateway/nestor/routing"
)

// alive answers /health/liveliness: the process is there.
func (s *server) alive(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, http.StatusOK, "I'm alive!")
}

// readiness answers /health/readiness: whether this process takes requests.
func (s *server) readiness(w http.ResponseWriter, _ *http.Request) {
	if err := s.Ready(); err != nil {
		reply.JSON(w, http.StatusServiceUnavailable, reply.Object{"status": "unhealthy", "reason": err.Error()})
		return
	}
	reply.JSON(w, http.StatusOK, reply.Object{"status": "healthy"})
}

// healthReport is LiteLLM's answer, and what was not probed.
type healthReport struct {
	Healthy   []endpoint `json:"healthy_endpoints"`
	Unhealthy []endpoint `json:"unhealthy_endpoints"`
	Skipped   []endpoint `json:"skipped_endpoints"`

	HealthyCount   int `json:"healthy_count"`
	UnhealthyCount int `json:"unhealthy_count"`
	SkippedCount   int `json:"skipped_count"`
}

// endpoint is one deployment in a healthReport.
type endpoint struct {
	Model   string `json:"model"`
	ModelID string `json:"model_id"`
	APIBase string `json:"api_base"`
	Mode    string `json:"mode"`
	RPM     *int64 `json:"rpm,omitempty"`
	TPM     *int64 `json:"tpm,omitempty"`
	// Error says what is wrong; Status is the HTTP status of the answer, when there was one.
	Error  string `json:"error,omitempty"`
	Status int    `json:"exception_status,omitempty"`
	// Reason says why the deployment was not probed.
	Reason string `json:"reason,omitempty"`
}

// health answers /health: each deployment is probed once, with a real request through Envoy.
// ?model= leaves the deployments that the name reaches, ?model_id= one deployment; as in LiteLLM the
// status is then 503 when none of them is healthy.
func (s *server) health(w http.ResponseWriter, r *http.Request, who access.Principal) {
	if who.Key != nil && !who.CanManage() {
		reply.Refuse(w, reply.Problem{Status: http.StatusForbidden, Type: "auth_error", Code: "403",
			Message: "probes are requests to providers that no key pays for: /health is for the master key and keys that may manage"})
		return
	}
	snapshot, query := s.View().Snapshot(), r.URL.Query()
	name, id := query.Get("model"), query.Get("model_id")
	deployments := snapshot.Deployments()
	switch {
	case id != "":
		d, ok := snapshot.Deployment(id)
		if !ok {
			reply.Refuse(w, reply.Problem{Status: http.StatusNotFound, Type: reply.InvalidRequest, Param: "model_id", Message: fmt.Sprintf("no deployment has the id %.200s", id)})
			return
		}
		deployments = []*routing.Deployment{d}
	case name != "":
		target, ok := snapshot.Resolve(name)
		if deployments = nil; ok {
			deployments = target.Deployments()
		}
	}
	verdicts, err := s.prober.check(r.Context(), deployments)
	if err != nil {
		return // the client left
	}
	report, status := newHealthReport(deployments, verdicts), http.StatusOK
	if name+id != "" && report.HealthyCount == 0 {
		status = http.StatusServiceUnavailable
	}
	reply.JSON(w, status, report)
}

func newHealthReport(deployments []*routing.Deployment, verdicts []verdict) *healthReport {
	report := &healthReport{Healthy: []endpoint{}, Unhealthy: []endpoint{}, Skipped: []endpoint{}}
	for i, d := range deployments {
		v := verdicts[i]
		e := endpoint{
			Model: d.Written, ModelID: d.ID, APIBase: withoutUser(d.Base.String()), Mode: modeOf(d), RPM: d.RPM, TPM: d.TPM,
			Error: v.err, Status: v.status, Reason: v.skipped,
		}
		switch {
		case v.skipped != "":
			report.Skipped = append(report.Skipped, e)
		case v.err != "":
			report.Unhealthy = append(report.Unhealthy, e)
		default:
			report.Healthy = append(report.Healthy, e)
		}
	}
	report.HealthyCount, report.UnhealthyCount, report.SkippedCount = len(report.Healthy), len(report.Unhealthy), len(report.Skipped)
	return report
}
