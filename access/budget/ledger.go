package budget

import (
	"crypto/rand"
	"hash/maphash"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

const (
	// Margin is how long a replica goes on using its leases after it sent the last call that the bank answered.
	Margin = time.Minute
	// Shortest and Longest bound the lives of reservations: the bank counts leases for Margin and the longest of the
	// lives that there were, or Shortest.
	Shortest = time.Minute
	Longest  = 24 * time.Hour
)

// largest bounds one request's amount, a million USD, so that sums don't overflow.
const largest record.Nano = 1e15

// Options is what a Ledger is made with. Bank is required.
type Options struct {
	Bank Bank
	// Replica names this process for people; what a bank is told is unique to its run.
	Replica string
	// Exclusive says that no other process uses the bank. While it fails, budgets are kept by what is known here.
	Exclusive bool
	// Now is the wall clock with a monotonic reading; time.Now by default.
	Now func() time.Time
	// Warn is told once when something happens that people should know. It may be nil, and must not wait.
	Warn func(Notice)
	// Expired is told of reservations that ended by themselves. Its part is to have a row written with that ID, cost and
	// accounts, and nothing else charged for it. Nil writes none: then the amount counts as long as the process runs.
	Expired func(Expired)
}

// Event is what a Notice is about.
type Event uint8

// Soft: an account's spend has passed its Soft budget, once in a period. Lost and Found: the bank fails, and answers again.
const (
	Soft Event = iota
	Lost
	Found
)

// Notice is something that people should know.
type Notice struct {
	Event Event
	// Account, Spend and Limit are those of Soft.
	Account      string
	Spend, Limit record.Nano
	// Err is why the bank is lost.
	Err error
}

// Expired is a reservation that was not settled in its Life.
type Expired struct {
	ID       ratelimit.ID
	Cost     record.Nano
	Accounts []string
}

// Ledger is what one process knows of the accounts. It is safe for concurrent use. Run must be running for reservations
// to get leases.
type Ledger struct {
	o     Options
	start time.Time // all times are durations since then
	seed  maphash.Seed

	shards [64]shard

	mu       sync.Mutex
	accounts map[string]*Account
	order    uint64
	asking   []*Account // for the next call
	next     *round     // that call
	wake     chan struct{}

	calls *calls
}

// New returns a ledger without accounts.
func New(o Options) *Ledger {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Ledger{
		o:        o,
		start:    o.Now().Add(-time.Hour), // so that no time is 0
		seed:     maphash.MakeSeed(),
		accounts: map[string]*Account{},
		next:     newRound(),
		wake:     make(chan struct{}, 1),
		calls:    newCalls(o.Replica + "/" + rand.Text()[:8]),
	}
	for i := range l.shards {
		l.shards[i].held = map[ratelimit.ID]*reservation{}
	}
	return l
}

// now is the time since the start, by the monotonic clock.
func (l *Ledger) now() time.Duration { return l.o.Now().Sub(l.start) }

// Account returns the handle of a name, the same at every call until the name is dropped.
func (l *Ledger) Account(name string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(name)
	a.given = true
	return a
}

// charged is as Account, for a cost of what nobody here may know.
func (l *Ledger) charged(name string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(name)
}

// account makes one when there is none; the lock is held.
func (l *Ledger) account(name string) *Account {
	a := l.accounts[name]
	if a == nil {
		l.order++
		a = &Account{name: name, order: l.order}
		l.accounts[name] = a
	}
	return a
}

// Drop forgets the name of an account that was deleted. Its handle goes on until nobody uses it.
func (l *Ledger) Drop(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.accounts, name)
}

// forget gives up an account that the bank doesn't have, unless who asked for it will drop it: costs of keys that are
// gone come late, and of users that never were.
func (l *Ledger) forget(a *Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !a.given && l.accounts[a.name] == a {
		delete(l.accounts, a.name)
	}
}

// Set says what an account's terms are from now on, as its record has them, and its spend. The spend counts until the
// bank tells a newer one.
func (l *Ledger) Set(a *Account, t Terms, spend record.Nano) {
	if a.set(t, spend) {
		l.ask(a)
	}
}

// Spent is what the account's current period has cost as far as it is known here: what the spend log had when it was last
// heard of, and what this replica has settled since.
func (l *Ledger) Spent(a *Account) record.Nano {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spent(l.o.Now())
}

func (l *Ledger) warn(n Notice) {
	if l.o.Warn != nil {
		l.o.Warn(n)
	}
}
