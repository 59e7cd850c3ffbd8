package ratelimit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit/journal"
)

// Options is what a Memory is opened with.
type Options struct {
	// Now is the time since any fixed moment: it goes on at one pace and never back. Processes that use the same
	// File must count from the same moment. By default it is the time since the machine was started.
	Now func() time.Duration
	// Fresh says that nothing was used before: a file that is missing (none named included) then closes nothing.
	Fresh bool
	// File keeps what was used, for OpenMemory; it belongs into a directory of the process's own.
	// "" keeps nothing. Beside it there will be a file of its name and ".lock".
	File string
	// Life is how long what an earlier process held, and nobody settles, is held from the opening on at least. It may
	// still be in use, though nobody could renew it meanwhile.
	Life time.Duration
	// Warn is told, in words, why limits are closed or will be after a restart. It may be nil.
	Warn func(string)

	stored func() // after every store to the file, in tests
}

// Memory is the store of one process. It implements Limiter.
//
// The window is exact: a bucket takes what is used within a small part of the Window, and all of it counts
// until the Window after its last use. So what is used alone is free again to the nanosecond, and at
// a steady load less than one per cent of a limit lies waiting for the rest of its bucket.
//
// Locks are taken in one order: declaring, the reservation's shard, its entities by their order.
type Memory struct {
	now   func() time.Duration
	opens time.Duration // before, limits admit nothing
	seed  maphash.Seed

	entities atomic.Pointer[[]*entity] // by handle; nil where one was forgotten
	shards   [64]shard

	declaring sync.Mutex
	names     map[string]*entity
	leaving   []string // what was dropped and is not forgotten yet, in this order
	order     uint64   // of the entity that was made last
	// orphans are what an earlier process left of entities that are not declared.
	orphans map[journal.Key]*entity

	lock *journal.Lock // nil where there is none
	file *journal.File // nil where nothing is kept
	warn func(string)
}

// NewMemory returns a store that nothing outlives. Unless nothing was used before, it can't know what was
// used in the Window that ends now: then its limits admit nothing for one Window.
func NewMemory(o Options) *Memory {
	m := newMemory(o)
	if !o.Fresh {
		m.closeFor(Window)
	}
	return m
}

// newMemory returns a store that is open.
func newMemory(o Options) *Memory {
	m := &Memory{
		now:     o.Now,
		seed:    maphash.MakeSeed(),
		names:   map[string]*entity{},
		orphans: map[journal.Key]*entity{},
		warn:    o.Warn,
	}
	if m.now == nil {
		m.now = journal.Now()
	}
	m.entities.Store(new([]*entity))
	return m
}

// Usage tells how an entity stands; one that was forgotten is unlimited and unused.
func (m *Memory) Usage(handle Entity) Usage {
	e := m.entity(handle)
	if e == nil {
		return Usage{Most: Unlimited()}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := max(m.now(), e.seen)
	e.advance(now)
	u := Usage{Used: e.used(), Most: e.most}
	for _, d := range []Dimension{Requests, Tokens} {
		u.Reset[d] = e.window.reset(d, now)
	}
	u.Free = e.free(&u.Used, now)
	if e.limited {
		u.Closed = max(m.opens-now, 0)
	}
	return u
}

func (m *Memory) entity(handle Entity) *entity {
	all := *m.entities.Load()
	if int(handle) >= len(all) {
		return nil
	}
	return all[handle]
}
