package limitertest

import (
	"context"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

const (
	window = ratelimit.Window
	// instant is the smallest step of time that tests take.
	instant = time.Millisecond
)

func testWindow(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{5, none, none})[0]
	for range 3 {
		b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	}
	b.clock.Advance(30 * time.Second)
	for range 2 {
		b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	}
	b.clock.Advance(30*time.Second - instant)
	denial := b.denied(t, ratelimit.Amounts{1, 10, 1}, e)
	if denial.RetryAfter < instant || denial.RetryAfter > instant+b.slack || !denial.Full || denial.Dimension != ratelimit.Requests {
		t.Fatalf("denial is %+v, want full of requests for a millisecond", denial)
	}
	b.clock.Advance(denial.RetryAfter)
	for range 3 {
		b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	}
	b.denied(t, ratelimit.Amounts{1, 10, 1}, e)
}

func testAllOrNothing(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{10, none, none}, ratelimit.Amounts{10, 100, 5}, ratelimit.Amounts{10, none, none})
	b.admitted(t, ratelimit.Amounts{1, 60, 1}, e[1])
	denial := b.denied(t, ratelimit.Amounts{1, 50, 1}, e...)
	if denial.Entity != e[1] || denial.Dimension != ratelimit.Tokens || denial.Full || denial.Never {
		t.Fatalf("denial is %+v, want tokens of the second entity, not full", denial)
	}
	b.uses(t, e[0], ratelimit.Amounts{})
	b.uses(t, e[1], ratelimit.Amounts{1, 60, 1})
	b.uses(t, e[2], ratelimit.Amounts{})
	b.admitted(t, ratelimit.Amounts{1, 40, 1}, e...)
}

func testDuplicate(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{1, 10, 1})
	q := ratelimit.Reservation{ID: b.newID(), Amounts: ratelimit.Amounts{1, 10, 1}, Entities: e, Life: life}
	for range 3 {
		if _, denial := b.Reserve(context.Background(), &q); denial != nil {
			t.Fatalf("the reservation is denied: %+v", denial)
		}
	}
	b.uses(t, e[0], ratelimit.Amounts{1, 10, 1})
	if !b.Settle(q.ID, ratelimit.Amounts{1, 10}) || b.Settle(q.ID, ratelimit.Amounts{1, 10}) {
		t.Fatal("want the first settlement alone to count")
	}
	b.uses(t, e[0], ratelimit.Amounts{1, 10, 0})
}

func testSettleOnce(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{10, 1000, 10}, ratelimit.Amounts{10, 1000, 10})
	id := b.admitted(t, ratelimit.Amounts{1, 100, 1}, e...)
	other := b.admitted(t, ratelimit.Amounts{1, 100, 1}, e...)
	if !b.Settle(id, ratelimit.Amounts{1, 30}) {
		t.Fatal("the reservation was not held")
	}
	if b.Settle(id, ratelimit.Amounts{1, 10}) || b.Settle(id, ratelimit.Amounts{1, 500}) || b.Refund(id) {
		t.Fatal("a second settlement counts")
	}
	for _, e := range e {
		b.uses(t, e, ratelimit.Amounts{2, 130, 1})
	}
	if b.Settle(b.newID(), ratelimit.Amounts{1, 10}) || b.Refund(b.newID()) {
		t.Fatal("a settlement of nothing counts")
	}
	if !b.Refund(other) || b.Refund(other) || b.Settle(other, ratelimit.Amounts{1, 10}) {
		t.Fatal("want the first refund alone to count")
	}
	for _, e := range e {
		b.uses(t, e, ratelimit.Amounts{1, 30, 0})
	}
}

func testGivenBack(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{10, 100, none})[0]
	id := b.admitted(t, ratelimit.Amounts{1, 80, 1}, e)
	b.clock.Advance(20 * time.Second)
	b.Settle(id, ratelimit.Amounts{1, 30})
	b.admitted(t, ratelimit.Amounts{1, 70, 1}, e)
	b.denied(t, ratelimit.Amounts{1, 1, 1}, e)
	b.clock.Advance(40*time.Second - instant)
	b.denied(t, ratelimit.Amounts{1, 1, 1}, e)
	b.clock.Advance(instant + b.slack)
	b.admitted(t, ratelimit.Amounts{1, 30, 1}, e)
	b.denied(t, ratelimit.Amounts{1, 1, 1}, e)
}

