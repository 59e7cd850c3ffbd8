package budget_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A story is what happens in a world, drawn before it begins.
type story struct {
	replicas int
	period   string // of the account key:b
	steps    []step
}

// A step is one of the actions, on what the numbers choose.
type step struct {
	action string
	n      [5]int
}

// trouble is what may happen in a story beside requests that cost no more than they reserve.
type trouble struct {
	name           string
	actions        []string
	period         string
	overrun        bool
	longest, pause time.Duration
}

func drawStory(r *rapid.T, x trouble) story {
	s := story{replicas: rapid.IntRange(1, 3).Draw(r, "replicas"), period: x.period}
	actions := append([]string{"reserve", "reserve", "reserve", "settle", "settle", "flush", "flush", "pass", "busy"}, x.actions...)
	for range rapid.IntRange(1, 40).Draw(r, "steps") {
		st := step{action: rapid.SampledFrom(actions).Draw(r, "action")}
		for i := range st.n {
			st.n[i] = rapid.IntRange(0, 1000).Draw(r, "n")
		}
		s.steps = append(s.steps, st)
	}
	return s
}

func troubles() []trouble {
	return []trouble{
		{name: "nothing"},
		{name: "a line that fails", actions: []string{"line", "line"}},
		{name: "replicas that are killed", actions: []string{"kill", "stop", "start"}},
		{name: "overruns", overrun: true},
		{name: "budgets that change", actions: []string{"limit"}},
		{name: "periods that end", period: "30s"},
		{name: "long lives and waits", longest: 10 * time.Minute, pause: 5 * time.Minute, actions: []string{"line"}},
		{
			name: "everything", actions: []string{"line", "kill", "stop", "start", "limit"}, period: "1m", overrun: true,
			longest: 5 * time.Minute, pause: 5 * time.Minute,
		},
	}
}

func TestNoInterleavingPassesABudget(t *testing.T) {
	for _, x := range troubles() {
		t.Run(x.name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				s, problem := drawStory(r, x), ""
				synctest.Test(t, func(*testing.T) { problem = s.live(x) })
				if problem != "" {
					r.Fatal(problem)
				}
			})
		})
	}
}

// live returns what is wrong.
func (s story) live(x trouble) string {
	w := newWorld()
	w.limit("key:a", 100, "")
	w.limit("key:b", 100, s.period)
	w.limit("team:c", 150, "")
	for range s.replicas {
		w.start()
	}
	for i, st := range s.steps {
		w.act(x, st)
		if w.check(fmt.Sprintf("step %d, %s,", i, st.action)); w.problem != "" {
			break
		}
	}
	if w.problem == "" {
		w.rest(max(x.longest, time.Minute) + 3*time.Minute)
	}
	for _, r := range w.replicas {
		r.stop()
	}
	return w.problem
}

func (w *world) act(x trouble, s step) {
	r := w.replicas[s.n[0]%len(w.replicas)]
	switch s.action {
	case "reserve":
		amount := record.Nano(1 + s.n[2]%70)
		w.reserve(r, accounts(s.n[1]), amount, amount*record.Nano(s.n[3]%11)/10, x.life(s.n[4]))
	case "settle":
		w.end(r, x, s)
	case "flush":
		r.flush(s.n[1] % 5)
	case "pass":
		time.Sleep(x.wait(s.n[1]))
	case "busy":
		w.busy(x, s)
	case "line":
		w.mu.Lock()
		r.mode = mode(s.n[1]) % modes
		w.mu.Unlock()
	case "kill", "stop":
		if len(w.replicas) > 1 {
			w.kill(r, w.replicas[(s.n[0]+1)%len(w.replicas)], s.action == "stop")
		}
	case "start":
		if len(w.replicas) < 4 {
			w.start()
		}
	case "limit":
		w.limit("key:a", record.Nano(s.n[1]%200), "")
	}
}

func accounts(n int) []string {
	return [][]string{{"key:a"}, {"key:b"}, {"key:a", "team:c"}, {"team:c", "key:b"}}[n%4]
}

