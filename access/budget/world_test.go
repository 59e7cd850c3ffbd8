package budget_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/budget/budgettest"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// A world is replicas with one bank, and the truth about every request, by which they are judged.
type world struct {
	bank *budgettest.Bank

	mu       sync.Mutex
	replicas []*replica
	requests []*request
	max      map[string]record.Nano
	// excused is by how much an account may be passed: see package budget.
	excused map[string]record.Nano
	problem string
}

// A replica has an outbox: the rows that it has to write, all charged or settled.
type replica struct {
	w         *world
	ledger    *budget.Ledger
	outbox    []*request
	stop      func()
	dead      bool
	mode      mode
	calls     int
	late      *budget.Call
	forgotten time.Time // when the bank will have
	excused   bool
}

// A request is held, then its row is to be written, or nothing of it is left.
type request struct {
	id       ratelimit.ID
	at       *replica
	accounts []string
	amount   record.Nano
	held     map[string]record.Nano // while it is
	row      *record.Spend          // while it isn't in the log
	cost     record.Nano
	unheard  bool // its replica was forgotten
}

// mode is what a call to the bank comes to.
type mode int

const (
	well mode = iota
	slow
	refused
	lost  // done, and the answer doesn't come
	late  // done when the next call comes
	hangs // neither
	flaky // by turns
	modes
)

var errCut = errors.New("the line is cut")

func newWorld() *world {
	return &world{bank: budgettest.NewBank(time.Now), max: map[string]record.Nano{}, excused: map[string]record.Nano{}}
}

// limit makes an account, or changes it: at the bank, and at all replicas as their index would.
func (w *world) limit(name string, most record.Nano, duration string) {
	t := budget.Terms{Max: &most, Duration: duration}
	if duration != "" {
		t.ResetAt, _ = budget.NextReset(duration, time.Now())
	}
	w.bank.Put(name, t)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.max[name] = most
	if over := w.bank.Spend(name) + w.bank.Leased(name) - most; over > 0 {
		w.excused[name] += over
	}
	for _, r := range w.replicas {
		r.ledger.Set(r.ledger.Account(name), t, w.bank.Spend(name))
	}
}

func (w *world) start() *replica {
	r := &replica{w: w, forgotten: time.Now()}
	r.ledger = budget.New(budget.Options{Bank: r, Replica: "r", Expired: r.expired})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.ledger.Run(ctx) })
	r.stop = func() { stop(); running.Wait() }
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, most := range w.max {
		r.ledger.Set(r.ledger.Account(name), budget.Terms{Max: &most}, w.bank.Spend(name))
	}
	w.replicas = append(w.replicas, r)
	return r
}