func testGivenBackLate(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{10, 100, 5})[0]
	id := b.admitted(t, ratelimit.Amounts{1, 80, 1}, e)
	b.clock.Advance(window + b.slack)
	b.admitted(t, ratelimit.Amounts{1, 100, 1}, e)
	if !b.Refund(id) {
		t.Fatal("the reservation was not held")
	}
	b.uses(t, e, ratelimit.Amounts{1, 100, 1})
	b.denied(t, ratelimit.Amounts{1, 1, 1}, e)
}

func testOverrun(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{10, 100, none})[0]
	id := b.admitted(t, ratelimit.Amounts{1, 50, 1}, e)
	b.clock.Advance(30 * time.Second)
	b.Settle(id, ratelimit.Amounts{1, 250})
	b.uses(t, e, ratelimit.Amounts{1, 250, 0})
	if denial := b.denied(t, ratelimit.Amounts{1, 1, 1}, e); !denial.Full || denial.Dimension != ratelimit.Tokens {
		t.Fatalf("denial is %+v, want full of tokens", denial)
	}
	b.clock.Advance(window - instant)
	b.denied(t, ratelimit.Amounts{1, 1, 1}, e)
	b.clock.Advance(instant + b.slack)
	b.admitted(t, ratelimit.Amounts{1, 100, 1}, e)
}

func testRefund(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{1, 10, 1}, ratelimit.Amounts{2, 20, 1})
	for range 10 {
		id := b.admitted(t, ratelimit.Amounts{1, 10, 1}, e...)
		b.denied(t, ratelimit.Amounts{1, 10, 1}, e[0])
		if !b.Refund(id) {
			t.Fatal("the reservation was not held")
		}
		b.uses(t, e[0], ratelimit.Amounts{})
		b.uses(t, e[1], ratelimit.Amounts{})
		b.clock.Advance(time.Second)
	}
}

func testExpiry(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{100, 200, 2})[0]
	long := b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	q := ratelimit.Reservation{ID: b.newID(), Amounts: ratelimit.Amounts{1, 50, 1}, Entities: []ratelimit.Entity{e}, Life: 10 * time.Second}
	if _, denial := b.Reserve(context.Background(), &q); denial != nil {
		t.Fatal(denial)
	}
	b.clock.Advance(10*time.Second - instant)
	b.denied(t, ratelimit.Amounts{1, 0, 1}, e)
	b.clock.Advance(instant)
	b.uses(t, e, ratelimit.Amounts{2, 60, 1})
	b.admitted(t, ratelimit.Amounts{1, 0, 1}, e)
	if b.Settle(q.ID, ratelimit.Amounts{1, 0}) || b.Refund(q.ID) {
		t.Fatal("what has settled by itself is settled again")
	}
	b.uses(t, e, ratelimit.Amounts{3, 60, 2})
	if !b.Settle(long, ratelimit.Amounts{1, 10}) {
		t.Fatal("the other reservation is gone")
	}
	if _, denial := b.Reserve(context.Background(), &q); denial != nil {
		t.Fatalf("an ID that is no longer held is denied: %+v", denial)
	}
	b.uses(t, e, ratelimit.Amounts{4, 110, 2})
}

func testRenew(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{none, none, 3}, ratelimit.Amounts{none, none, none})
	var ids [3]ratelimit.ID
	for i := range ids {
		ids[i] = b.newID()
		q := ratelimit.Reservation{ID: ids[i], Amounts: ratelimit.Amounts{1, 50, 1}, Entities: e, Life: time.Duration(10+i) * time.Second}
		if _, denial := b.Reserve(context.Background(), &q); denial != nil {
			t.Fatal(denial)
		}
	}
	const long = 10 * time.Second
	held := func(want int64) {
		t.Helper()
		for _, e := range e {
			if got := b.Usage(e).Used[ratelimit.Parallel]; got != want {
				t.Fatalf("%d are held, want %d", got, want)
			}
		}
	}
	b.clock.Advance(long - instant)
	if !b.Renew(ids[0], long) || !b.Renew(ids[2], time.Second) || !b.Renew(ids[2], -long) {
		t.Fatal("what is held can't be renewed")
	}
	b.clock.Advance(instant) // at 10 s
	held(3)
	b.clock.Advance(time.Second) // at 11 s the second ends, at 12 s the third
	held(2)
	b.clock.Advance(time.Second - instant)
	held(2)
	b.clock.Advance(instant)
	held(1)
	for range 10 {
		if !b.Renew(ids[0], long) {
			t.Fatal("what was renewed can't be renewed again")
		}
		b.clock.Advance(long - instant)
		held(1)
	}
	b.clock.Advance(instant)
	held(0)
	if b.Settle(ids[0], ratelimit.Amounts{1, 0}) {
		t.Fatal("what has settled by itself is settled again")
	}
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e...)
}

