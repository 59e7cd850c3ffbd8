package ratelimit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A mortal is a store of which every store to its file is recorded: so it can be looked at as it would be if
// the process had died there.
type mortal struct {
	*Memory
	path     string
	now      time.Duration
	entities []Entity
	recorded [][]byte
	record   bool
}

func mortalLimits() []Limit {
	return []Limit{{Name: "a", Most: Amounts{10, 1000, 10}}, {Name: "b", Most: Amounts{10, 1000, 10}}}
}

func newMortal(t *testing.T, path string, now time.Duration, recording bool) *mortal {
	m := &mortal{path: path, now: now}
	o := Options{Now: func() time.Duration { return m.now }, File: path, Fresh: true}
	o.Warn = func(s string) { t.Error(s) }
	if recording {
		o.stored = m.stored
	}
	var err error
	if m.Memory, err = OpenMemory(o); err != nil {
		t.Fatal(err)
	}
	m.entities = m.Declare(mortalLimits())
	return m
}

func (m *mortal) stored() {
	if !m.record {
		return
	}
	if data, err := os.ReadFile(m.path); err == nil {
		m.recorded = append(m.recorded, data)
	}
}

func (m *mortal) reserve(id byte, tokens int64, life time.Duration) bool {
	_, denial := m.Reserve(context.Background(), &Reservation{
		ID: ID{id}, Amounts: Amounts{1, tokens, 1}, Entities: m.entities, Life: life})
	return denial == nil
}

// again reserves for another attempt at a request that both entities have counted.
func (m *mortal) again(id byte, tokens int64) {
	_, _ = m.Reserve(context.Background(), &Reservation{
		ID: ID{id}, Amounts: Amounts{1, tokens, 1}, Entities: m.entities, Again: len(m.entities), Life: time.Hour})
}

func (m *mortal) used() (used [2]Amounts) {
	for i, e := range m.entities {
		used[i] = m.Usage(e).Used
	}
	return used
}

// A process that dies between any two stores of a step leaves at least what was used before the step, or after it
// if that is less; and when the step is taken again after a restart, at least what is used after it.
func TestDeathBetweenAnyTwoStores(t *testing.T) {
	dir := t.TempDir()
	m := newMortal(t, filepath.Join(dir, "limits"), time.Hour, true)
	defer m.Close()
	m.reserve(1, 100, time.Hour)
	m.reserve(2, 200, time.Hour)
	m.reserve(3, 50, 10*time.Second)
	for i, step := range []struct {
		name string
		take func(m *mortal)
	}{
		{"reserve", func(m *mortal) { m.reserve(4, 300, time.Hour) }},
		{"settle at less", func(m *mortal) { m.Settle(ID{1}, Amounts{1, 30}) }},
		{"settle at more", func(m *mortal) { m.Settle(ID{2}, Amounts{1, 350}) }},
		{"expire", func(m *mortal) { m.now = time.Hour + 10*time.Second; m.used() }},
		{"renew", func(m *mortal) { m.Renew(ID{4}, 2*time.Hour) }},
		{"settle at less requests and more tokens", func(m *mortal) { m.Settle(ID{4}, Amounts{0, 310}) }},
		{"reserve in a new bucket", func(m *mortal) { m.reserve(5, 70, time.Hour) }},
		{"refund", func(m *mortal) { m.Refund(ID{5}) }},
		{"reserve again", func(m *mortal) { m.again(6, 40) }},
		{"settle what was reserved again", func(m *mortal) { m.Settle(ID{6}, Amounts{1, 10}) }},
	} {
		before, now := m.used(), m.now
		m.recorded, m.record = nil, true
		step.take(m)
		m.record = false
		after := m.used()
		if len(m.recorded) == 0 {
			t.Fatalf("%s: nothing was stored", step.name)
		}
		for n, data := range m.recorded {
			path := filepath.Join(dir, fmt.Sprint(i, "-", n))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			risen := newMortal(t, path, now, false)
			atLeast(t, fmt.Sprintf("%s, store %d", step.name, n), risen.used(), least(before, after))
			step.take(risen)
			atLeast(t, fmt.Sprintf("%s, store %d, again", step.name, n), risen.used(), after)
			if err := risen.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// least are the smaller ones of amounts.
func least(a, b [2]Amounts) [2]Amounts {
	for i := range a {
		for d := range a[i] {
			a[i][d] = min(a[i][d], b[i][d])
		}
	}
	return a
}

func atLeast(t *testing.T, when string, got, want [2]Amounts) {
	t.Helper()
	if least(got, want) != want {
		t.Errorf("%s: %v are used, want %v at least", when, got, want)
	}
}
