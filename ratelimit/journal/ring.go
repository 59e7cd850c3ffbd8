package journal

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// Key names an entity.
type Key [16]byte

// KeyOf is the key of a name.
func KeyOf(name string) Key {
	sum := sha256.Sum256([]byte(name))
	return Key(sum[:])
}

// check is what tells that a key is whole.
func (k Key) check() int64 {
	sum := sha256.Sum256(k[:])
	return int64(binary.LittleEndian.Uint64(sum[:]) & largest)
}

// Buckets is how many buckets a ring has: bucket n is written over bucket n - Buckets.
const Buckets = 126

// A ring is a page of words: whether it is in use, its key, and its buckets.
const (
	ringUsed, ringCheck, ringKey = 0, 1, 2
	ringBuckets                  = 8
	ringWords                    = ringBuckets + Buckets*bucketWords

	bucketNumber, bucketLast, bucketUsed = 0, 1, 2
	bucketWords                          = 4
)

// Ring is the window of one entity in the file.
type Ring struct {
	words
	index int
}

// Bucket is what was used in one part of a window. Numbers begin at 1.
type Bucket struct {
	Number int64
	Last   time.Duration
	Used   [2]int64
}

// Put writes a bucket. In the middle of it the bucket counts as before, or as now, or more than both; that is safe
// as long as nobody is told of what is new in it.
func (r *Ring) Put(b Bucket) {
	i := ringBuckets + int(b.Number%Buckets)*bucketWords
	r.put(i+bucketLast, millis(b.Last))
	r.put(i+bucketUsed, b.Used[0])
	r.put(i+bucketUsed+1, b.Used[1])
	r.put(i+bucketNumber, b.Number)
}

// begin makes the ring an empty one.
func (r *Ring) begin(key Key) {
	for i := ringBuckets; i < ringWords; i++ {
		r.put(i, 0)
	}
	r.put(ringCheck, key.check())
	r.raw[ringKey] = binary.LittleEndian.Uint64(key[:8])
	r.raw[ringKey+1] = binary.LittleEndian.Uint64(key[8:])
	r.commit(ringUsed, 1)
}

// free says that nothing of the ring counts.
func (r *Ring) free() { r.commit(ringUsed, 0) }

var errGarbage = errors.New("it has been written over")

// read returns what is in a ring, nothing if it is free.
func (r *Ring) read(now time.Duration) (*FoundRing, error) {
	used, ok := r.get(ringUsed)
	if !ok || used > 1 {
		return nil, errGarbage
	}
	if used == 0 {
		return nil, nil
	}
	found := &FoundRing{Ring: r}
	binary.LittleEndian.PutUint64(found.Key[:8], r.raw[ringKey])
	binary.LittleEndian.PutUint64(found.Key[8:], r.raw[ringKey+1])
	if check, ok := r.get(ringCheck); !ok || check != found.Key.check() {
		return nil, errGarbage
	}
	for slot := range int64(Buckets) {
		b, err := r.bucket(slot, now)
		if err != nil {
			return nil, err
		}
		if b.Number > 0 {
			found.Buckets = append(found.Buckets, b)
		}
	}
	slices.SortFunc(found.Buckets, func(a, b Bucket) int { return cmp.Compare(a.Number, b.Number) })
	if n := len(found.Buckets); n > 0 && found.Buckets[n-1].Number-found.Buckets[0].Number >= Buckets {
		return nil, errGarbage
	}
	return found, nil
}

func (r *Ring) bucket(slot int64, now time.Duration) (Bucket, error) {
	var v [bucketWords]int64
	for i := range v {
		var ok bool
		if v[i], ok = r.get(ringBuckets + int(slot)*bucketWords + i); !ok {
			return Bucket{}, errGarbage
		}
	}
	b := Bucket{Number: v[bucketNumber], Last: fromMillis(v[bucketLast]), Used: [2]int64{v[bucketUsed], v[bucketUsed+1]}}
	if b.Number > 0 && b.Number%Buckets != slot {
		return b, errGarbage
	}
	if b.Last > now+time.Millisecond {
		return b, errFuture
	}
	return b, nil
}
