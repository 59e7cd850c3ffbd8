package api

import (
	"net/http"

	"github.com/nestor-gateway/nestor/api/reply"
)

// status answers /status: how every deployment, reference and group stands now, or with ?model=NAME those that a
// request for that name can come to, with the probabilities of the next one.
func (s *server) status(w http.ResponseWriter, r *http.Request) {
	view := s.View()
	name := r.URL.Query().Get("model")
	if name == "" {
		reply.JSON(w, http.StatusOK, view.LiveAll())
		return
	}
	t, ok := view.Snapshot().Resolve(name)
	if !ok {
		reply.Refuse(w, unknownModel(name))
		return
	}
	reply.JSON(w, http.StatusOK, view.Live(t))
}
