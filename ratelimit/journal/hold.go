package journal

import (
	"encoding/binary"
	"time"
)

// A hold is eight words, one line of the processor's cache. Its ring is 0 when it holds nothing, else one more
// than the ring's index, and heldAgain beside it.
const (
	holdRing, holdBucket, holdEnds, holdAmounts, holdID = 0, 1, 2, 3, 6

	holdWords = 8

	heldAgain = 1 << 39 // a file has fewer rings by far
)

// Hold is the part of a reservation at one entity in the file.
type Hold struct{ words }

// Held is what a hold says.
type Held struct {
	ID      [16]byte
	Ring    *Ring
	Bucket  int64 // number of the one that the amounts were charged to
	Ends    time.Duration
	Amounts [3]int64
	Again   bool // of the first amount the ring has none: it counts for another hold
}

// Put writes the hold; it counts when it is there whole.
func (h *Hold) Put(v *Held) {
	h.put(holdBucket, v.Bucket)
	h.put(holdEnds, millis(v.Ends))
	for d, amount := range v.Amounts {
		h.put(holdAmounts+d, amount)
	}
	h.raw[holdID] = binary.LittleEndian.Uint64(v.ID[:8])
	h.raw[holdID+1] = binary.LittleEndian.Uint64(v.ID[8:])
	ring := int64(v.Ring.index) + 1
	if v.Again {
		ring |= heldAgain
	}
	h.commit(holdRing, ring)
}

// Postpone changes when the hold, which is there, ends.
func (h *Hold) Postpone(ends time.Duration) { h.commit(holdEnds, millis(ends)) }

// Clear says that the hold holds nothing any more.
func (h *Hold) Clear() { h.commit(holdRing, 0) }

// read returns what is held, and the index of its ring; nothing if it is clear.
func (h *Hold) read() (held Held, ring int, err error) {
	var v [holdID]int64
	for i := range v {
		var ok bool
		v[i], ok = h.get(i)
		if i == holdRing && ok && v[i] == 0 {
			return held, -1, nil
		}
		if !ok {
			return held, -1, errGarbage
		}
	}
	held.Bucket, held.Ends = v[holdBucket], fromMillis(v[holdEnds])
	copy(held.Amounts[:], v[holdAmounts:])
	binary.LittleEndian.PutUint64(held.ID[:8], h.raw[holdID])
	binary.LittleEndian.PutUint64(held.ID[8:], h.raw[holdID+1])
	held.Again = v[holdRing]&heldAgain != 0
	return held, int(v[holdRing]&^heldAgain) - 1, nil
}
