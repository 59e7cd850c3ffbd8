package test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

// fleet is several nestors, each with an Envoy of its own, that share a Redis.
type fleet struct {
	t        *testing.T
	redis    *redistest.Server
	replicas []*gateway
}

// runFleet starts n nestors with one config and an empty Redis.
func runFleet(t *testing.T, n int, config string) *fleet {
	t.Helper()
	f := &fleet{t: t, redis: redistest.Single(t)}
	for range n {
		g := prepare(t, config, "--redis-url", f.redis.URL())
		g.launch()
		f.replicas = append(f.replicas, g)
	}
	for _, g := range f.replicas {
		g.ready()
	}
	return f
}

// again starts a nestor that was killed, which is no first start.
func (g *gateway) again() {
	g.t.Helper()
	g.args = slices.DeleteFunc(g.args, func(arg string) bool { return arg == "--fresh-limits" })
	g.start()
}

// stop makes a nestor stand still for some time.
func (g *gateway) stop(d time.Duration) {
	g.t.Helper()
	g.nestor.signal(g.t, syscall.SIGSTOP)
	<-time.After(d)
	g.nestor.signal(g.t, syscall.SIGCONT)
}

// long says that tests may take as long as they are worth.
func long() bool { return os.Getenv("NESTOR_TEST_LONG") != "" }

// A rush is clients that want more than there is. It knows of every request when it was sent and when it came
// to the provider: in between it was admitted.
type rush struct {
	t    *testing.T
	urls []string
	mu   sync.Mutex
	sent []time.Time // by the number of a request
	seen []sighting  // in their order
	// How often requests were refused, and how often they failed in another way.
	refused, failed int
}

// A sighting is one attempt at a request that came to the provider.
type sighting struct {
	number   int
	sent, at time.Time
}

// numberHeader is one that clients may send to providers.
const numberHeader = "Idempotency-Key"

// witness serves a mock at another address, where the arrivals of the rush are noted.
func (r *rush) witness(u *upstream) *upstream {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.sight(q.Header.Get(numberHeader))
		u.ServeHTTP(w, q)
	}))
	r.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return &upstream{u.Server, server.URL}
}

func (r *rush) sight(header string) {
	at := time.Now()
	number, err := strconv.Atoi(header)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || number >= len(r.sent) {
		r.t.Errorf("the provider got a request that nobody sent: number %q", header)
		return
	}
	r.seen = append(r.seen, sighting{number, r.sent[number], at})
}

// send notes that a request is sent, and returns its number.
func (r *rush) send() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, time.Now())
	return strconv.Itoa(len(r.sent) - 1)
}

// sightings are those so far.
func (r *rush) sightings() []sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// reach waits until the provider has seen n attempts.
func (r *rush) reach(n int, within time.Duration) {
	r.t.Helper()
	eventually(r.t, within, strconv.Itoa(n)+" requests have come to the provider", func() bool { return len(r.sightings()) >= n })
}

// client asks again and again until the context ends. Refused, it waits as told, or at most for poll. Where nestor
// does not answer, it goes to the next one.
func (r *rush) client(ctx context.Context, first int, poll time.Duration, body func() string) {
	client := httpClient(r.t)
	for at := first; ctx.Err() == nil; {
		got, err := doWith(ctx, client, http.MethodPost, r.urls[at%len(r.urls)]+"/v1/chat/completions", body(), numberHeader, r.send())
		switch {
		case ctx.Err() != nil:
		case err == nil && got.Status == http.StatusOK:
		case err == nil && got.Status == http.StatusTooManyRequests:
			r.count(&r.refused)
			rest(ctx, min(poll, got.told(r.t)))
		default:
			r.count(&r.failed)
			at++
			rest(ctx, 300*time.Millisecond)
		}
	}
}

// told is after how long a refused client is to come back. Leases count for some seconds longer than a window, so it
// can be that much longer than a minute.
func (r reply) told(t *testing.T) time.Duration {
	t.Helper()
	milliseconds, err := strconv.Atoi(r.Header.Get("Retry-After-Ms"))
	wait := time.Duration(milliseconds) * time.Millisecond
	if p := r.problem(t); err != nil || wait <= 0 || wait > 70*time.Second || p.Code == nil || *p.Code != "rate_limit_exceeded" {
		t.Errorf("retry-after-ms %q with %s", r.Header.Get("Retry-After-Ms"), r.Body)
		return time.Second
	}
	return wait
}

func (r *rush) count(n *int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n++
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
