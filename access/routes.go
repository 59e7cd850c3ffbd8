package access

import (
	"maps"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/pattern"
)

// routeGroups are LiteLLM's names for several routes, as far as Nestor has these. A * stands for anything.
// What another of LiteLLM's groups holds Nestor does not have, so such a name allows nothing.
func routeGroups() map[string]string {
	const (
		openai = "/chat/completions /v1/chat/completions /completions /v1/completions /embeddings /v1/embeddings " +
			"/engines/*/chat/completions /engines/*/completions /engines/*/embeddings /openai/deployments/*/chat/completions " +
			"/openai/deployments/*/completions /openai/deployments/*/embeddings /models /v1/models /models/* /v1/models/*"
		modelInfo = "/model/info /v1/model/info /model_group/info"
		info      = "/key/info /key/list /team/info /team/list /user/info /health /models /v1/models " + modelInfo
		keys      = "/key/generate /key/update /key/delete /key/info /key/list /key/block /key/unblock /key/regenerate " +
			"/key/*/regenerate /spend/logs"
		management = "/user/new /user/update /user/delete /user/info /user/list " +
			"/team/new /team/update /team/delete /team/info /team/list /team/block /team/unblock /team/member_add /team/member_delete " +
			"/budget/new /budget/info /model/info /audit " + keys
	)
	return map[string]string{
		"openai_routes":                openai,
		"llm_api_routes":               openai + " " + modelInfo,
		"model_info_routes":            modelInfo,
		"info_routes":                  info,
		"key_management_routes":        keys,
		"management_routes":            management,
		"spend_tracking_routes":        "/spend/keys /spend/users /spend/logs",
		"global_spend_tracking_routes": "/global/spend/keys /global/spend/models /global/spend/teams",
	}
}

// routeTable finds groups of routes by name. It never changes.
type routeTable map[string]*routeGroup

type routeGroup struct {
	paths    map[string]bool
	patterns []pattern.Pattern
}

func newRouteTable() routeTable {
	t := routeTable{}
	for name, paths := range maps.All(routeGroups()) {
		g := &routeGroup{paths: map[string]bool{}}
		for _, path := range strings.Fields(paths) {
			if strings.Contains(path, "*") {
				g.patterns = append(g.patterns, pattern.New(path))
			} else {
				g.paths[path] = true
			}
		}
		t[name] = g
	}
	return t
}

func (g *routeGroup) has(path string) bool {
	return g.paths[path] || slices.ContainsFunc(g.patterns, func(p pattern.Pattern) bool { return p.Matches(path) })
}

// routes are the allowed_routes of a key. Where none are given all are allowed.
type routes struct {
	given  []string
	groups []*routeGroup
}

func (t routeTable) routes(given []string) routes {
	r := routes{given: given}
	for _, name := range given {
		if g, ok := t[name]; ok {
			r.groups = append(r.groups, g)
		}
	}
	return r
}

// allow reports whether a path, or the path above it, or its group of routes is given.
func (r *routes) allow(path string) bool {
	if len(r.given) == 0 {
		return true
	}
	path = withoutQuery(path)
	for _, given := range r.given {
		if matchesRoute(given, path) {
			return true
		}
	}
	for _, g := range r.groups {
		if g.has(path) {
			return true
		}
	}
	return false
}

// matchesRoute is LiteLLM's rule: "/a" allows /a and what is below it, "/a*" whatever begins so. "" allows nothing.
func matchesRoute(given, path string) bool {
	if prefix, open := strings.CutSuffix(given, "*"); open {
		return strings.HasPrefix(path, prefix)
	}
	rest, below := strings.CutPrefix(path, given)
	return below && given != "" && (rest == "" || rest[0] == '/')
}

func withoutQuery(route string) string {
	path, _, _ := strings.Cut(route, "?")
	return path
}
