package budget

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// Reservation is what a request may cost.
type Reservation struct {
	ID ratelimit.ID
	// Accounts are all those that its cost counts on. The ledger keeps no reference to the slice.
	Accounts []*Account
	// Amount is the most that it is thought to cost, Least what it costs whatever the answer.
	Amount, Least record.Nano
	// Life is when the reservation settles by itself, unless it has been settled or renewed before.
	Life time.Duration
}

// A reservation that was made. Its shard's lock guards it.
type reservation struct {
	amount record.Nano // what it settles at by itself
	ends   time.Duration
	holds  []hold // by the order of their accounts
}

// A hold is a reservation's part at one account: nothing where that has no Max.
type hold struct {
	account *Account
	amount  record.Nano
	limited bool
}

func (r *reservation) prepare(accounts []*Account) {
	r.holds = r.holds[:0]
	for _, a := range accounts {
		r.add(a)
	}
}

// add puts an account in its place by order, once.
func (r *reservation) add(a *Account) {
	i := len(r.holds)
	for i > 0 && r.holds[i-1].account.order > a.order {
		i--
	}
	if i > 0 && r.holds[i-1].account == a {
		return
	}
	r.holds = slices.Insert(r.holds, i, hold{account: a, limited: a.limited.Load()})
}

// lock takes the locks of the accounts that have a Max; those of the others aren't needed.
func (r *reservation) lock() {
	for i := range r.holds {
		if r.holds[i].limited {
			r.holds[i].account.mu.Lock()
		}
	}
}

func (r *reservation) unlock() {
	for i := range r.holds {
		if r.holds[i].limited {
			r.holds[i].account.mu.Unlock()
		}
	}
}

func (r *reservation) names() []string {
	names := make([]string, len(r.holds))
	for i := range r.holds {
		names[i] = r.holds[i].account.name
	}
	return names
}

// A shard is a table of some of the reservations, by ID.
type shard struct {
	mu    sync.Mutex
	held  map[ratelimit.ID]*reservation
	spare []*reservation // for reuse: a steady load allocates nothing
	_     [64]byte       // keeps the locks of neighbours out of one cache line
}

func (l *Ledger) shard(id *ratelimit.ID) *shard {
	return &l.shards[maphash.Bytes(l.seed, id[:])%uint64(len(l.shards))]
}

// take returns a reservation for use; the lock is held.
func (s *shard) take() *reservation {
	last := len(s.spare) - 1
	if last < 0 {
		return &reservation{}
	}
	r := s.spare[last]
	s.spare = s.spare[:last]
	return r
}

// keep takes a reservation back that holds nothing any more.
func (s *shard) keep(r *reservation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare = append(s.spare, r)
}

// remove returns the reservation with the ID, or nil.
func (s *shard) remove(id ratelimit.ID) *reservation {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.held[id]
	delete(s.held, id)
	return r
}

// ended removes what has outlived its Life.
func (s *shard) ended(now time.Duration) map[ratelimit.ID]*reservation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended map[ratelimit.ID]*reservation
	for id, r := range s.held {
		if now < r.ends {
			continue
		}
		if ended == nil {
			ended = map[ratelimit.ID]*reservation{}
		}
		ended[id] = r
		delete(s.held, id)
	}
	return ended
}
