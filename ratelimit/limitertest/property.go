package limitertest

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// A use is one entry of the ledger: what a reservation, or an overrun, uses of its entities.
type use struct {
	at       time.Duration
	amounts  ratelimit.Amounts
	entities []int
	again    int // of the last so many entities no requests are used
	// A reservation's id, and the end of its life; settled when it is known what was used.
	id      ratelimit.ID
	ends    time.Duration
	settled bool
}

// share is what is used of the i-th of the entities.
func (u *use) share(i int) ratelimit.Amounts {
	amounts := u.amounts
	if i >= len(u.entities)-u.again {
		amounts[ratelimit.Requests] = 0
	}
	return amounts
}

// model is an independent account of the same reservations: a list of everything, summed anew each time.
type model struct {
	*bench
	uses     []*use
	entities []ratelimit.Entity
	most     []ratelimit.Amounts
}

// used sums what an entity has used in the time that ends now; in Parallel what is held now.
func (m *model) used(entity int, over time.Duration) (sum ratelimit.Amounts) {
	now := m.clock.Now()
	for _, u := range m.uses {
		for i, e := range u.entities {
			if e != entity {
				continue
			}
			amounts := u.share(i)
			if u.at > now-over {
				sum[ratelimit.Requests] += amounts[ratelimit.Requests]
				sum[ratelimit.Tokens] += amounts[ratelimit.Tokens]
			}
			if !u.settled && now < u.ends {
				sum[ratelimit.Parallel] += amounts[ratelimit.Parallel]
			}
		}
	}
	return sum
}

// exceeds says whether a use is more than some entity has left, if what was used counts for a time.
func (m *model) exceeds(u *use, over time.Duration) bool {
	for i, e := range u.entities {
		used := m.used(e, over)
		for d, amount := range u.share(i) {
			if amount > 0 && m.most[e][d] != none && used[d]+amount > m.most[e][d] {
				return true
			}
		}
	}
	return false
}

func (m *model) reserve(t *rapid.T) {
	u := &use{
		at:       m.clock.Now(),
		amounts:  ratelimit.Amounts{1, rapid.Int64Range(0, 60).Draw(t, "tokens"), 1},
		entities: rapid.SliceOfNDistinct(rapid.IntRange(0, len(m.entities)-1), 1, len(m.entities), rapid.ID).Draw(t, "entities"),
		id:       m.newID(),
	}
	u.again = rapid.IntRange(0, len(u.entities)).Draw(t, "again")
	q := &ratelimit.Reservation{ID: u.id, Amounts: u.amounts, Life: time.Duration(rapid.IntRange(1, 100_000).Draw(t, "life")) * instant}
	for _, e := range u.entities {
		q.Entities = append(q.Entities, m.entities[e])
	}
	q.Again = u.again
	u.ends = u.at + q.Life
	_, denial := m.Reserve(context.Background(), q)
	if denial != nil && m.wait(t, q, u, denial) {
		u.at = m.clock.Now()
		u.ends = u.at + q.Life
		_, denial = m.Reserve(context.Background(), q)
		if denial != nil && denial.Dimension != ratelimit.Parallel {
			t.Fatalf("denied after the time that it was told: %+v", denial)
		}
	}
	if denial == nil {
		if m.exceeds(u, window) {
			t.Fatalf("%v of %v is admitted", u.amounts, u.entities)
		}
		m.uses = append(m.uses, u)
	}
}

// wait judges a denial, and lets its time pass where the test draws so.
func (m *model) wait(t *rapid.T, q *ratelimit.Reservation, u *use, denial *ratelimit.Denial) bool {
	if !m.exceeds(u, window+m.slack) {
		t.Fatalf("%v of %v is denied though it is free: %+v", u.amounts, u.entities, denial)
	}
	if denial.Never != m.never(u) {
		t.Fatalf("%v of %v: never is %t", u.amounts, u.entities, denial.Never)
	}
	if denial.Never || denial.Dimension == ratelimit.Parallel || !rapid.Bool().Draw(t, "wait") {
		return false
	}
	if denial.RetryAfter <= 0 || denial.RetryAfter > window+m.slack {
		t.Fatalf("denied for %s", denial.RetryAfter)
	}
	// Just before, it must still be denied by the same account; what it holds if it is not would spoil the test.
	if early := denial.RetryAfter - m.slack - instant; early > 0 {
		m.clock.Advance(early)
		if !m.exceeds(u, window) {
			t.Fatalf("told to wait %s, though %s are enough", denial.RetryAfter, early)
		}
		m.clock.Advance(denial.RetryAfter - early)
		return true
	}
	m.clock.Advance(denial.RetryAfter)
	return true
}