// Exchange is the line to the bank.
func (r *replica) Exchange(ctx context.Context, c budget.Call) ([]budget.Lease, error) {
	if r.late != nil {
		_, _ = r.do(*r.late)
		r.late = nil
	}
	r.w.mu.Lock()
	m := r.mode
	if r.calls++; m == flaky {
		m = mode(r.calls) % flaky
	}
	if r.dead {
		m = refused
	}
	r.w.mu.Unlock()
	switch m {
	case slow:
		time.Sleep(30 * time.Millisecond)
	case refused:
		return nil, errCut
	case lost:
		_, _ = r.do(c)
		return nil, errCut
	case late:
		c.Rows = slices.Clone(c.Rows)
		r.late = &c
		return nil, errCut
	case hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return r.do(c)
}

func (r *replica) do(c budget.Call) ([]budget.Lease, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.forgive()
	r.forgotten, r.excused = time.Now().Add(c.Life), false
	return r.w.bank.Exchange(context.Background(), c)
}

// forgive excuses what a replica uses that the bank has forgotten.
func (r *replica) forgive() {
	if r.excused || time.Now().Before(r.forgotten) {
		return
	}
	r.excused = true
	r.w.prune()
	for _, q := range r.w.requests {
		if q.at != r && !slices.Contains(r.outbox, q) || q.held == nil && q.row == nil {
			continue
		}
		q.unheard = true
		for _, name := range q.accounts {
			r.w.excused[name] += q.uses(name)
		}
	}
}

// uses is what a request counts that is not in the log.
func (q *request) uses(account string) record.Nano {
	if q.row != nil && slices.Contains(q.accounts, account) {
		return q.row.Cost
	}
	return q.held[account]
}

// reserve makes a request. A strict one is not content with less than its amount.
func (w *world) reserve(r *replica, accounts []string, amount, least record.Nano, life time.Duration) {
	w.mu.Lock()
	q := &request{at: r, accounts: accounts, amount: amount}
	binary.BigEndian.PutUint64(q.id[:], uint64(len(w.requests)+1))
	w.requests = append(w.requests, q)
	w.mu.Unlock()
	v := budget.Reservation{ID: q.id, Amount: amount, Least: least, Life: life}
	for _, name := range accounts {
		v.Accounts = append(v.Accounts, r.ledger.Account(name))
	}
	if r.ledger.Reserve(context.Background(), v) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	q.held = map[string]record.Nano{}
	for _, name := range accounts {
		q.held[name] = amount
		if amount > least { // it may have got less
			q.held[name] = w.judge(q, name, least)
		}
	}
}

// judge returns what a request that was admitted holds of an account: less than its amount if it was alone, and that was
// all that was left, as far as its replica knew. That counts a row twice whose answer was lost.
func (w *world) judge(q *request, name string, least record.Nano) record.Nano {
	q.held[name] = 0
	left, held := w.max[name]+w.excused[name]-w.truth(name), q.at.ledger.Held(q.id, name)
	if held > left {
		w.report("%d are held where %d are left of %s", held, left, name)
	}
	if held == q.amount {
		return held
	}
	if held <= least {
		w.report("%d were admitted, at least %d, and %d are held of %s", q.amount, least, held, name)
	}
	for _, other := range w.requests {
		if other != q && other.held[name] > 0 && !other.unheard {
			w.report("%d were admitted and %d are held of %s, beside another request", q.amount, held, name)
		}
	}
	return held
}

func (w *world) report(format string, args ...any) {
	if w.problem == "" {
		w.problem = fmt.Sprintf(format, args...)
	}
}

// truth is what the account's period has cost and what requests in flight hold, wherever that is known.
func (w *world) truth(name string) record.Nano {
	w.prune()
	sum := w.bank.Spend(name)
	for _, q := range w.requests {
		sum += q.uses(name)
	}
	return sum
}

// prune forgets rows that are in the log.
func (w *world) prune() {
	for _, q := range w.requests {
		if q.row != nil && w.bank.Written(q.row.ID) {
			q.row = nil
		}
	}
}

// settle ends a request, where it was made or, if that is gone, at another replica.
func (w *world) settle(q *request, elsewhere *replica, cost record.Nano) {
	w.mu.Lock()
	r := q.at
	if r.dead {
		r = elsewhere
	}
	live := q.held != nil && !r.dead
	w.mu.Unlock()
	if !live {
		return
	}
	held := r.ledger.Settle(q.id, cost)
	if r.ledger.Settle(q.id, cost) {
		w.report("a reservation is settled twice")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if q.held == nil { // it ended by itself meanwhile
		return
	}
	if held != (r == q.at) {
		w.report("held is %t for a reservation that was made here: %t", held, r == q.at)
	}
	if !held {
		r.ledger.Charge(q.accounts, cost)
	}
	r.write(q, cost)
}

// write puts the row of a request into the outbox.
func (r *replica) write(q *request, cost record.Nano) {
	for _, name := range q.accounts {
		r.w.excused[name] += max(0, cost-q.held[name])
	}
	q.held = nil
	if q.cost = cost; cost > 0 {
		q.row = new(q.asRow())
		r.outbox = append(r.outbox, q)
	}
}

func (q *request) asRow() record.Spend {
	return record.Spend{ID: fmt.Sprintf("%x", q.id), Cost: q.cost, Accounts: q.accounts}
}

func (r *replica) expired(e budget.Expired) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for _, q := range r.w.requests {
		if q.id == e.ID {
			r.write(q, e.Cost)
		}
	}
}

// flush has some rows written.
func (r *replica) flush(n int) {
	r.w.mu.Lock()
	batch := slices.Clone(r.outbox[:min(n, len(r.outbox))])
	rows := make([]record.Spend, len(batch))
	for i, q := range batch {
		rows[i] = q.asRow()
	}
	r.w.mu.Unlock()
	err := r.ledger.WriteSpend(context.Background(), rows)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if err == nil {
		r.outbox = r.outbox[len(batch):]
	}
}

// kill ends a replica, or stops it with what it can still tell the bank. Another one takes its outbox over.
func (w *world) kill(r *replica, heir *replica, gently bool) {
	w.mu.Lock()
	r.dead = !gently
	w.mu.Unlock()
	r.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	r.dead = true
	w.replicas = slices.DeleteFunc(w.replicas, func(o *replica) bool { return o == r })
	for _, q := range r.outbox {
		heir.ledger.Charge(q.accounts, q.cost)
	}
	heir.outbox = append(heir.outbox, r.outbox...)
	r.outbox = nil
}

// check compares what every account may have with the truth.
func (w *world) check(step string) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range w.requests {
		q.at.forgive()
	}
	for name, most := range w.max {
		if got := w.truth(name); got > most+w.excused[name] {
			w.report("after %s %s has %d of %d, and %d more are excused", step, name, got, most, w.excused[name])
		}
	}
}
