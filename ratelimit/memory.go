package ratelimit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Options is what a Memory is opened with.
type Options struct {
	// Now is the time since any fixed moment: it goes on at one pace and never back. Processes that use the same
	// File must count from the same moment. By default it is the time since the machine was started.
	Now func() time.Duration
	// Fresh says that nothing was used before: a file that is missing (none named included) then closes nothing.
	Fresh bool
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
}

// NewMemory returns a store that nothing outlives. Unless nothing was used before, it can't know what was
// used in the Window that ends now: then its limits admit nothing for one Window.
func NewMemory(o Options) *Memory {
	m := &Memory{now: o.Now, seed: maphash.MakeSeed(), names: map[string]*entity{}}
	if m.now == nil {
		start := time.Now()
		m.now = func() time.Duration { return time.Since(start) }
	}
	if !o.Fresh {
		m.opens = m.now() + Window
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
	return u
}

func (m *Memory) entity(handle Entity) *entity {
	all := *m.entities.Load()
	if int(handle) >= len(all) {
		return nil
	}
	return all[handle]
}
