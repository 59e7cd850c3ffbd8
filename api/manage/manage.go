// Package manage serves the routes by which keys, teams, users and budgets are made, changed and looked at, and what
// they spent. Paths, fields and answers are LiteLLM's, so that its users' scripts keep working; what LiteLLM has and
// Nestor has not is refused where leaving it out would allow more than was asked for.
package manage

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Authenticator says who sends a request.
type Authenticator interface {
	// Authenticate reads the credential from the headers, given by lower-case name.
	Authenticate(header func(name string) string) (access.Principal, *access.Denial)
}

// Options are what the routes need. All but Apply, Allows and Networks must be given.
type Options struct {
	Store Store
	// Auth returns the check in force; it changes with the config.
	Auth func() Authenticator
	// Apply puts a change in force here before it is answered, so that a new key works at once. Without it the change
	// is seen as soon as the store tells of it.
	Apply func(context.Context, record.Change) error
	// Allows reports whether a list of models, as of a team, has a name; without it only names that are in the list are.
	Allows func(models []string, name string) bool
	// Networks returns those that may call the routes; nil is all.
	Networks func() []netip.Prefix
	Now      func() time.Time
	Log      *slog.Logger
}

// Handler serves the routes. It may be used by many goroutines.
type Handler struct {
	Options
	routes map[string]map[string]endpoint // by path, by method
}

// New returns the handler of all management routes.
func New(o Options) *Handler {
	h := &Handler{Options: o, routes: map[string]map[string]endpoint{}}
	for _, e := range h.endpoints() {
		if h.routes[e.path] == nil {
			h.routes[e.path] = map[string]endpoint{}
		}
		h.routes[e.path][e.method] = e
	}
	return h
}

// Route names the route of a path, without the key that may be in it; "" for a path that is none of these.
func (h *Handler) Route(path string) string {
	if _, action, named := keyInPath(path); named {
		path = "/key/{key}/" + action
	}
	if _, ok := h.routes[path]; ok {
		return path
	}
	return ""
}

// keyInPath takes a path such as /key/sk-x/regenerate apart.
func keyInPath(path string) (key, action string, named bool) {
	rest, ok := strings.CutPrefix(path, "/key/")
	last := strings.LastIndexByte(rest, '/')
	if !ok || last < 0 {
		return "", "", false
	}
	return rest[:last], rest[last+1:], true
}

// ServeHTTP expects a path that Route names.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h.serve(r)
	if err != nil {
		reply.Refuse(w, h.problem(r, err))
		return
	}
	reply.JSON(w, http.StatusOK, answer)
}

func (h *Handler) serve(r *http.Request) (any, error) {
	route := h.Route(r.URL.Path)
	e, ok := h.routes[route][methodOf(r)]
	if !ok {
		return nil, wrongMethod(route, r.Method, h.routes[route])
	}
	who, denial := h.Auth().Authenticate(r.Header.Get)
	if denial != nil {
		return nil, reply.Denied(denial)
	}
	ctx := r.Context()
	if e.by == managers { // a change is made whole, also when the client leaves
		ctx = context.WithoutCancel(ctx)
	}
	c := &call{Context: ctx, route: route, path: r.URL.Path, query: r.URL.Query(), who: who, address: addressOf(r)}
	if err := h.admit(c, e.by); err != nil {
		return nil, err
	}
	if err := c.readable(); err != nil {
		return nil, err
	}
	if e.method == http.MethodPost {
		if err := c.read(r); err != nil {
			return nil, err
		}
		c.header = r.Header
	}
	return e.serve(c)
}

// methodOf takes HEAD for GET: net/http leaves the body of the answer out.
func methodOf(r *http.Request) string {
	if r.Method == http.MethodHead {
		return http.MethodGet
	}
	return r.Method
}

// problem shapes an error. What is not about the request itself is logged and not shown.
func (h *Handler) problem(r *http.Request, err error) reply.Problem {
	var p reply.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, store.ErrNotFound):
		return reply.NotFound("", "%v", err)
	case errors.Is(err, store.ErrText):
		return reply.Bad("", "a text in the request can't be kept: it is %v", store.ErrText)
	case errors.Is(err, store.ErrTaken):
		return reply.Bad("", "%v", err)
	}
	h.Log.Error("a management request failed", "route", h.Route(r.URL.Path), "error", err)
	return reply.Problem{Status: http.StatusServiceUnavailable, Type: "no_db_connection", Code: "503",
		Message: "the database of keys can't be used now; nothing is known to have changed. See Nestor's log"}
}

// apply puts changes in force in this process.
func (h *Handler) apply(ctx context.Context, kind record.Kind, ids ...string) {
	if h.Apply == nil {
		return
	}
	for _, id := range ids {
		if err := h.Apply(ctx, record.Change{Kind: kind, ID: id}); err != nil {
			h.Log.Warn("a change is in the database and not in force here yet", "kind", kind, "id", id, "error", err)
		}
	}
}

func (h *Handler) now() time.Time { return h.Now().UTC().Truncate(time.Microsecond) }
