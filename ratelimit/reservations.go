package ratelimit

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit/journal"
)

// A reservation that was made. Its shard's lock guards it; id and amounts don't change while it is held, and ends
// only with all of its entities' locks taken.
type reservation struct {
	id      ID
	amounts Amounts
	ends    time.Duration
	holds   []hold          // by the order of their entities
	records []*journal.Hold // for holds of the same index, as far as they were needed; guarded by the entity's lock
	// loaded is one that an earlier process made: some of its holds may be missing.
	loaded bool
	next   *reservation // in its chain, or among the spare ones
}

// prepare makes holds for entities, none of them nil. It keeps the memory of earlier ones.
func (r *reservation) prepare(n int) {
	r.holds = slices.Grow(r.holds[:0], n)
	for len(r.records) < n {
		r.records = append(r.records, nil)
	}
}

// add puts an entity in its place by order, once.
func (r *reservation) add(e *entity, again bool) {
	i := len(r.holds)
	for i > 0 && r.holds[i-1].entity.order > e.order {
		i--
	}
	if i > 0 && r.holds[i-1].entity == e {
		return
	}
	r.holds = slices.Insert(r.holds, i, hold{of: r, entity: e, again: again})
}

func (r *reservation) lock() {
	for i := range r.holds {
		r.holds[i].entity.mu.Lock()
	}
}

func (r *reservation) unlock() {
	for i := range r.holds {
		r.holds[i].entity.mu.Unlock()
	}
}

// advance brings all entities to one time, which none of them has passed, and returns it.
func (r *reservation) advance(now time.Duration) time.Duration {
	for i := range r.holds {
		now = max(now, r.holds[i].entity.seen)
	}
	for i := range r.holds {
		r.holds[i].entity.advance(now)
	}
	return now
}

// release settles what is held at its estimate.
func (r *reservation) release() {
	for i := range r.holds {
		r.holds[i].entity.release(&r.holds[i])
	}
}

func (r *reservation) standing(now time.Duration) Standing {
	var s Standing
	for d := range s {
		s[d].Limit = None
	}
	for i := range r.holds {
		r.holds[i].entity.narrow(&s, now)
	}
	return s
}

// A shard is a table of some of the reservations, by ID.
type shard struct {
	mu     sync.Mutex
	chains []*reservation // a power of two
	count  int
	closed bool
	sweep  int          // the chain that is looked through next for what has ended
	spare  *reservation // for reuse: a steady load allocates nothing
	_      [64]byte     // keeps the locks of neighbours out of one cache line
}

// shard returns where an ID belongs, and the hash that finds it there.
func (m *Memory) shard(id *ID) (*shard, uint64) {
	hash := maphash.Bytes(m.seed, id[:])
	return &m.shards[hash%uint64(len(m.shards))], hash >> 6
}

func (s *shard) chain(hash uint64) **reservation { return &s.chains[hash&uint64(len(s.chains)-1)] }

// find returns the link to the reservation with the ID, or nil.
func (s *shard) find(id *ID, hash uint64) **reservation {
	if s.count == 0 {
		return nil
	}
	for link := s.chain(hash); *link != nil; link = &(*link).next {
		if (*link).id == *id {
			return link
		}
	}
	return nil
}

func (s *shard) insert(m *Memory, r *reservation, hash uint64) {
	if s.count >= len(s.chains) {
		s.grow(m)
	}
	link := s.chain(hash)
	r.next, *link = *link, r
	s.count++
}

func (s *shard) grow(m *Memory) {
	old := s.chains
	s.chains = make([]*reservation, max(16, 2*len(old)))
	for _, r := range old {
		for r != nil {
			next := r.next
			_, hash := m.shard(&r.id)
			link := s.chain(hash)
			r.next, *link = *link, r
			r = next
		}
	}
}

// take returns a spare reservation, or a new one.
func (s *shard) take() *reservation {
	r := s.spare
	if r == nil {
		return &reservation{}
	}
	s.spare = r.next
	return r
}

func (s *shard) keep(r *reservation) { r.next, s.spare = s.spare, r }

// drop removes the reservation at the link, which holds nothing any more.
func (s *shard) drop(link **reservation) {
	r := *link
	*link = r.next
	s.count--
	s.keep(r)
}

// reap drops what has ended by itself from the next chain: called once for each reservation made, it
// keeps what was never settled from piling up.
func (s *shard) reap(now time.Duration) {
	if s.count == 0 {
		return
	}
	s.sweep = (s.sweep + 1) & (len(s.chains) - 1)
	for link := &s.chains[s.sweep]; *link != nil; {
		r := *link
		if now < r.ends {
			link = &r.next
			continue
		}
		r.lock()
		r.advance(now)
		r.unlock()
		s.drop(link)
	}
}
