package extproc

// countRequest lets a request give its share to the retry budget. Its retries give none.
func (s *Server) countRequest(req request) {
	if req.attempt == 1 && !req.probe {
		s.budget.Request()
	}
}

// affords takes another attempt, in the same group or in a fallback, out of the retry budget: each is one more
// request for the providers. The settings are those in force now, whatever the request began with.
func (s *Server) affords(f *failed) bool {
	if s.budget.Retry(s.Router.View().Snapshot().RetryBudget()) {
		return true
	}
	s.Metrics.withheld.Inc()
	s.Log.Debug("no retry: the budget is used up", "call_id", f.decision.RequestId, "deployment", f.decision.Deployment)
	return false
}
