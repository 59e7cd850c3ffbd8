package routing_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/live"
)

// limited is a router that keeps limits in memory, on a clock.
type limited struct {
	*routing.Router
	clock *clock
	store *ratelimit.Memory
	// attempts counts those made.
	attempts uint64
}

func limit(s *routing.Snapshot) *limited {
	c := newClock()
	start := c.Now()
	store := ratelimit.NewMemory(ratelimit.Options{Fresh: true, Now: func() time.Duration { return c.Now().Sub(start) }})
	return &limited{Router: routing.NewRouter(routing.NewTracker(c.Now), store, s), clock: c, store: store}
}

// held is an attempt that was picked.
type held struct {
	routing.Pick
	id ratelimit.ID
}

func (l *limited) query(tokens int64) routing.Query {
	l.attempts++
	return hold(l.attempts, tokens)
}

// hold is what the n-th attempt asks for.
func hold(n uint64, tokens int64) routing.Query {
	q := routing.Query{Seed: n}
	binary.LittleEndian.PutUint64(q.Hold.ID[:], n)
	q.Hold.Amounts = ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: tokens, ratelimit.Parallel: 1}
	q.Hold.Life = time.Hour
	return q
}

func (l *limited) try(t testing.TB, name string, tokens int64) (held, error) {
	t.Helper()
	q := l.query(tokens)
	p, err := l.View().Pick(context.Background(), target(t, l.View().Snapshot(), name), q)
	return held{p, q.Hold.ID}, err
}

func (l *limited) pick(t testing.TB, name string, tokens int64) held {
	t.Helper()
	h, err := l.try(t, name, tokens)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// picks counts by litellm_params.model what n picks give; one that gives nothing counts as "".
func (l *limited) picks(t testing.TB, name string, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		h, err := l.try(t, name, 1)
		if err != nil {
			counts[""]++
			continue
		}
		counts[h.Deployment.Written]++
	}
	return counts
}

// refused is the error of a pick that must fail.
func (l *limited) refused(t testing.TB, name string, tokens int64) *routing.NoneError {
	t.Helper()
	h, err := l.try(t, name, tokens)
	none, ok := errors.AsType[*routing.NoneError](err)
	if !ok {
		t.Fatalf("got %v, %v, want a NoneError", h.Deployment, err)
	}
	return none
}

// use is what live shows as used of a deployment: requests, tokens, in flight.
func use(all []live.Use) ratelimit.Amounts {
	var used ratelimit.Amounts
	for d := range used {
		used[d] = all[d].Used
	}
	return used
}

// ledger is what is used of everything that has a gate, by name.
func (l *limited) ledger() map[string]ratelimit.Amounts {
	live, all := l.View().LiveAll(), map[string]ratelimit.Amounts{}
	for _, d := range live.Deployments {
		all["deployment "+d.ID] = use(d.Limits)
	}
	for _, r := range live.References {
		all["reference "+r.Group+" "+r.To] = use(r.Limits)
	}
	for _, g := range live.Groups {
		all["group "+g.Group] = use(g.Limits)
	}
	return all
}

// gatekeeper is a store in which some entities, by name, are full, and some too small for every request.
type gatekeeper struct {
	mu          sync.Mutex
	names       []string
	most        []ratelimit.Amounts
	full, small map[string]bool
	held        map[ratelimit.ID]bool
	asked       int
	// onAsk, if any, is called first.
	onAsk func()
	// denied are the names of what was full when somebody asked.
	denied map[string]bool
	// wait is what those are told that are too large.
	wait time.Duration
	// passed is what the last reservation was of.
	passed []string
}

func (g *gatekeeper) Declare(limits []ratelimit.Limit) []ratelimit.Entity {
	g.mu.Lock()
	defer g.mu.Unlock()
	entities := make([]ratelimit.Entity, len(limits))
	for i, l := range limits {
		at := slices.Index(g.names, l.Name)
		if at < 0 {
			at = len(g.names)
			g.names, g.most = append(g.names, l.Name), append(g.most, l.Most)
		}
		g.most[at] = l.Most
		entities[i] = ratelimit.Entity(at)
	}
	return entities
}

func (g *gatekeeper) Reserve(_ context.Context, r *ratelimit.Reservation) (ratelimit.Standing, *ratelimit.Denial) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if g.onAsk != nil {
		g.onAsk()
	}
	g.passed = nil
	for _, e := range r.Entities {
		g.passed = append(g.passed, g.names[e])
	}
	for _, e := range r.Entities {
		name := g.names[e]
		if g.full[name] || g.small[name] {
			if g.denied == nil {
				g.denied = map[string]bool{}
			}
			g.denied[name] = true
			d := &ratelimit.Denial{Entity: e, Dimension: ratelimit.Tokens, RetryAfter: time.Second, Full: g.full[name]}
			if !d.Full {
				d.RetryAfter = g.wait
			}
			return ratelimit.Standing{}, d
		}
	}
	if g.held == nil {
		g.held = map[ratelimit.ID]bool{}
	}
	g.held[r.ID] = true
	return ratelimit.Standing{}, nil
}

func (g *gatekeeper) Settle(id ratelimit.ID, _ ratelimit.Amounts) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	held := g.held[id]
	delete(g.held, id)
	return held
}

func (g *gatekeeper) Refund(id ratelimit.ID) bool { return g.Settle(id, ratelimit.Amounts{}) }

func (g *gatekeeper) Renew(id ratelimit.ID, _ time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held[id]
}

func (g *gatekeeper) Usage(e ratelimit.Entity) ratelimit.Usage {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := ratelimit.Usage{Most: g.most[e]}
	if g.full[g.names[e]] {
		u.Used[ratelimit.Tokens] = ratelimit.None
	}
	return u
}
