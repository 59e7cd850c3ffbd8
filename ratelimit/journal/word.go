package journal

import (
	"sync/atomic"
	"time"
)

// largest is the largest number that a word can take.
const largest = 1<<40 - 1

// words are numbers in the file: 40 bits of value, and 24 that depend on the value, on the place and on
// the file. So what was not written there by Nestor is found out; a page of zeros too.
// One word is one store of the machine: a process that dies leaves it old or new.
type words struct {
	raw    []uint64
	first  uint64 // place of the first one in the file
	salt   uint64
	stored func() // Lock.Stored
}

// part returns n words from the i-th on.
func (w words) part(i, n int) words {
	return words{w.raw[i : i+n : i+n], w.first + uint64(i), w.salt, w.stored}
}

func (w *words) put(i int, value int64) {
	w.raw[i] = w.seal(i, value)
	if w.stored != nil {
		w.stored()
	}
}

// commit puts a value after everything that was put before, and before everything that is put later.
func (w *words) commit(i int, value int64) {
	atomic.StoreUint64(&w.raw[i], w.seal(i, value))
	if w.stored != nil {
		w.stored()
	}
}

func (w *words) get(i int) (int64, bool) {
	value := int64(w.raw[i] >> 24)
	return value, w.raw[i] == w.seal(i, value)
}

func (w *words) seal(i int, value int64) uint64 {
	v := uint64(min(max(0, value), largest))
	place := (w.first + uint64(i)) * 0x9e3779b97f4a7c15
	return v<<24 | (v^w.salt^place)*0xbf58476d1ce4e5b9>>40
}

// millis rounds a time up, so that nothing ends early.
func millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

func fromMillis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
