// Package mock is an OpenAI-compatible provider without a model: chat, completions, embeddings,
// streams and usage, all of them computed from the request, and the faults that real providers have.
//
// How a request is answered is a Plan. It is made of the server's own plan, then of what the request
// says, each layer on top of the one before:
//
//   - the model: everything after "mock:" in it, for example "gpt-4o+mock:status=500;times=2";
//   - the body's `user`, when it begins with "mock:"; it passes through any gateway;
//   - the request header x-mock, without the "mock:"; it reaches a mock that is called directly.
//
// See Parse for the words of a plan.
package mock

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// ControlPath shows what arrived (GET, see Report) and forgets it (DELETE).
const ControlPath = "/mock/requests"

// Options say what a Server is. The zero value answers everything at once.
type Options struct {
	// Name is what answers and the "for" of a plan call this server; "mock" when empty.
	Name string
	// Models are listed at /v1/models; the server's name when empty.
	Models []string
	// Key, when not empty, is the only credential accepted, as a bearer token or as api-key.
	Key string
	// Plan is how requests are answered that do not say otherwise.
	Plan Plan
	// Record is how many requests are kept, with headers and body, the oldest forgotten first; 0 keeps none.
	Record int
	// Meter keeps when every request arrived, for Arrivals.
	Meter bool
}

// Server answers as a provider does. It is an http.Handler, safe for concurrent use.
type Server struct {
	opts     Options
	words    map[string]setter
	content  string // of an answer that nothing was asked of
	vectors  vectors
	bodies   sync.Pool
	sequence atomic.Int64
	open     atomic.Int64
	aborted  atomic.Int64
	log      journal
	spent    spent
	meter    meter
}

// New returns a server. The plan of o is not checked; it comes from Parse or from code.
func New(o Options) *Server {
	if o.Name == "" {
		o.Name = "mock"
	}
	if len(o.Models) == 0 {
		o.Models = []string{o.Name}
	}
	return &Server{
		opts:    o,
		words:   setters(),
		content: Content(0, 0),
		bodies:  sync.Pool{New: func() any { return new(bytes.Buffer) }},
		log:     journal{keep: o.Record},
		meter:   meter{all: o.Meter},
	}
}

// ServeHTTP answers one request, or one of the control endpoint.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == ControlPath {
		s.control(w, r)
		return
	}
	s.open.Add(1)
	defer s.open.Add(-1)
	body := s.bodies.Get().(*bytes.Buffer)
	defer s.release(body)
	if _, err := io.Copy(body, r.Body); err != nil {
		s.aborted.Add(1)
		return
	}
	s.serve(w, r, body.Bytes())
	if r.Context().Err() != nil {
		s.aborted.Add(1)
	}
}

// release gives a buffer back, unless it is so large that keeping it would cost more than it saves.
func (s *Server) release(b *bytes.Buffer) {
	if b.Cap() > 1<<20 {
		return
	}
	b.Reset()
	s.bodies.Put(b)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	a, problem := read(r.URL.Path, body)
	s.log.add(r, &a, body)
	switch {
	case !s.admits(r.Header):
		writeError(w, http.StatusUnauthorized, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
	case a.endpoint == models:
		s.listModels(w, r.URL.Path)
	case a.endpoint == none:
		writeError(w, http.StatusNotFound, "invalid_request_error", "", "Unknown request URL: "+r.Method+" "+r.URL.Path)
	case r.Method != http.MethodPost:
		writeError(w, http.StatusMethodNotAllowed, "invalid_request_error", "", "Only POST is allowed here.")
	case problem != "":
		writeError(w, http.StatusBadRequest, "invalid_request_error", "", problem)
	default:
		s.carryOut(w, r, &a)
	}
}

func (s *Server) admits(h http.Header) bool {
	if s.opts.Key == "" {
		return true
	}
	return credential(h) == s.opts.Key
}

// carryOut answers a request that is in order, as its plan says.
func (s *Server) carryOut(w http.ResponseWriter, r *http.Request, a *ask) {
	p, err := s.plan(a, r.Header)
	if err != nil {
		writeError(w, http.StatusBadRequest, "invalid_request_error", "", err.Error())
		return
	}
	arrival := Arrival{Key: credential(r.Header), Model: a.model, Tokens: p.tokens(a)}
	if refused := s.meter.take(arrival, p.RPM, p.TPM); refused != nil {
		refused.refuse(w)
		return
	}
	k := sink{w: w, ctx: r.Context(), plan: &p}
	if !k.begin() {
		return
	}
	if p.Status != 0 || p.Body != "" {
		k.fail()
		return
	}
	switch {
	case a.endpoint == embeddings:
		k.whole(http.StatusOK, jsonType, s.embeddings(a))
	case a.stream:
		s.stream(&k, a)
	default:
		k.whole(http.StatusOK, jsonType, s.completion(a, &p))
	}
}
