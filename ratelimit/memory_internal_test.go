package ratelimit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// stores are a store without a file and one with one, of a clock that the test moves.
func stores(t *testing.T, now *time.Duration) map[string]*Memory {
	o := Options{Now: func() time.Duration { return *now }, Fresh: true, File: filepath.Join(t.TempDir(), "limits")}
	kept, err := OpenMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	return map[string]*Memory{"memory": NewMemory(o), "kept": kept}
}

func TestNothingIsAllocatedInSteadyState(t *testing.T) {
	now := time.Hour
	for name, m := range stores(t, &now) {
		q := Reservation{Amounts: Amounts{1, 10, 1}, Life: time.Minute}
		for _, name := range []string{"a", "b", "c"} {
			q.Entities = append(q.Entities, m.Declare([]Limit{{Name: name, Most: Amounts{1 << 40, 1 << 40, 1 << 40}}})...)
		}
		n := uint64(0)
		step := func() {
			n++
			now += 10 * time.Millisecond
			binary.LittleEndian.PutUint64(q.ID[:], n)
			if _, denial := m.Reserve(context.Background(), &q); denial != nil {
				t.Fatal(denial)
			}
			if n%10 == 0 { // is never settled
				return
			}
			m.Settle(q.ID, Amounts{1, int64(n % 20)})
		}
		for range 100_000 {
			step()
		}
		if got := testing.AllocsPerRun(20_000, step); got != 0 {
			t.Errorf("%s: %v allocations for a reservation and its settlement, want none", name, got)
		}
	}
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestManyEntitiesAreCheap(t *testing.T) {
	now := time.Hour
	limits := make([]Limit, 100_000)
	for i := range limits {
		limits[i] = Limit{Name: fmt.Sprint("deployment:", i), Most: Amounts{60, 100_000, 10}}
	}
	for name, m := range stores(t, &now) {
		before := heap()
		m.Declare(limits)
		if used := heap() - before; used > 64<<20 {
			t.Errorf("%s: %d entities take %d MiB", name, len(limits), used>>20)
		}
		runtime.KeepAlive(m)
	}
}

// Reservations that nobody settles are let go of one by one, and leave nothing.
func TestUnsettledDoNotPileUp(t *testing.T) {
	now := time.Hour
	for name, m := range stores(t, &now) {
		q := Reservation{Amounts: Amounts{1, 10, 1}, Life: time.Minute}
		q.Entities = m.Declare([]Limit{{Name: "a", Most: Amounts{None, None, 100_000}}})
		for i := range 400_000 {
			binary.LittleEndian.PutUint64(q.ID[:], uint64(i))
			if _, denial := m.Reserve(context.Background(), &q); denial != nil {
				t.Fatalf("%s: %d: %+v", name, i, denial)
			}
			now += time.Minute / 99_000
		}
		count := 0
		for i := range m.shards {
			count += m.shards[i].count
		}
		if held := m.Usage(q.Entities[0]).Used[Parallel]; held > 99_001 || count > 300_000 {
			t.Errorf("%s: %d are held, %d are there", name, held, count)
		}
	}
}

// A full disk is said, and the next process closes.
func TestFileThatCanNotGrow(t *testing.T) {
	now := time.Hour
	var warned []string
	o := Options{Now: func() time.Duration { return now }, Fresh: true, File: filepath.Join(t.TempDir(), "limits"),
		Warn: func(s string) { warned = append(warned, s) }}
	m, err := OpenMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	m.spoil(errors.New("no space left on device"))
	m.spoil(errors.New("no space left on device"))
	if len(warned) != 1 {
		t.Fatalf("the warnings are %q, want one", warned)
	}
	q := Reservation{Amounts: Amounts{1, 10, 1}, Life: time.Minute, Entities: m.Declare([]Limit{{Name: "a", Most: Amounts{1, None, None}}})}
	if _, denial := m.Reserve(context.Background(), &q); denial != nil {
		t.Fatal(denial)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	warned = nil
	if m, err = OpenMemory(o); err != nil || len(warned) != 1 {
		t.Fatalf("after a file that is not whole: %v, %q", err, warned)
	}
	defer m.Close()
	q.Entities = m.Declare([]Limit{{Name: "a", Most: Amounts{1, None, None}}})
	if _, denial := m.Reserve(context.Background(), &q); denial == nil {
		t.Fatal("limits are not closed")
	}
}