func (m *model) never(u *use) bool {
	for i, e := range u.entities {
		for d, amount := range u.share(i) {
			if amount > m.most[e][d] {
				return true
			}
		}
	}
	return false
}

func (m *model) settle(t *rapid.T) {
	if len(m.uses) == 0 {
		t.Skip("nothing is reserved")
	}
	u := rapid.SampledFrom(m.uses).Draw(t, "settled")
	if u.ends == 0 {
		t.Skip("an overrun is not settled")
	}
	used := ratelimit.Amounts{rapid.Int64Range(0, 1).Draw(t, "requests"), rapid.Int64Range(0, 90).Draw(t, "truth")}
	held := !u.settled && m.clock.Now() < u.ends
	if m.Settle(u.id, used) != held {
		t.Fatalf("the reservation was held: %t, want %t", !held, held)
	}
	if !held {
		return
	}
	u.settled = true
	more := &use{at: m.clock.Now(), entities: u.entities, again: u.again, settled: true}
	for _, d := range []ratelimit.Dimension{ratelimit.Requests, ratelimit.Tokens} {
		more.amounts[d] = max(0, used[d]-u.amounts[d])
		u.amounts[d] = min(u.amounts[d], used[d])
	}
	m.uses = append(m.uses, more)
}

// again makes a reservation that is still held once more.
func (m *model) again(t *rapid.T) {
	for _, u := range m.uses {
		if u.settled || m.clock.Now() >= u.ends {
			continue
		}
		q := &ratelimit.Reservation{ID: u.id, Amounts: u.amounts, Life: time.Hour}
		for _, e := range u.entities {
			q.Entities = append(q.Entities, m.entities[e])
		}
		if _, denial := m.Reserve(context.Background(), q); denial != nil {
			t.Fatalf("what is held is denied: %+v", denial)
		}
		return
	}
	t.Skip("nothing is held")
}

// renew has a reservation held for longer, or not as long as it is anyway.
func (m *model) renew(t *rapid.T) {
	if len(m.uses) == 0 {
		t.Skip("nothing is reserved")
	}
	u := rapid.SampledFrom(m.uses).Draw(t, "renewed")
	if u.ends == 0 {
		t.Skip("an overrun is not renewed")
	}
	life := time.Duration(rapid.IntRange(1, 100_000).Draw(t, "life")) * instant
	held := !u.settled && m.clock.Now() < u.ends
	if m.Renew(u.id, life) != held {
		t.Fatalf("the reservation was held: %t, want %t", !held, held)
	}
	if held {
		u.ends = max(u.ends, m.clock.Now()+life)
	}
}

func (m *model) pass(t *rapid.T) {
	m.clock.Advance(time.Duration(rapid.OneOf(rapid.IntRange(1, 2000), rapid.IntRange(1, 70_000)).Draw(t, "ms")) * instant)
}

// reload changes limits; nothing that was used is forgotten.
func (m *model) reload(t *rapid.T) {
	for i := range m.most {
		m.most[i] = drawMost(t)
	}
	m.entities = m.declare(m.most...)
}

func (m *model) check(t *rapid.T) {
	for i, e := range m.entities {
		got, least, most := m.Usage(e).Used, m.used(i, window), m.used(i, window+m.slack)
		for d := range got {
			if got[d] < least[d] || got[d] > most[d] {
				t.Fatalf("entity %d uses %v, want %v to %v", i, got, least, most)
			}
		}
	}
}

// drawMost draws limits; all have one of requests, so that the entity is counted as finely as limits are.
func drawMost(t *rapid.T) ratelimit.Amounts {
	return ratelimit.Amounts{
		rapid.Int64Range(1, 12).Draw(t, "rpm"),
		rapid.OneOf(rapid.Just(none), rapid.Int64Range(20, 200)).Draw(t, "tpm"),
		rapid.OneOf(rapid.Just(none), rapid.Int64Range(1, 5)).Draw(t, "most parallel"),
	}
}

// testAnyInterleaving compares the store with the model after every step: no interval has more than the limit,
// and nothing is denied that is free.
func (s Suite) testAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{bench: s.bench(t), most: make([]ratelimit.Amounts, 3)}
		m.reload(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"reserve": m.reserve, "reserve ": m.reserve, "reserve  ": m.reserve,
			"settle": m.settle, "renew": m.renew, "again": m.again, "time": m.pass, "reload": m.reload, "": m.check,
		})
	})
}
