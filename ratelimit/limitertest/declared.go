package limitertest

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

func testReload(t *testing.T, b *bench) {
	a := ratelimit.Limit{Name: "deployment:a", Most: ratelimit.Amounts{2, none, 3}}
	other := ratelimit.Limit{Name: "group:b", Most: ratelimit.Amounts{5, none, none}}
	old := b.Declare([]ratelimit.Limit{a})
	held := b.admitted(t, ratelimit.Amounts{1, 10, 1}, old...)
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, old...)
	b.denied(t, ratelimit.Amounts{1, 10, 1}, old...)

	a.Most[ratelimit.Requests] = 3
	fresh := b.Declare([]ratelimit.Limit{other, a})
	b.uses(t, fresh[1], ratelimit.Amounts{2, 20, 2})
	b.uses(t, fresh[0], ratelimit.Amounts{})
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, old...)
	b.denied(t, ratelimit.Amounts{1, 10, 1}, fresh[1])
	if !b.Settle(held, ratelimit.Amounts{1, 5}) {
		t.Fatal("a reservation did not outlive the reload")
	}
	b.uses(t, fresh[1], ratelimit.Amounts{3, 25, 2})

	// Without limits it counts on, and what it used counts when it has limits again.
	a.Most = ratelimit.Unlimited()
	e := b.Declare([]ratelimit.Limit{a})[0]
	for range 3 {
		b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	}
	a.Most = ratelimit.Amounts{7, none, none}
	e = b.Declare([]ratelimit.Limit{a})[0]
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	b.denied(t, ratelimit.Amounts{1, 10, 1}, e)
}

func testDropped(t *testing.T, b *bench) {
	limit := func(name string) ratelimit.Limit {
		return ratelimit.Limit{Name: name, Most: ratelimit.Amounts{1, none, none}}
	}
	old := b.Declare([]ratelimit.Limit{limit("deployment:a")})[0]
	id := b.admitted(t, ratelimit.Amounts{1, 10, 1}, old)
	for i := range 8 {
		b.clock.Advance(5 * time.Minute)
		e := b.Declare([]ratelimit.Limit{limit("deployment:" + string(rune('b'+i)))})[0]
		b.reserve(ratelimit.Amounts{1, 10, 1}, old)
		b.uses(t, e, ratelimit.Amounts{})
		b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
		b.Settle(id, ratelimit.Amounts{1, 10})
	}
	e := b.Declare([]ratelimit.Limit{limit("deployment:a")})[0]
	b.clock.Advance(2 * window)
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
}

func testTwice(t *testing.T, b *bench) {
	e := b.Declare([]ratelimit.Limit{
		{Name: "deployment:a", Most: ratelimit.Amounts{5, none, none}},
		{Name: "deployment:a", Most: ratelimit.Amounts{3, none, none}},
	})
	if e[0] != e[1] {
		t.Fatalf("handles of one name are %v", e)
	}
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e...)
	b.uses(t, e[0], ratelimit.Amounts{1, 10, 1})
	if most := b.Usage(e[0]).Most[ratelimit.Requests]; most != 3 {
		t.Fatalf("the limit is %d, want the smaller", most)
	}
}

func testAbsurd(t *testing.T, b *bench) {
	e := b.declare(ratelimit.Amounts{none, none, none}, ratelimit.Amounts{none, 100, none})
	huge := ratelimit.Amounts{math.MaxInt64, math.MaxInt64, 1}
	for range 4 {
		b.admitted(t, huge, e[0])
		b.Settle(b.admitted(t, ratelimit.Amounts{1, 1, 1}, e[0]), huge)
	}
	for _, used := range b.Usage(e[0]).Used {
		if used < 0 {
			t.Fatalf("used are %v", b.Usage(e[0]).Used)
		}
	}
	b.Settle(b.admitted(t, ratelimit.Amounts{1, -5, 1}, e[1]), ratelimit.Amounts{-1, -1000, -1})
	b.admitted(t, ratelimit.Amounts{1, 100, 1}, e[1])
	b.denied(t, ratelimit.Amounts{1, 1, 1}, e[1])
	b.Settle(b.admitted(t, ratelimit.Amounts{1, 0, 1}, e[1]), huge)
	b.denied(t, ratelimit.Amounts{1, 1, 1}, e[1])
}

func testPut(t *testing.T, b *bench) {
	declared := b.declare(ratelimit.Amounts{9, none, none})[0]
	key := ratelimit.Limit{Name: "key:a", Most: ratelimit.Amounts{2, none, none}}
	e := b.Put(key)
	if e == declared {
		t.Fatalf("handle %v is that of something else", e)
	}
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, declared, e)
	b.clock.Advance(30 * time.Minute)
	for i := range 3 { // one declaration after the other says nothing of it
		b.Declare([]ratelimit.Limit{{Name: "deployment:" + string(rune('b'+i)), Most: ratelimit.Unlimited()}})
		b.clock.Advance(30 * time.Minute)
	}
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	b.denied(t, ratelimit.Amounts{1, 10, 1}, e)
	key.Most[ratelimit.Requests] = 3
	if again := b.Put(key); again != e {
		t.Fatalf("put again it is %v, was %v", again, e)
	}
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	b.denied(t, ratelimit.Amounts{1, 10, 1}, e)
	b.Drop(key.Name)
	b.denied(t, ratelimit.Amounts{1, 10, 1}, e) // who has the handle finds the limit as it was
}

func testPutAgain(t *testing.T, b *bench) {
	key := ratelimit.Limit{Name: "key:a", Most: ratelimit.Amounts{1, none, none}}
	e := b.Put(key)
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
	b.Drop(key.Name)
	again := b.Put(key)
	b.denied(t, ratelimit.Amounts{1, 10, 1}, again)
	b.Drop(key.Name)
	b.Drop(key.Name)
	b.Drop("key:unknown")
	b.clock.Advance(2 * window)
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, b.Put(key))
}

func testPutMany(t *testing.T, b *bench) {
	limit := func(i int) ratelimit.Limit {
		return ratelimit.Limit{Name: "key:" + strconv.Itoa(i), Most: ratelimit.Amounts{1, none, none}}
	}
	const many = 2000
	for i := range many {
		b.admitted(t, ratelimit.Amounts{1, 10, 1}, b.Put(limit(i)))
	}
	for i := range many {
		b.denied(t, ratelimit.Amounts{1, 10, 1}, b.Put(limit(i)))
		b.Drop(limit(i).Name)
	}
	for range 4 {
		b.clock.Advance(15 * time.Minute)
		b.Drop("") // nothing, but what has been dropped for long is forgotten
	}
	e := b.Put(limit(0))
	b.uses(t, e, ratelimit.Amounts{})
	b.admitted(t, ratelimit.Amounts{1, 10, 1}, e)
}
