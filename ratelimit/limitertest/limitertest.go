// Package limitertest is the suite that every store of limits must pass.
package limitertest

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Store is what the suite looks at.
type Store interface {
	ratelimit.Limiter
	Renew(id ratelimit.ID, life time.Duration) bool
	Declare(limits []ratelimit.Limit) []ratelimit.Entity
	Put(l ratelimit.Limit) ratelimit.Entity
	Drop(name string)
	Usage(e ratelimit.Entity) ratelimit.Usage
}

// Clock is a time that a test moves.
type Clock struct{ now atomic.Int64 }

// NewClock returns a clock that shows an hour, so that nothing takes a time of 0 for none.
func NewClock() *Clock {
	c := &Clock{}
	c.Advance(time.Hour)
	return c
}

// Now is what the clock shows.
func (c *Clock) Now() time.Duration { return time.Duration(c.now.Load()) }

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) { c.now.Add(int64(d)) }

// Suite is a kind of store.
type Suite struct {
	// Open returns a store in which nothing is declared, used or closed, and that takes its time from the clock.
	// It is called many times in one test; what it opens may be closed at the test's end.
	Open func(t *testing.T, clock *Clock) Store
	// Slack is how much longer than the Window what was used may count.
	Slack time.Duration
}

// Run tests the store.
func (s Suite) Run(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *bench){
		"what was used is free after a window":           testWindow,
		"a denial changes nothing":                       testAllOrNothing,
		"the same reservation again holds nothing more":  testDuplicate,
		"a reservation is settled once":                  testSettleOnce,
		"less than reserved is given back at once":       testGivenBack,
		"what is given back late gives nothing":          testGivenBackLate,
		"more than reserved counts from its settlement":  testOverrun,
		"a refund leaves nothing":                        testRefund,
		"a reservation settles by itself":                testExpiry,
		"a reservation that is renewed settles later":    testRenew,
		"what is not held can't be renewed":              testRenewNothing,
		"a parallel limit holds at every moment":         testParallelLimit,
		"what is larger than a limit is never admitted":  testNever,
		"a limit of zero admits nothing":                 testZero,
		"of several denials the longest counts":          testLongestWait,
		"a request counts once for several attempts":     testAgain,
		"an amount of zero passes a full limit":          testNothingNeeded,
		"an entity without limits is counted":            testUnlimited,
		"the standing is that of the tightest":           testStanding,
		"a reload keeps what was used":                   testReload,
		"a handle of what was dropped hits nothing else": testDropped,
		"an entity named twice is charged once":          testTwice,
		"what was put stays until it is dropped":         testPut,
		"what was dropped and put again goes on":         testPutAgain,
		"many are put and dropped":                       testPutMany,
		"absurd amounts do not break the sums":           testAbsurd,
		"a steady demand gets the limit":                 testUtilisation,
		"many at once get exactly the limit":             testConcurrent,
		"many at once on many entities do not block":     testConcurrentSettle,
	} {
		t.Run(name, func(t *testing.T) { test(t, s.bench(t)) })
	}
	t.Run("no interleaving exceeds a limit", s.testAnyInterleaving)
}

// none are the limits of an entity that has none.
const none = ratelimit.None

// life is longer than any test without an expiry takes.
const life = 20 * time.Minute

// A bench is a store on its clock.
type bench struct {
	Store
	clock *Clock
	slack time.Duration
	ids   atomic.Uint64
}

func (s Suite) bench(t *testing.T) *bench {
	clock := NewClock()
	return &bench{Store: s.Open(t, clock), clock: clock, slack: s.Slack}
}

// declare puts limits in force for entities named a, b, c, ...
func (b *bench) declare(most ...ratelimit.Amounts) []ratelimit.Entity {
	limits := make([]ratelimit.Limit, len(most))
	for i := range most {
		limits[i] = ratelimit.Limit{Name: "deployment:" + string(rune('a'+i)), Most: most[i]}
	}
	return b.Declare(limits)
}

func (b *bench) newID() (id ratelimit.ID) {
	binary.BigEndian.PutUint64(id[8:], b.ids.Add(1))
	return id
}

// reserve makes a new reservation.
func (b *bench) reserve(amounts ratelimit.Amounts, entities ...ratelimit.Entity) (ratelimit.ID, *ratelimit.Denial) {
	id := b.newID()
	_, denial := b.Reserve(context.Background(),
		&ratelimit.Reservation{ID: id, Amounts: amounts, Entities: entities, Life: life})
	return id, denial
}

// admitted makes a reservation that must succeed.
func (b *bench) admitted(t *testing.T, amounts ratelimit.Amounts, entities ...ratelimit.Entity) ratelimit.ID {
	t.Helper()
	id, denial := b.reserve(amounts, entities...)
	if denial != nil {
		t.Fatalf("%v is denied: %+v", amounts, denial)
	}
	return id
}

// denied makes a reservation that must fail.
func (b *bench) denied(t *testing.T, amounts ratelimit.Amounts, entities ...ratelimit.Entity) *ratelimit.Denial {
	t.Helper()
	_, denial := b.reserve(amounts, entities...)
	if denial == nil {
		t.Fatalf("%v is admitted", amounts)
	}
	return denial
}

// uses compares what an entity has used.
func (b *bench) uses(t *testing.T, e ratelimit.Entity, want ratelimit.Amounts) {
	t.Helper()
	if got := b.Usage(e).Used; got != want {
		t.Fatalf("used are %v, want %v", got, want)
	}
}
