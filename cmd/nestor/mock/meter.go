package mock

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Arrival is one request that arrived, as a provider counts it.
type Arrival struct {
	At    time.Time
	Key   string // the credential
	Model string
	// Tokens are those of the prompt and of the whole answer; 0 when the answer is an error.
	Tokens int
	// Refused says that the server's own limit stood in the way.
	Refused bool
}

// Peak returns the most requests and the most tokens that arrived in any interval of that length, its
// beginning left out. The arrivals are in their order.
func Peak(arrivals []Arrival, window time.Duration) (requests, tokens int) {
	first, sum := 0, 0
	for i, a := range arrivals {
		sum += a.Tokens
		for ; arrivals[first].At.Add(window).Compare(a.At) <= 0; first++ {
			sum -= arrivals[first].Tokens
		}
		requests, tokens = max(requests, i-first+1), max(tokens, sum)
	}
	return requests, tokens
}

// meter counts what arrives by credential and model, in an exact sliding window.
type meter struct {
	all bool // keep what is older than a window too

	mu   sync.Mutex
	seen map[[2]string][]Arrival
}

const window = time.Minute

// Arrivals are those of a model, in their order; they are kept with Options.Meter.
func (s *Server) Arrivals(model string) []Arrival {
	m := &s.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Arrival
	for quota, list := range m.seen {
		if quota[1] == model {
			found = append(found, list...)
		}
	}
	return found
}

// refusal is what stands in the way of a request: one dimension, for some time.
type refusal struct {
	dimension string // "requests" or "tokens"
	limit     int
	wait      time.Duration
}

// take counts an arrival, and refuses it where it exceeds a limit; a limit of 0 is none.
func (m *meter) take(a Arrival, rpm, tpm int) *refusal {
	if !m.all && rpm == 0 && tpm == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a.At = time.Now()
	quota := [2]string{a.Key, a.Model}
	list := m.seen[quota]
	if !m.all {
		list = list[since(list, a.At.Add(-window)):]
	}
	refused := exceeds(list[since(list, a.At.Add(-window)):], a, rpm, tpm)
	if refused != nil {
		a.Tokens, a.Refused = 0, true
	}
	if m.all || refused == nil {
		list = append(list, a)
	}
	if m.seen == nil {
		m.seen = map[[2]string][]Arrival{}
	}
	m.seen[quota] = list
	return refused
}

// since is the index of the first arrival after a time.
func since(list []Arrival, t time.Time) int {
	i := 0
	for i < len(list) && !list[i].At.After(t) {
		i++
	}
	return i
}

// exceeds judges an arrival by those of the last window.
func exceeds(last []Arrival, a Arrival, rpm, tpm int) *refusal {
	requests, tokens := 0, 0
	for _, l := range last {
		if !l.Refused {
			requests++
			tokens += l.Tokens
		}
	}
	switch {
	case rpm > 0 && requests+1 > rpm:
		return &refusal{"requests", rpm, wait(last, a.At, func(gone, _ int) bool { return requests-gone+1 <= rpm })}
	case tpm > 0 && tokens+a.Tokens > tpm:
		return &refusal{"tokens", tpm, wait(last, a.At, func(_, gone int) bool { return tokens-gone+a.Tokens <= tpm })}
	}
	return nil
}

// wait is the time until enough of the last arrivals no longer count.
func wait(last []Arrival, now time.Time, enough func(requests, tokens int) bool) time.Duration {
	requests, tokens := 0, 0
	for _, l := range last {
		if l.Refused {
			continue
		}
		requests++
		tokens += l.Tokens
		if enough(requests, tokens) {
			return l.At.Add(window).Sub(now)
		}
	}
	return window
}

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = nil
}

// refuse answers as OpenAI does when a limit is reached.
func (r *refusal) refuse(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(int(math.Ceil(r.wait.Seconds()))))
	h.Set("X-Ratelimit-Limit-"+r.dimension, strconv.Itoa(r.limit))
	h.Set("X-Ratelimit-Remaining-"+r.dimension, "0")
	h.Set("X-Ratelimit-Reset-"+r.dimension, r.wait.Round(time.Millisecond).String())
	writeError(w, http.StatusTooManyRequests, r.dimension, "rate_limit_exceeded",
		"mock: limit of "+strconv.Itoa(r.limit)+" "+r.dimension+" per minute reached.")
}

// credential is what a request is counted by.
func credential(h http.Header) string {
	if key := h.Get("Api-Key"); key != "" {
		return key
	}
	key, _ := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	return key
}
