package ratelimit

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// benchmarkMemory reserves and settles on entities of one limit each, with a thousand in flight.
func benchmarkMemory(b *testing.B, m *Memory, entities int, most Amounts) {
	var limits []Limit
	for i := range entities {
		limits = append(limits, Limit{Name: fmt.Sprint("deployment:", i), Most: most})
	}
	handles := m.Declare(limits)
	var goroutine atomic.Uint64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var n uint64
		mine := goroutine.Add(1) << 48
		q := Reservation{Amounts: Amounts{1, 500, 1}, Entities: handles, Life: time.Minute}
		const inFlight = 1000
		for pb.Next() {
			n++
			binary.LittleEndian.PutUint64(q.ID[:], mine|n)
			if _, denial := m.Reserve(context.Background(), &q); denial != nil {
				b.Fatal(denial)
			}
			if n > inFlight {
				binary.LittleEndian.PutUint64(q.ID[:], mine|(n-inFlight))
				m.Settle(q.ID, Amounts{1, 300})
			}
		}
	})
}

// BenchmarkSpread reserves and settles on one of a thousand entities each time.
func BenchmarkSpread(b *testing.B) {
	m := NewMemory(Options{Fresh: true})
	limits := make([]Limit, 1000)
	for i := range limits {
		limits[i] = Limit{Name: fmt.Sprint("deployment:", i), Most: Amounts{1 << 50, 1 << 50, 1 << 50}}
	}
	handles := m.Declare(limits)
	var goroutine atomic.Uint64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		mine := goroutine.Add(1) << 48
		q := Reservation{Amounts: Amounts{1, 500, 1}, Life: time.Minute}
		for n := mine; pb.Next(); n++ {
			i := (n + mine>>47*7) % 1000
			q.Entities = handles[i : i+1]
			binary.LittleEndian.PutUint64(q.ID[:], n)
			m.Reserve(context.Background(), &q)
			m.Settle(q.ID, Amounts{1, 300})
		}
	})
}

func BenchmarkMemory(b *testing.B) {
	huge := Amounts{1 << 50, 1 << 50, 1 << 50}
	for _, entities := range []int{1, 3, 10} {
		b.Run(fmt.Sprint("limits=", entities), func(b *testing.B) {
			benchmarkMemory(b, NewMemory(Options{Fresh: true}), entities, huge)
		})
	}
	for _, entities := range []int{1, 3, 10} {
		b.Run(fmt.Sprint("kept limits=", entities), func(b *testing.B) {
			m, err := OpenMemory(Options{Fresh: true, File: filepath.Join(b.TempDir(), "limits")})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			benchmarkMemory(b, m, entities, huge)
		})
	}
	b.Run("unlimited=1", func(b *testing.B) {
		benchmarkMemory(b, NewMemory(Options{Fresh: true}), 1, Unlimited())
	})
}

// BenchmarkRenew renews one of a thousand reservations each time, all of them at one entity.
func BenchmarkRenew(b *testing.B) {
	m := NewMemory(Options{Fresh: true})
	q := Reservation{Amounts: Amounts{1, 500, 1}, Life: time.Minute}
	q.Entities = m.Declare([]Limit{{Name: "deployment:a", Most: Amounts{None, None, 1 << 20}}})
	for i := range 1000 {
		binary.LittleEndian.PutUint64(q.ID[:], uint64(i))
		m.Reserve(context.Background(), &q)
	}
	b.ReportAllocs()
	for i := range b.N {
		binary.LittleEndian.PutUint64(q.ID[:], uint64(i)%1000)
		if !m.Renew(q.ID, time.Minute) {
			b.Fatal("it is not held")
		}
	}
}