func (x trouble) life(n int) time.Duration {
	return time.Second + time.Duration(n)*max(x.longest, 50*time.Second)/1000
}

// wait is short as often as long.
func (x trouble) wait(n int) time.Duration {
	if n%2 == 0 {
		return time.Duration(n) * time.Millisecond
	}
	return time.Duration(n) * max(x.pause, 40*time.Second) / 1000
}

// end settles a request that is held, at up to its amount or, where costs overrun, more.
func (w *world) end(r *replica, x trouble, s step) {
	w.mu.Lock()
	var held []*request
	for _, q := range w.requests {
		if q.held != nil {
			held = append(held, q)
		}
	}
	if len(held) == 0 {
		w.mu.Unlock()
		return
	}
	q := held[s.n[1]%len(held)]
	most := q.amount
	for _, amount := range q.held {
		most = min(most, amount)
	}
	if x.overrun {
		most = 2 * q.amount
	}
	w.mu.Unlock()
	w.settle(q, r, record.Nano(s.n[2])%(most+1))
}

// busy does several things at the same time.
func (w *world) busy(x trouble, s step) {
	var doing sync.WaitGroup
	for i := range 6 {
		r := w.replicas[(s.n[0]+i)%len(w.replicas)]
		n := s.n[1] + 37*i
		doing.Go(func() {
			switch {
			case n%3 > 0:
				amount := record.Nano(1 + n%60)
				w.reserve(r, accounts(n/3), amount, amount, x.life(s.n[4]))
			case i < len(w.replicas): // an outbox writes one batch at a time
				r.flush(3)
			}
		})
	}
	doing.Wait()
}

// rest lets all that is going on end, and looks at what is left: every cost is in the log once, nobody keeps a lease,
// and all that is left of a budget can be had.
func (w *world) rest(d time.Duration) {
	w.mu.Lock()
	for _, r := range w.replicas {
		r.mode = well
	}
	for _, q := range w.requests {
		if q.at.dead {
			q.held = nil
		}
	}
	w.mu.Unlock()
	time.Sleep(d)
	for _, r := range w.replicas {
		r.flush(len(w.requests))
	}
	time.Sleep(time.Minute)
	w.check("the rest")
	for _, name := range []string{"key:a", "team:c"} {
		w.finished(name)
	}
}

func (w *world) finished(name string) {
	var cost record.Nano
	for _, q := range w.requests {
		if q.held != nil || q.row != nil {
			w.report("request %x is not over: %+v", q.id, q)
		}
		for _, a := range q.accounts {
			if a == name {
				cost += q.cost
			}
		}
	}
	if got := w.bank.Spend(name); got != cost {
		w.report("%s has spent %d, and the requests did cost %d", name, got, cost)
	}
	if left := w.bank.Leased(name); left != 0 {
		w.report("%d of %s are still leased", left, name)
	}
	w.available(name, w.max[name]-cost)
}

// available reserves what is left and a little more, which must be refused, then what is left, and gives it back.
func (w *world) available(name string, left record.Nano) {
	r := w.replicas[0]
	try := func(id byte, amount, least record.Nano) *budget.Denial {
		v := budget.Reservation{ID: [16]byte{15: id}, Amount: amount, Least: least, Life: time.Minute}
		v.Accounts = []*budget.Account{r.ledger.Account(name)}
		d := r.ledger.Reserve(context.Background(), v)
		r.ledger.Refund(v.ID)
		return d
	}
	if d := try(1, max(left, 0)+1, max(left, 0)+1); d == nil || d.Unsure {
		w.report("%d are admitted or not sure where %d are left of %s: %+v", left+1, left, name, d)
	}
	if left <= 0 {
		return
	}
	time.Sleep(time.Second)
	if d := try(2, left, left); d != nil {
		w.report("%d are left of %s and not to be had: %+v", left, name, d)
	}
	time.Sleep(time.Minute)
	if d := try(3, left+50, left-1); d != nil {
		w.report("%d are left of %s, and not to be had by a larger request: %+v", left, name, d)
	}
	time.Sleep(time.Minute)
}
