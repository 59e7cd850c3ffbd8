package ratelimit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit/journal"
)

// patience is how long a process waits for the one before it to let go of the file.
const patience = 5 * time.Second

// OpenMemory returns a store whose windows and reservations outlive the process in Options.File, for as long as the
// machine runs. Where the file can't be used (it is missing and the store is not Fresh, written over, of
// another version or run of the machine, or can't be made), limits admit nothing for one Window, and
// Options.Warn is told why. The one error is that another process has the file.
func OpenMemory(o Options) (*Memory, error) {
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.File == "" {
		m := NewMemory(o)
		if !o.Fresh {
			o.Warn("no file keeps what limits have used: " + closedFor)
		}
		return m, nil
	}
	if o.Now == nil {
		o.Now = journal.Now()
	}
	m := newMemory(o)
	lock, err := journal.Acquire(o.File, patience)
	if errors.Is(err, journal.ErrLocked) {
		return nil, fmt.Errorf("%s keeps what limits have used: %w", o.File, err)
	}
	if err != nil {
		m.closeFor(Window)
		o.Warn(fmt.Sprintf("can't lock %s: %v: %s, and after a restart again", o.File, err, closedFor))
		return m, nil
	}
	lock.Stored = o.stored
	m.lock = lock
	m.open(o)
	return m, nil
}

const (
	closed    = "deployments, references and groups with limits admit nothing"
	closedFor = closed + " for one minute"
)

// closeFor has limits admit nothing for a time.
func (m *Memory) closeFor(d time.Duration) { m.opens = m.now() + d }

// open loads what an earlier process left, or begins anew.
func (m *Memory) open(o Options) {
	file, contents, err := m.lock.Load(m.now())
	if err == nil {
		m.file, m.opens = file, contents.Opens
		m.load(contents, m.now()+o.Life)
		if wait := m.opens - m.now(); wait > 0 {
			o.Warn(fmt.Sprintf("what limits had used could not be read from %s by an earlier process: for %s more, %s",
				o.File, wait.Round(time.Second), closed))
		}
		return
	}
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case !missing:
		m.closeFor(Window)
		o.Warn(fmt.Sprintf("what limits have used can't be read from %s: %v: %s", o.File, err, closedFor))
	case !o.Fresh:
		m.closeFor(Window)
		o.Warn(fmt.Sprintf("nothing tells what limits have used, for there is no %s: %s; --fresh-limits says that this is the first start", o.File, closedFor))
	}
	if m.file, err = m.lock.Create(m.opens); err != nil {
		m.closeFor(Window)
		o.Warn(fmt.Sprintf("can't make %s: %v: %s, and after a restart again", o.File, err, closedFor))
	}
}

// load takes over windows and reservations, which end at the earliest at a time. Entities have no limits until
// they are declared.
func (m *Memory) load(c *journal.Contents, earliest time.Duration) {
	byRing := map[*journal.Ring]*entity{}
	for _, found := range c.Rings {
		e := m.newEntity()
		e.key = found.Key
		e.most = Unlimited()
		e.window.load(found.Buckets)
		e.window.kept = found.Ring
		byRing[found.Ring] = e
		m.orphans[found.Key] = e
	}
	byID := map[ID][]journal.FoundHold{}
	for _, found := range c.Holds {
		byID[found.ID] = append(byID[found.ID], found)
	}
	for id, found := range byID {
		m.loadReservation(id, found, byRing, earliest)
	}
}

// load puts kept buckets back.
func (w *window) load(buckets []journal.Bucket) {
	for i, b := range buckets {
		if i == 0 {
			w.first, w.next = b.Number, b.Number
		}
		w.restore(b)
	}
}

// loadReservation puts a reservation back. A process that died at the wrong moment leaves some of its holds, or
// has postponed some of them.
func (m *Memory) loadReservation(id ID, found []journal.FoundHold, byRing map[*journal.Ring]*entity, earliest time.Duration) {
	r := &reservation{id: id, amounts: found[0].Amounts, ends: earliest, loaded: true}
	for _, h := range found {
		r.ends = max(r.ends, h.Ends)
	}
	r.prepare(len(found))
	slices.SortFunc(found, func(a, b journal.FoundHold) int {
		return cmp.Compare(byRing[a.Ring].order, byRing[b.Ring].order)
	})
	for _, h := range found {
		i := len(r.holds)
		if i > 0 && r.holds[i-1].entity == byRing[h.Ring] {
			h.Clear()
			continue
		}
		r.holds = append(r.holds, hold{of: r, entity: byRing[h.Ring], bucket: h.Bucket, again: h.Again, record: h.Hold})
		r.records[i] = h.Hold
		r.holds[i].entity.register(&r.holds[i])
	}
	s, hash := m.shard(&id)
	s.insert(m, r, hash)
}

// found returns what an earlier process left of an entity, or a new one.
func (m *Memory) found(name string) *entity {
	if m.file == nil {
		return m.newEntity()
	}
	key := journal.KeyOf(name)
	e := m.orphans[key]
	if e == nil {
		e = m.newEntity()
		e.key = key
	}
	delete(m.orphans, key)
	return e
}

// freeOrphans forgets what an earlier process left of entities that nobody declares.
func (m *Memory) freeOrphans(now time.Duration) {
	for key, e := range m.orphans {
		if e.forget(now) {
			delete(m.orphans, key)
			m.free(e)
		}
	}
}

// free gives back what an entity that was forgotten has in the file.
func (m *Memory) free(e *entity) {
	if m.file != nil && e.window.kept != nil {
		m.file.Free(e.window.kept)
		e.window.kept = nil
	}
}

// keep makes an entity outlive the process, with everything that it holds.
func (m *Memory) keep(e *entity) {
	ring, err := m.file.NewRing(e.key)
	if err != nil {
		m.spoil(err)
		return
	}
	e.window.keepIn(ring)
	for _, ending := range e.holds {
		h := ending.hold
		for i := range h.of.holds {
			if &h.of.holds[i] == h {
				m.keepHold(h, i)
			}
		}
	}
}

// keepHold makes the i-th hold of its reservation outlive the process.
func (m *Memory) keepHold(h *hold, i int) {
	records := h.of.records
	if records[i] == nil {
		var err error
		if records[i], err = m.file.NewHold(); err != nil {
			m.spoil(err)
			return
		}
	}
	h.keepIn(records[i])
}

// spoil gives the file up: the next process must not take it for the whole truth.
func (m *Memory) spoil(err error) {
	if m.file.Spoil() {
		m.warn(fmt.Sprintf("can't keep what limits have used: %v: after a restart, %s", err, closedFor))
	}
}

// Close lets go of the file, in which everything stays as it is. After that nothing is admitted or settled.
func (m *Memory) Close() error {
	m.declaring.Lock()
	defer m.declaring.Unlock()
	for i := range m.shards {
		m.shards[i].close()
	}
	var errs []error
	if m.file != nil {
		for _, e := range m.names {
			e.letGo()
		}
		for _, e := range m.orphans {
			e.letGo()
		}
		errs = append(errs, m.file.Close())
	}
	if m.lock != nil {
		errs = append(errs, m.lock.Release())
	}
	m.file, m.lock = nil, nil
	return errors.Join(errs...)
}

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// letGo ends all writing to the file.
func (e *entity) letGo() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.window.kept = nil
	for _, ending := range e.holds {
		ending.hold.record = nil
	}
}
