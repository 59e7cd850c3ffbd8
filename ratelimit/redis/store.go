package redis

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Options are those of a Store. The zero value is good for production.
type Options struct {
	// Window is what limits are about, ratelimit.Window when 0. All replicas have the same. Every other time
	// of the store is a part of it.
	Window time.Duration
	// Now is the time since any fixed moment: it goes on at one pace and never back. By default it is the
	// time since the store was made.
	Now func() time.Duration
	// Fresh says that nothing was used in the last Window, so that a Redis that knows nothing of any limit
	// opens at once instead of after a Window. It counts until Redis first answers.
	Fresh bool
	// Prefix is what the keys begin with, DefaultPrefix when empty: stores that share limits have the same.
	Prefix string
	// Self is this replica, as the others know it; one without an address and with an ID of its own when empty.
	Self Replica
	// Gone says whether it is certain that a replica does not live any more: that it did not answer proves nothing.
	// It is asked about those that are missing, and never by a request. Where it is nil, or not certain, the share
	// of limits that a missing replica may use is set aside for it for 11 windows.
	Gone func(ctx context.Context, r Replica) bool
	// Log is told when limits close and open. It may be nil.
	Log *slog.Logger
}

// Store keeps limits that replicas share by means of Redis, each with leases: parts of a limit that the replica
// may use for a short time without asking, charged before they are used. It implements ratelimit.Limiter.
//
// One mutex guards everything in memory; it is never held while Redis is asked.
type Store struct {
	id     string
	server server
	// address is where others reach this replica; gone says whether another one is gone for certain, and may be nil.
	address string
	gone    func(ctx context.Context, r Replica) bool
	times   times
	now     func() time.Duration
	log     *slog.Logger
	beats   *script
	asks    *script

	mu       sync.Mutex
	fleets   []*fleet
	entities []*entity // by handle; nil where one was forgotten
	seq      int64     // the highest of those that were forgotten: Redis remembers it for longer
	names    map[string]*entity
	leaving  []string // what was dropped and is not forgotten yet, in this order
	held     reservations
	active   map[*entity]struct{} // have something that Redis will have to be told
	low      []*entity            // want the next lease before they have used up theirs
	doubts   map[string]*doubt    // about replicas that are missing, by id
	asking   int                  // how many of them are being asked for

	closed  bool
	beaten  chan struct{} // closed by the next beat that ends
	wake    chan struct{}
	context context.Context
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// NewStore returns a store that begins to ask Redis at once, and goes on until it is closed. The client stays
// the caller's. It should not send anything twice by itself and should give up after 100 ms, as Connect's does.
func NewStore(client redis.UniversalClient, o Options) *Store {
	fleets := 1
	if _, cluster := client.(*redis.ClusterClient); cluster {
		fleets = clusterFleets
	}
	s := newStore(remote{client}, fleets, o)
	s.start()
	return s
}

// clusterFleets is among how many slots a cluster's limits are spread.
const clusterFleets = 16

func newStore(server server, fleets int, o Options) *Store {
	s := &Store{
		id: cmp.Or(o.Self.ID, NewID()), address: o.Self.Address, gone: o.Gone, server: server, times: timesOf(o.Window), now: o.Now, log: o.Log,
		beats: newScript("beat", beatSource), asks: newScript("refresh", refreshSource),
		names: map[string]*entity{}, doubts: map[string]*doubt{}, active: map[*entity]struct{}{}, beaten: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	if s.now == nil {
		began := time.Now()
		s.now = func() time.Duration { return time.Since(began) }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.context, s.stop = context.WithCancel(context.Background())
	for i := range fleets {
		s.fleets = append(s.fleets, newFleet(s, keyOf(o.Prefix, "rl:{"+strconv.Itoa(i)+"}"), o.Fresh))
	}
	return s
}

func (s *Store) start() {
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		s.loop()
	}()
}

// Close gives everything back to Redis that this replica has not used, leaves, and stops asking. What was
// used stays charged. Reservations made after it are denied.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 4*callTime)
	defer cancel()
	for _, f := range s.fleets {
		f.leave(ctx)
	}
	return nil
}

// times are all durations of a store.
type times struct {
	window time.Duration
	// bucket is how finely what was used is known; all of a bucket counts until a window after its end.
	bucket time.Duration
	// slack is how far the clocks of Redis and of replicas may be apart before it is called a step. Everything
	// counts for that much longer.
	slack time.Duration
	// lease is how long a lease counts as used from when it is granted; margin is how much earlier the replica
	// stops using it. A process that stands still for longer than the margin between looking at its clock and
	// admitting a request admits it late by the rest.
	lease, margin time.Duration
	// beat is how often a replica says that it lives, and life how long it counts as alive after it.
	beat, life time.Duration
	// denial is how long a denial of Redis is repeated without asking again.
	denial time.Duration
}

func timesOf(window time.Duration) times {
	if window == 0 {
		window = ratelimit.Window
	}
	return times{
		window: window, bucket: window / 240, slack: max(window/240, callTime),
		lease: window / 20, margin: window / 400, beat: window / 60, life: window / 12, denial: window / 240,
	}
}

// callTime bounds a call to Redis.
const callTime = 100 * time.Millisecond

// linger is how long an entity that is no longer declared stays at least: requests that began before still
// use its handle.
const linger = 10

// Declare puts limits in force, and returns their entities in the same order. What was declared before under
// the same name keeps its handle and what it has used; what is no longer declared is forgotten by a later
// Declare when nothing of it counts, and its handle is never given to another. Of a name that is there twice
// the smaller limits hold.
func (s *Store) Declare(limits []ratelimit.Limit) []ratelimit.Entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	declared := make(map[string]bool, len(limits))
	handles := make([]ratelimit.Entity, len(limits))
	for i, l := range limits {
		e := s.names[l.Name]
		if e == nil {
			e = s.found(l.Name)
		}
		e.limit(l, declared[l.Name])
		declared[l.Name] = true
		handles[i] = e.handle
	}
	s.forget(declared, now)
	s.poke()
	return handles
}

