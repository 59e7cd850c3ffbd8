package ratelimit

import (
	"slices"
	"time"
)

// linger is how long an entity that is no longer declared stays at least, with its limits: requests that
// began before still use its handle.
const linger = 10 * time.Minute

// Declare puts limits in force, and returns their entities in the same order. What was declared before under
// the same name keeps its handle and what it has used. What is no longer declared keeps its limits for those
// who still have the handle, and is forgotten by a later Declare when nothing of it counts; its handle is never
// given to another. Of a name that is there twice the smaller limits hold.
func (m *Memory) Declare(limits []Limit) []Entity {
	m.declaring.Lock()
	defer m.declaring.Unlock()
	now := m.now()
	all := slices.Clone(*m.entities.Load())
	most := smallest(limits)
	m.forget(all, most, now)
	handles := make([]Entity, len(limits))
	for i, l := range limits {
		e := m.names[l.Name]
		if e == nil {
			e = m.found(l.Name)
			e.handle = Entity(len(all))
			m.names[l.Name] = e
			all = append(all, e)
		}
		handles[i] = e.handle
		m.put(e, most[l.Name])
	}
	m.entities.Store(&all)
	m.freeOrphans(now)
	return handles
}

// Put puts one limit in force that Declare says nothing of, until it is dropped, and returns its entity: the same one
// for the same name, with what it has used. It costs as much with a hundred thousand of them as with one.
func (m *Memory) Put(l Limit) Entity {
	m.declaring.Lock()
	defer m.declaring.Unlock()
	e := m.names[l.Name]
	if e == nil {
		e = m.found(l.Name)
		// Readers know the slice by its length, so what is appended behind it disturbs none.
		all := *m.entities.Load()
		e.handle = Entity(len(all))
		all = append(all, e)
		m.names[l.Name] = e
		m.entities.Store(&all)
	}
	e.apart = true
	m.put(e, smallest([]Limit{l})[l.Name])
	m.sweep()
	return e.handle
}

// Drop ends what Put began. Those who still have the handle find the limit as it was, for some minutes.
func (m *Memory) Drop(name string) {
	m.declaring.Lock()
	defer m.declaring.Unlock()
	if e := m.names[name]; e != nil && e.apart {
		e.apart = false
		m.leaving = append(m.leaving, name)
	}
	m.sweep()
}

// sweep forgets what was dropped long enough ago, the first that was dropped first.
func (m *Memory) sweep() {
	var all []*entity
	for now := m.now(); len(m.leaving) > 0; m.leaving = m.leaving[1:] {
		name := m.leaving[0]
		e := m.names[name]
		if e == nil || e.apart {
			continue
		}
		if !e.forget(now) {
			break
		}
		if all == nil {
			all = slices.Clone(*m.entities.Load())
		}
		all[e.handle] = nil
		delete(m.names, name)
		m.free(e)
	}
	if all != nil {
		m.entities.Store(&all)
	}
}

// newEntity returns one that nobody can use yet.
func (m *Memory) newEntity() *entity {
	m.order++
	return &entity{order: m.order, window: window{grain: coarse(), first: 1, next: 1}}
}

func (m *Memory) put(e *entity, most Amounts) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.limit(most)
	if m.file != nil && e.limited && e.window.kept == nil && !e.idle() {
		m.keep(e)
	}
}

// forget lets go of what is not among the names.
func (m *Memory) forget(all []*entity, names map[string]Amounts, now time.Duration) {
	for name, e := range m.names {
		if _, declared := names[name]; !declared && !e.apart && e.forget(now) {
			delete(m.names, name)
			all[e.handle] = nil
			m.free(e)
		}
	}
}

// forget reports whether nothing of the entity is left.
func (e *entity) forget(now time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now = max(now, e.seen)
	e.advance(now)
	if e.dropped == 0 {
		e.dropped = now
		return false
	}
	e.gone = now >= e.dropped+linger && e.idle()
	return e.gone
}

func smallest(limits []Limit) map[string]Amounts {
	most := make(map[string]Amounts, len(limits))
	for _, l := range limits {
		known, twice := most[l.Name]
		for d := range known {
			if twice {
				l.Most[d] = min(l.Most[d], known[d])
			}
			l.Most[d] = max(0, l.Most[d])
		}
		most[l.Name] = l.Most
	}
	return most
}