func testRenewNothing(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{none, none, 2})
	settled, ended := b.admitted(t, ratelimit.Amounts{1, 10, 1}, e...), b.admitted(t, ratelimit.Amounts{1, 10, 1}, e...)
	b.Settle(settled, ratelimit.Amounts{1, 10})
	if b.Renew(settled, life) || b.Renew(b.newID(), life) {
		t.Fatal("what is not held is renewed")
	}
	b.clock.Advance(life)
	if b.Renew(ended, life) || b.Settle(ended, ratelimit.Amounts{1, 10}) {
		t.Fatal("what has settled by itself is renewed")
	}
	b.uses(t, e[0], ratelimit.Amounts{})
}

func testParallelLimit(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{none, none, 2})[0]
	first := b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	b.clock.Advance(2 * window)
	denial := b.denied(t, ratelimit.Amounts{1, 10, 1}, e)
	if denial.Dimension != ratelimit.Parallel || !denial.Full || denial.RetryAfter <= 0 {
		t.Fatalf("denial is %+v, want full of parallel", denial)
	}
	b.Settle(first, ratelimit.Amounts{1, 20, 1})
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	b.denied(t, ratelimit.Amounts{1, 10, 1}, e)
}

func testNever(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{10, 100, 1}, ratelimit.Amounts{0, none, none})
	denial := b.denied(t, ratelimit.Amounts{1, 101, 1}, e[0])
	if !denial.Never || denial.Dimension != ratelimit.Tokens || denial.Full {
		t.Fatalf("denial is %+v, want never for its tokens", denial)
	}
	if denial := b.denied(t, ratelimit.Amounts{1, 100, 2}, e[0]); !denial.Never || denial.Dimension != ratelimit.Parallel {
		t.Fatalf("denial is %+v, want never for parallel", denial)
	}
	b.admitted(t, ratelimit.Amounts{1, 100, 1}, e[0])
	if denial := b.denied(t, ratelimit.Amounts{1, 1, 1}, e...); !denial.Never || denial.Entity != e[1] {
		t.Fatalf("denial is %+v, want the one that never succeeds before others", denial)
	}
}

func testZero(t *testing.T, b *bench) {
	for d := range ratelimit.Dimension(ratelimit.Dimensions) {
		most := ratelimit.Unlimited()
		most[d] = 0
		e := b.declare(most)[0]
		denial := b.denied(t, ratelimit.Amounts{1, 1, 1}, e)
		if !denial.Never || !denial.Full || denial.Dimension != d {
			t.Fatalf("denial is %+v, want never for %s", denial, d)
		}
		if denial := b.denied(t, ratelimit.Amounts{}, e); !denial.Never {
			t.Fatalf("denial is %+v, want never", denial)
		}
	}
}

func testLongestWait(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{2, none, none}, ratelimit.Amounts{none, 100, none})
	b.admitted(t, ratelimit.Amounts{1, 1, 1}, e[0])
	b.clock.Advance(10 * time.Second)
	b.admitted(t, ratelimit.Amounts{1, 40, 1}, e[1])
	b.admitted(t, ratelimit.Amounts{1, 1, 1}, e[0])
	b.clock.Advance(10 * time.Second)
	b.admitted(t, ratelimit.Amounts{1, 60, 1}, e[1])
	b.clock.Advance(10 * time.Second)
	// Requests are free in 30 s; 40 tokens in 40 s, all in 50 s.
	for tokens, want := range map[int64]time.Duration{0: 30 * time.Second, 40: 40 * time.Second, 41: 50 * time.Second} {
		denial := b.denied(t, ratelimit.Amounts{1, tokens, 1}, e...)
		if denial.RetryAfter < want || denial.RetryAfter > want+b.slack {
			t.Fatalf("%d tokens are free in %s, want %s", tokens, denial.RetryAfter, want)
		}
	}
}

