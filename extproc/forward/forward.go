// Package forward settles reservations where they are held: in this process, or at another replica.
// The failure exchange and the access log entry of an attempt come to any replica, but only the one
// that decided the attempt knows what it holds.
package forward

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// maxQueued bounds the settlements that wait for one replica, at some 200 bytes each.
// One that is dropped leaves its reservation to settle by itself, at the estimate.
const maxQueued = 1 << 16

// Ledger settles what this process holds. See ratelimit.Limiter.
type Ledger interface {
	Settle(deployment string, id ratelimit.ID, used ratelimit.Amounts) bool
	Refund(deployment string, id ratelimit.ID) bool
	Renew(id ratelimit.ID, life time.Duration) bool
}

// Money is settled with what was reserved of budgets, at the replica that holds it.
type Money interface {
	// Charge settles what a reservation holds of budgets, and writes the row of the spend log, if any.
	Charge(id ratelimit.ID, cost int64, row []byte)
	// Renew has it held for a time from now on at least.
	Renew(id ratelimit.ID, life time.Duration) bool
}

// Bill is what an attempt has cost.
type Bill struct {
	Nano int64  // nano-dollars
	Row  []byte // of the spend log, as JSON; nil for none
}

// Directory knows the replicas that live.
type Directory interface {
	// Address returns host:port of a replica's gRPC port; false when no such replica is known to live.
	Address(replica string) (addr string, ok bool)
	// IDs returns those of all that are known to live.
	IDs() []string
}

// Options are what a Forwarder needs; none but Dial may be left out.
type Options struct {
	// Self is the id of this replica; a process has a new one every time it starts.
	Self   string
	Ledger Ledger
	// Money is nil where nothing is charged. It also gets the rows of replicas that are gone.
	Money     Money
	Directory Directory
	Metrics   prometheus.Registerer
	Log       *slog.Logger
	// Dial says how replicas are connected to.
	Dial []grpc.DialOption
}

// Forwarder settles reservations, here or at the replica that holds them. It is safe for concurrent use.
type Forwarder struct {
	Options
	forwarded, dropped prometheus.Counter

	closing context.Context
	close   context.CancelFunc
	peers   sync.WaitGroup

	mu     sync.Mutex
	queues map[string]*queue // by replica; its goroutine removes it
}

// queue is what waits for one replica.
type queue struct {
	waiting []*nestorv1.Settlement
	more    chan struct{} // has an element when something was put into an empty queue
}

// New returns a forwarder; it is to be closed.
func New(o Options) *Forwarder {
	f := &Forwarder{
		Options:   o,
		queues:    map[string]*queue{},
		forwarded: counter("nestor_settlements_forwarded_total", "Settlements that another replica took, which held the reservation."),
		dropped:   counter("nestor_settlements_dropped_total", "Settlements whose replica was gone, or did not take them: the estimate stands."),
	}
	f.closing, f.close = context.WithCancel(context.Background())
	o.Metrics.MustRegister(f.forwarded, f.dropped)
	return f
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// Close gives every replica what waits for it once more, for a second at most.
// What is settled afterwards and held elsewhere is dropped.
func (f *Forwarder) Close() {
	f.mu.Lock()
	f.close()
	f.mu.Unlock()
	f.peers.Wait()
}

// Settle replaces what an attempt holds at a replica by what was used, and has it pay there. It never waits.
func (f *Forwarder) Settle(holder, deployment string, id ratelimit.ID, used ratelimit.Amounts, b Bill) {
	if holder == f.Self {
		f.Ledger.Settle(deployment, id, used)
		f.charge(id, b.Nano, b.Row)
		return
	}
	f.put(holder, &nestorv1.Settlement{
		Id: id[:], Deployment: deployment, Requests: used[ratelimit.Requests], Tokens: used[ratelimit.Tokens],
		Cost: b.Nano, Row: b.Row,
	})
}

func (f *Forwarder) charge(id ratelimit.ID, nano int64, row []byte) {
	if f.Money != nil {
		f.Money.Charge(id, nano, row)
	}
}

// Refund gives back what an attempt holds at a replica, which may be any other one where holder is empty. It never waits.
func (f *Forwarder) Refund(holder, deployment string, id ratelimit.ID) {
	switch holder {
	case f.Self:
		f.Ledger.Refund(deployment, id)
		f.charge(id, 0, nil)
	case "":
		for _, replica := range f.Directory.IDs() {
			if replica != f.Self {
				f.Refund(replica, deployment, id)
			}
		}
	default:
		f.put(holder, &nestorv1.Settlement{Id: id[:], Deployment: deployment, Refund: true})
	}
}

// Renew has what an attempt holds at a replica held for a time from now on at least. It never waits.
func (f *Forwarder) Renew(holder string, id ratelimit.ID, life time.Duration) {
	if holder == f.Self {
		f.renew(id, life)
		return
	}
	f.put(holder, &nestorv1.Settlement{Id: id[:], LifeMs: max(1, life.Milliseconds())})
}

func (f *Forwarder) renew(id ratelimit.ID, life time.Duration) bool {
	if f.Money != nil {
		f.Money.Renew(id, life)
	}
	return f.Ledger.Renew(id, life)
}

func (f *Forwarder) put(holder string, s *nestorv1.Settlement) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, ok := f.queues[holder]
	if f.closing.Err() != nil || ok && len(q.waiting) >= maxQueued {
		f.drop(s) // charging takes no lock of this forwarder
		return
	}
	if !ok {
		q = &queue{more: make(chan struct{}, 1)}
		f.queues[holder] = q
		f.peers.Go(func() { f.serve(holder, q) })
	}
	q.waiting = append(q.waiting, s)
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// take removes the first settlements of a queue, n at most.
func (f *Forwarder) take(q *queue, n int) []*nestorv1.Settlement {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(n, len(q.waiting))
	batch := q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return batch
}

// drop gives up what a replica that is gone held. Its rows of the spend log are written here: what was spent stays spent.
func (f *Forwarder) drop(batch ...*nestorv1.Settlement) {
	f.dropped.Add(settlements(batch))
	for _, s := range batch {
		if len(s.Row) > 0 {
			f.charge(ratelimit.ID(s.Id), s.Cost, s.Row)
		}
	}
}

// settlements counts what is no mere sign of life.
func settlements(batch []*nestorv1.Settlement) (n float64) {
	for _, s := range batch {
		if s.LifeMs == 0 {
			n++
		}
	}
	return n
}

// retire removes a queue unless something waits in it.
func (f *Forwarder) retire(holder string, q *queue) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(q.waiting) > 0 {
		return false
	}
	delete(f.queues, holder)
	return true
}
