package extproc

import "time"

// freshUpstream is how long after a reload Envoy may not know, or not have resolved, an upstream yet.
const freshUpstream = 5 * time.Second

// unresolved reports whether the attempt failed only because Envoy does not know its upstream yet.
func (s *Server) unresolved(f *failed) bool {
	switch f.details {
	case "cluster_not_found", "no_healthy_upstream":
		return s.views.Age(f.decision.Snapshot) < freshUpstream
	}
	return false
}