// What has counted the request takes part in everything but its Requests, whatever becomes of the attempt.
func testAgain(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{20, none, none}, ratelimit.Amounts{2, 100, 2}, ratelimit.Amounts{1, none, none})
	again := func(requests, tokens int64, of ...ratelimit.Entity) (ratelimit.ID, *ratelimit.Denial) {
		q := ratelimit.Reservation{ID: b.newID(), Amounts: ratelimit.Amounts{requests, tokens, 1}, Entities: of, Again: 2, Life: time.Minute / 2}
		_, denial := b.Reserve(context.Background(), &q)
		return q.ID, denial
	}
	b.Settle(b.admitted(t, ratelimit.Amounts{1, 10, 1}, e...), ratelimit.Amounts{1, 0})
	for i, end := range []func(id ratelimit.ID){
		func(id ratelimit.ID) { b.Settle(id, ratelimit.Amounts{1, 5}) },
		func(id ratelimit.ID) { b.Settle(id, ratelimit.Amounts{5, 25}) },
		func(id ratelimit.ID) { b.Refund(id) },
		func(ratelimit.ID) { b.clock.Advance(time.Minute / 2) },
	} {
		id, denial := again(1, 20, e...)
		if denial != nil {
			t.Fatalf("attempt %d is denied: %+v", i+2, denial)
		}
		end(id)
	}
	// Of 1 + 1 + 5 + 0 + 1 requests the others have seen one; tokens are all counted.
	for i, want := range []ratelimit.Amounts{{8, 50, 0}, {1, 50, 0}, {1, 50, 0}} {
		b.uses(t, e[i], want)
	}
	if _, denial := again(13, 60, e...); denial == nil || denial.Entity != e[0] || denial.Dimension != ratelimit.Requests {
		t.Fatalf("denial is %+v, want requests of what counts every attempt", denial)
	}
	if _, denial := again(1, 60, e...); denial == nil || denial.Entity != e[1] || denial.Dimension != ratelimit.Tokens {
		t.Fatalf("denial is %+v, want tokens of what has counted the request", denial)
	}
	b.admitted(t, ratelimit.Amounts{1, 0, 1}, e[1])
	if id, denial := again(1, 0, e...); denial != nil {
		t.Fatalf("denied at used-up limits of requests: %+v", denial)
	} else if _, denial = again(1, 0, e...); denial == nil || denial.Entity != e[1] || denial.Dimension != ratelimit.Parallel {
		t.Fatalf("denial is %+v, want parallel of what has counted the request", denial)
	} else {
		b.Settle(id, ratelimit.Amounts{1, 0})
	}
	b.denied(t, ratelimit.Amounts{1, 0, 1}, e[1])
	// What is named before, too, counts.
	if _, denial := again(1, 0, e[1], e[0], e[1]); denial == nil || denial.Entity != e[1] {
		t.Fatalf("denial is %+v, want requests of what is named twice", denial)
	}
}

func testNothingNeeded(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{none, 100, none})[0]
	b.admitted(t, ratelimit.Amounts{1, 100, 1}, e)
	b.admitted(t, ratelimit.Amounts{1, 0, 1}, e)
	b.denied(t, ratelimit.Amounts{1, 1, 1}, e)
}

func testUnlimited(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Unlimited(), ratelimit.Amounts{10, none, none})
	id := b.admitted(t, ratelimit.Amounts{1, 100, 1}, e...)
	standing, _ := b.Reserve(context.Background(), &ratelimit.Reservation{ID: b.newID(), Entities: e[:1], Life: life})
	for d, room := range standing {
		if room.Limit != none {
			t.Fatalf("the limit of %s is %d, want none", ratelimit.Dimension(d), room.Limit)
		}
	}
	if got := b.Usage(e[0]); got.Used != (ratelimit.Amounts{1, 100, 1}) || got.Most != ratelimit.Unlimited() {
		t.Fatalf("usage is %+v", got)
	}
	b.Settle(id, ratelimit.Amounts{1, 70})
	b.uses(t, e[0], ratelimit.Amounts{1, 70, 0})
	b.clock.Advance(2 * window)
	b.uses(t, e[0], ratelimit.Amounts{})
}

func testStanding(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{10, 1000, none}, ratelimit.Amounts{5, none, none})
	b.admitted(t, ratelimit.Amounts{1, 100, 1}, e[0])
	b.clock.Advance(10 * time.Second)
	standing, denial := b.Reserve(context.Background(), &ratelimit.Reservation{
		ID: b.newID(), Amounts: ratelimit.Amounts{1, 200, 1}, Entities: e, Life: life})
	if denial != nil {
		t.Fatal(denial)
	}
	for d, want := range []ratelimit.Room{{Limit: 5, Remaining: 4}, {Limit: 1000, Remaining: 700}} {
		got := standing[d]
		if got.Limit != want.Limit || got.Remaining != want.Remaining || got.Reset < window || got.Reset > window+b.slack {
			t.Fatalf("%s: got %+v, want %+v and a reset in a window", ratelimit.Dimension(d), got, want)
		}
	}
	if standing[ratelimit.Parallel].Limit != none {
		t.Fatalf("parallel: got %+v, want no limit", standing[ratelimit.Parallel])
	}
	if reset := b.Usage(e[1]).Reset; reset[ratelimit.Requests] < window || reset[ratelimit.Requests] > window+b.slack || reset[ratelimit.Parallel] != 0 {
		t.Fatalf("resets are %v", reset)
	}
}