// Put puts one limit in force that Declare says nothing of, until it is dropped. See ratelimit.Memory.
func (s *Store) Put(l ratelimit.Limit) ratelimit.Entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.names[l.Name]
	if e == nil {
		e = s.found(l.Name)
	}
	e.apart, e.dropped = true, 0
	e.limit(l, false)
	s.poke()
	return e.handle
}

// Drop ends what Put began. Those who still have the handle find the limit as it was, for some minutes.
func (s *Store) Drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.names[name]; e != nil && e.apart {
		e.apart, e.dropped = false, max(s.now(), 1)
		s.leaving = append(s.leaving, name)
	}
}

// sweep forgets what was dropped long enough ago, the first that was dropped first.
func (s *Store) sweep(now time.Duration) {
	for ; len(s.leaving) > 0; s.leaving = s.leaving[1:] {
		name := s.leaving[0]
		e := s.names[name]
		if e != nil && !e.apart && !s.forgetOne(name, e, now) {
			return
		}
	}
}

// forgetOne lets go of an entity that was dropped long enough ago and of which nothing counts.
func (s *Store) forgetOne(name string, e *entity, now time.Duration) bool {
	if _, busy := s.active[e]; busy || now < e.dropped+linger*s.times.window || !e.idle(now) {
		return false
	}
	delete(s.names, name)
	s.entities[e.handle] = nil
	s.seq = max(s.seq, e.seq)
	return true
}

func (s *Store) found(name string) *entity {
	f := s.fleets[spread(name, len(s.fleets))]
	e := &entity{handle: ratelimit.Entity(len(s.entities)), fleet: f, key: f.key + name, seq: s.seq}
	s.entities = append(s.entities, e)
	s.names[name] = e
	return e
}

// forget lets go of what is not among the names.
func (s *Store) forget(declared map[string]bool, now time.Duration) {
	for name, e := range s.names {
		switch {
		case declared[name]:
			e.dropped = 0
		case e.apart:
		case e.dropped == 0:
			e.dropped = max(now, 1)
		default:
			s.forgetOne(name, e, now)
		}
	}
}

func (s *Store) entity(handle ratelimit.Entity) *entity {
	if int(handle) >= len(s.entities) {
		return nil
	}
	return s.entities[handle]
}

// Usage tells how an entity stands: what this replica has used, and what the others had when Redis was
// last asked; in Parallel what this replica holds and the others then held, while that is no older than a few seconds.
func (s *Store) Usage(handle ratelimit.Entity) ratelimit.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.settleExpired(now)
	e := s.entity(handle)
	if e == nil {
		return ratelimit.Usage{Most: ratelimit.Unlimited()}
	}
	u := ratelimit.Usage{Used: e.used(now), Most: e.most}
	for d := range 2 {
		u.Reset[d] = e.reset(d, now)
	}
	u.Free, u.Closed = e.free(&u.Used, now), e.closed(now)
	return u
}

func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// spread is the number of the fleet of a name: FNV-1a, which no process salts.
func spread(name string, n int) int {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return int(h % uint32(n))
}

// loop does what no request waits for.
func (s *Store) loop() {
	// Not a timer's own channel, and never a time of 0: in a synctest bubble under the race detector the runtime (Go 1.26)
	// crashes when a timer's channel is selected on, and when a timer is due at once that is set.
	due := make(chan struct{}, 1)
	due <- struct{}{}
	timer := time.AfterFunc(time.Hour, func() { due <- struct{}{} })
	defer timer.Stop()
	for {
		select {
		case <-s.context.Done():
			return
		case <-s.wake:
		case <-due:
			timer.Reset(max(s.tick(), time.Microsecond))
		}
		s.refill()
	}
}

// tick sends the beats that are due and settles what is over. It returns the time until the next tick.
func (s *Store) tick() time.Duration {
	wait := s.times.beat / 4
	for _, f := range s.fleets {
		if f.due() {
			_ = f.ensure(s.context, true)
		}
		wait = min(wait, f.pause())
	}
	s.mu.Lock()
	now := s.now()
	s.settleExpired(now)
	s.sweep(now)
	s.inquire(now)
	for e := range s.active {
		switch {
		case e.over(now) || e.spares(now):
			e.queued = true
			s.low = append(s.low, e)
		case e.settled(now) && e.idle(now) && !e.leased(now):
			delete(s.active, e)
		}
	}
	s.mu.Unlock()
	return wait
}

// refill asks for the next leases of all that want one.
func (s *Store) refill() {
	s.mu.Lock()
	batch := slices.DeleteFunc(s.low, func(e *entity) bool { return !e.begin() })
	s.low = nil
	s.mu.Unlock()
	if len(batch) > 0 {
		s.exchange(batch)
	}
}
