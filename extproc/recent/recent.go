// Package recent remembers things for a while. Two generations bound what is remembered of those that nobody asks for: each
// stays between one and two lives.
package recent

import "time"

// Map remembers values by key. The zero value is empty. It is not safe for concurrent use.
type Map[K comparable, V any] struct {
	young, old map[K]V
	turnedAt   time.Time
}

// Put remembers a value for a life from now on at least; all calls give the same life.
func (m *Map[K, V]) Put(key K, value V, now time.Time, life time.Duration) {
	if m.young == nil || now.Sub(m.turnedAt) > life {
		m.old, m.young, m.turnedAt = m.young, map[K]V{}, now
	}
	m.young[key] = value
}

// With is the generation that has a key, to be read and changed in place; nil when none has.
func (m *Map[K, V]) With(key K) map[K]V {
	for _, generation := range [...]map[K]V{m.young, m.old} {
		if _, ok := generation[key]; ok {
			return generation
		}
	}
	return nil
}

// Len counts what is remembered.
func (m *Map[K, V]) Len() int { return len(m.young) + len(m.old) }
