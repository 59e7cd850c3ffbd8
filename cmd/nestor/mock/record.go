package mock

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// bodyKept is the size up to which a recorded request keeps its body; larger ones keep their hash only.
const bodyKept = 64 << 10

// Request is one that arrived.
type Request struct {
	At     time.Time   `json:"at"`
	Proto  string      `json:"proto"`
	Method string      `json:"method"`
	Host   string      `json:"host"`
	Target string      `json:"target"` // path and query as sent
	Model  string      `json:"model"`
	User   string      `json:"user,omitempty"`
	Stream bool        `json:"stream"`
	Header http.Header `json:"header"`
	Bytes  int         `json:"bytes"`
	SHA256 string      `json:"sha256"`
	Body   string      `json:"body,omitempty"` // empty when over 64 KiB
}

// Report is what the control endpoint shows.
type Report struct {
	Name string `json:"name"`
	// Total counts all requests since the start or the last reset; Open are those not answered yet,
	// Aborted those whose client left.
	Total   int            `json:"total"`
	Open    int64          `json:"open"`
	Aborted int64          `json:"aborted"`
	Models  map[string]int `json:"models"`
	// Requests are the last ones, as many as are kept, the oldest first.
	Requests []Request `json:"requests"`
}

type journal struct {
	mu       sync.Mutex
	keep     int
	total    int
	models   map[string]int
	requests []Request
}

func (j *journal) add(r *http.Request, a *ask, body []byte) {
	var entry Request
	if j.keep > 0 {
		entry = note(r, a, body)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.total++
	if j.models == nil {
		j.models = map[string]int{}
	}
	j.models[a.model]++
	if j.keep == 0 {
		return
	}
	// Twice as many as are kept before the older half goes: no copying for each request.
	if len(j.requests) >= 2*j.keep {
		j.requests = append(j.requests[:0:0], j.requests[j.keep:]...)
	}
	j.requests = append(j.requests, entry)
}

func note(r *http.Request, a *ask, body []byte) Request {
	sum := sha256.Sum256(body)
	n := Request{
		At: time.Now(), Proto: r.Proto, Method: r.Method, Host: r.Host, Target: r.RequestURI,
		Model: a.model, User: a.user, Stream: a.stream, Header: r.Header,
		Bytes: len(body), SHA256: hex.EncodeToString(sum[:]),
	}
	if len(body) <= bodyKept {
		n.Body = string(bytes.Clone(body))
	}
	return n
}

// Report says what arrived so far.
func (s *Server) Report() Report {
	j := &s.log
	j.mu.Lock()
	defer j.mu.Unlock()
	first := max(0, len(j.requests)-j.keep)
	return Report{
		Name: s.opts.Name, Total: j.total, Open: s.open.Load(), Aborted: s.aborted.Load(),
		Models: maps.Clone(j.models), Requests: slices.Clone(j.requests[first:]),
	}
}

// Reset forgets what arrived and how often plans were used.
func (s *Server) Reset() {
	s.spent.reset()
	s.meter.reset()
	s.aborted.Store(0)
	j := &s.log
	j.mu.Lock()
	defer j.mu.Unlock()
	j.total, j.models, j.requests = 0, nil, nil
}

func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		w.Header().Set("Content-Type", jsonType)
		json.NewEncoder(w).Encode(s.Report())
	case http.MethodDelete:
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	default:
		writeError(w, http.StatusMethodNotAllowed, "invalid_request_error", "", "GET or DELETE.")
	}
}
