// Package api is Nestor's HTTP port: the model lists, health, metrics and the live status.
// Clients reach it through Envoy, at the address of the models; /metrics and /status are at the port itself only.
// The shapes of its answers are those of LiteLLM's proxy, its errors those of OpenAI's API.
package api

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/api/reply"
	"github.com/nestor-gateway/nestor/routing"
)

// Authenticator says who sends a request.
type Authenticator interface {
	// Authenticate reads the credential from the headers, given by lower-case name.
	Authenticate(header func(name string) string) (access.Principal, *access.Denial)
}

// Manager serves the routes by which keys, teams, users and budgets are managed: package api/manage.
type Manager interface {
	http.Handler
	// Route names the route of a path without what may be a key in it; "" for a path that is not the handler's.
	Route(path string) string
}

// Options are what the port needs. Only ProbeTimeout and Manage may be zero.
type Options struct {
	// View and Auth return those in force; they change with the config.
	View func() *routing.View
	Auth func() Authenticator
	// Ready returns nil when this process takes requests, else the reason why not. The reason is shown to anybody.
	Ready func() error
	// ProbeTarget is where Envoy listens for clients, for example "http://127.0.0.1:4000".
	ProbeTarget string
	// ProbeSecret marks a probe of /health as the process's own.
	ProbeSecret string
	// ProbeTimeout bounds one probe; zero is 60 s, as in LiteLLM.
	ProbeTimeout time.Duration
	// Metrics answers /metrics.
	Metrics http.Handler
	// Manage is asked for paths that the port has not; nil where there is no store.
	Manage Manager
	Log    *slog.Logger
}

// New returns the handler of the HTTP port.
func New(o Options) http.Handler {
	s := &server{Options: o, prober: newProber(o)}
	s.routes = map[string]route{
		"/v1/models":         {serve: s.models},
		"/models":            {serve: s.models},
		"/model/info":        {serve: s.modelInfo},
		"/v1/model/info":     {serve: s.modelInfo},
		"/model_group/info":  {serve: s.groupInfo},
		"/health":            {serve: s.health},
		"/health/liveliness": {open: s.alive},
		"/health/liveness":   {open: s.alive},
		"/health/readiness":  {open: s.readiness},
		"/metrics":           {open: o.Metrics.ServeHTTP},
		"/status":            {open: s.status},
	}
	return s
}

type server struct {
	Options
	prober *prober
	routes map[string]route
}

// route is one path; all of them are read with GET or HEAD.
type route struct {
	// serve answers whoever may ask.
	serve func(w http.ResponseWriter, r *http.Request, who access.Principal)
	// open, where it is set, answers everybody: no key is asked for.
	open http.HandlerFunc
}

// ServeHTTP finds the handler itself: http.ServeMux would redirect a model whose name
// holds two slashes or a dot segment.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sent := &answered{ResponseWriter: w}
	defer s.recover(sent, r)
	found, ok := s.find(r.URL)
	switch {
	case !ok && s.managed(r) != "":
		s.Manage.ServeHTTP(sent, r)
	case !ok:
		reply.Refuse(sent, unknownPath(r))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		reply.Refuse(sent, wrongMethod(r))
	case found.open != nil:
		found.open(sent, r)
	default:
		who, denial := s.Auth().Authenticate(r.Header.Get)
		if denial == nil {
			denial = who.May(access.Call{Route: r.URL.Path})
		}
		if denial != nil {
			reply.Refuse(sent, reply.Denied(denial))
			return
		}
		found.serve(sent, r, who)
	}
}

func (s *server) find(u *url.URL) (route, bool) {
	path := u.EscapedPath()
	if found, ok := s.routes[path]; ok {
		return found, true
	}
	for _, prefix := range []string{"/v1/models/", "/models/"} {
		rest, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		if name, err := url.PathUnescape(rest); err == nil {
			return route{serve: s.model(name)}, true
		}
	}
	return route{}, false
}

// managed names the management route of a request; "" when it is none.
func (s *server) managed(r *http.Request) string {
	if s.Manage == nil {
		return ""
	}
	return s.Manage.Route(r.URL.Path)
}

// answered remembers whether an answer has begun: after that a panic can only cut it.
type answered struct {
	http.ResponseWriter
	begun bool
}

func (a *answered) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answered) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (s *server) recover(w *answered, r *http.Request) {
	v := recover()
	switch v {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(v)
	}
	s.Log.Error("request to the HTTP port failed", "path", cmp.Or(s.managed(r), r.URL.Path), "panic", v, "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	reply.Refuse(w, reply.Problem{Status: http.StatusInternalServerError, Type: "api_error", Message: "internal error; see Nestor's log"})
}
