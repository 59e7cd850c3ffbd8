// Package routes reads lists of allowed routes, as keys have them: paths, the beginnings of paths, and LiteLLM's names
// of groups of routes.
package routes

import (
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/pattern"
)

// groups are LiteLLM's names for several routes, as far as Nestor has these. A * stands for anything.
// What another of LiteLLM's groups holds Nestor does not have, so such a name allows nothing.
func groups() map[string]string {
	const (
		openai = "/chat/completions /v1/chat/completions /completions /v1/completions /embeddings /v1/embeddings " +
			"/engines/*/chat/completions /engines/*/completions /engines/*/embeddings /openai/deployments/*/chat/completions " +
			"/openai/deployments/*/completions /openai/deployments/*/embeddings /models /v1/models /models/* /v1/models/*"
		modelInfo = "/model/info /v1/model/info /model_group/info"
		info      = "/key/info /v2/key/info /key/list /team/info /team/list /user/info /health /models /v1/models " + modelInfo
		keys      = "/key/generate /key/update /key/delete /key/info /key/list /key/block /key/unblock /key/regenerate " +
			"/key/*/regenerate /key/*/reset_spend /key/aliases /spend/logs"
		management = "/user/new /user/update /user/delete /user/info /user/list " +
			"/team/new /team/update /team/delete /team/info /team/list /team/block /team/unblock /team/member_add /team/member_update /team/member_delete " +
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
		"global_spend_tracking_routes": "/global/spend /global/spend/logs /global/spend/keys /global/spend/models /global/spend/teams",
	}
}

// Table finds groups of routes by name. It never changes.
type Table map[string]*group

type group struct {
	paths    map[string]bool
	patterns []pattern.Pattern
}

// NewTable returns the groups that there are.
func NewTable() Table {
	t := Table{}
	for name, paths := range groups() {
		g := &group{paths: map[string]bool{}}
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

func (g *group) has(path string) bool {
	return g.paths[path] || slices.ContainsFunc(g.patterns, func(p pattern.Pattern) bool { return p.Matches(path) })
}

// List is the allowed_routes of a key. It never changes.
type List struct {
	// Given is as written; where it is empty all routes are allowed.
	Given  []string
	groups []*group
}

// List compiles allowed_routes.
func (t Table) List(given []string) List {
	r := List{Given: given}
	for _, name := range given {
		if g, ok := t[name]; ok {
			r.groups = append(r.groups, g)
		}
	}
	return r
}

// Allows reports whether the path of a route, or one above it, or its group of routes is given. A query doesn't matter.
func (r *List) Allows(route string) bool {
	if len(r.Given) == 0 {
		return true
	}
	path := WithoutQuery(route)
	for _, given := range r.Given {
		if matches(given, path) {
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

// matches is LiteLLM's rule: "/a" allows /a and what is below it, "/a*" whatever begins so. "" allows nothing.
func matches(given, path string) bool {
	if prefix, open := strings.CutSuffix(given, "*"); open {
		return strings.HasPrefix(path, prefix)
	}
	rest, below := strings.CutPrefix(path, given)
	return below && given != "" && (rest == "" || rest[0] == '/')
}

// WithoutQuery is the path of a route.
func WithoutQuery(route string) string {
	path, _, _ := strings.Cut(route, "?")
	return path
}
