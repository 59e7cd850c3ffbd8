package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/api/reply"
	"github.com/nestor-gateway/nestor/routing"
)

// modelRow is a model as OpenAI's API lists it. The values are LiteLLM's for every model.
type modelRow struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func newModelRow(id string) modelRow {
	return modelRow{ID: id, Object: "model", Created: 1677610602, OwnedBy: "openai"}
}

// models answers /v1/models: groups, then aliases. Wildcards can't be called by their own name;
// as in LiteLLM they are listed only with ?return_wildcard_routes=true.
func (s *server) models(w http.ResponseWriter, r *http.Request, who access.Principal) {
	wildcards, _ := strconv.ParseBool(r.URL.Query().Get("return_wildcard_routes"))
	l := newList(w)
	for _, m := range s.visible(who) {
		if !m.Wildcard || wildcards {
			l.add(newModelRow(m.Name))
		}
	}
	l.close(`,"object":"list"`)
}

// model answers /v1/models/{id}: a listed model, or a name that a listed wildcard takes.
func (s *server) model(name string) func(http.ResponseWriter, *http.Request, access.Principal) {
	return func(w http.ResponseWriter, _ *http.Request, who access.Principal) {
		if !who.MaySee(name) || !known(s.View().Snapshot(), name) {
			reply.Refuse(w, unknownModel(name))
			return
		}
		reply.JSON(w, http.StatusOK, newModelRow(name))
	}
}

// visible are the models that somebody may call.
func (s *server) visible(who access.Principal) []routing.Model {
	all := s.View().Snapshot().Models()
	return slices.DeleteFunc(slices.Clone(all), func(m routing.Model) bool { return !who.MaySee(m.Name) })
}

func known(snapshot *routing.Snapshot, name string) bool {
	target, ok := snapshot.Resolve(name)
	if !ok {
		return false
	}
	for _, m := range snapshot.Models() {
		if m.Name == name || m.Wildcard && m.Group == target.Group && takes(m.Name, name) {
			return true
		}
	}
	return false
}

// takes reports whether a wildcard takes a name, as far as that tells it from an alias:
// by what stands before its first star and after its last.
func takes(wildcard, name string) bool {
	first, last := strings.Index(wildcard, "*"), strings.LastIndex(wildcard, "*")
	return first >= 0 && strings.HasPrefix(name, wildcard[:first]) && strings.HasSuffix(name, wildcard[last+1:])
}
