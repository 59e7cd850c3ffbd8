// Package journal keeps windows and reservations in a file that is mapped into memory, so that what a process has
// written is there when it was killed, at whatever instruction.
//
// A file is a header and segments. A segment is full of rings or full of holds, as the table in the header
// says. Everything is made of words (see there), and holds for one boot of the machine: its times are
// those of the clock that starts at 0 then.
package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"
)

const (
	headerBytes  = 64 << 10
	segmentBytes = 1 << 20
	segmentWords = segmentBytes / 8

	magic   = 0x736d696c74736e31
	version = 1
)

// The header: what never changes and its checksum, then words.
const (
	headMagic, headVersion, headSalt, headOpens, headBoot, headSum = 0, 1, 2, 3, 4, 8

	headSpoiled, headSegments = 16, 17
	headTable                 = 64
	headWords                 = headerBytes / 8
	maxSegments               = headWords - headTable
)

// What a segment is full of.
const (
	rings = 1
	holds = 2
)

var (
	errFuture   = errors.New("it has times that are still to come")
	errSpoiled  = errors.New("not everything could be written to it")
	errOtherRun = errors.New("it is from before the machine was started")
	errFormat   = errors.New("it is not in the format of this version")
)

// File is an open file. Its methods may be called from several goroutines; those of one Ring or Hold may not.
type File struct {
	disk *disk
	head words

	mu        sync.Mutex
	segments  []words
	freeRings []*Ring // the first of the file last, so that it is used first
	freeHolds []*Hold
	spoiled   bool
}

// Contents is what a file says that was loaded.
type Contents struct {
	Rings []*FoundRing
	Holds []FoundHold
	// Opens is when limits begin to admit anything.
	Opens time.Duration
}

// FoundRing is a window that counts, or did.
type FoundRing struct {
	*Ring
	Key     Key
	Buckets []Bucket // by their numbers
}

// FoundHold is a reservation at one entity.
type FoundHold struct {
	*Hold
	Held
}

// format writes a header.
func format(head words, salt uint64, opens time.Duration, boot [sha256.Size]byte) words {
	raw := head.raw
	raw[headMagic], raw[headVersion], raw[headSalt], raw[headOpens] = magic, layout(), salt, uint64(millis(opens))
	for i := range 4 {
		raw[headBoot+i] = binary.LittleEndian.Uint64(boot[8*i:])
	}
	sum := checksum(raw)
	for i := range 4 {
		raw[headSum+i] = binary.LittleEndian.Uint64(sum[8*i:])
	}
	head.salt = salt
	head.put(headSpoiled, 0)
	head.put(headSegments, 0)
	return head
}

// layout is the version and every size that files of one version share.
func layout() uint64 { return version<<48 | headWords<<32 | ringWords<<16 | holdWords }

func checksum(raw []uint64) [sha256.Size]byte {
	var b []byte
	for _, word := range raw[:headSum] {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return sha256.Sum256(b)
}

// verify reads a header; it returns how many segments there are.
func (f *File) verify(boot [sha256.Size]byte) (int, error) {
	raw := f.head.raw
	sum := checksum(raw)
	for i := range 4 {
		if raw[headSum+i] != binary.LittleEndian.Uint64(sum[8*i:]) {
			return 0, errGarbage
		}
	}
	if raw[headMagic] != magic || raw[headVersion] != layout() {
		return 0, errFormat
	}
	for i := range 4 {
		if raw[headBoot+i] != binary.LittleEndian.Uint64(boot[8*i:]) {
			return 0, errOtherRun
		}
	}
	f.head.salt = raw[headSalt]
	spoiled, ok := f.head.get(headSpoiled)
	n, sound := f.head.get(headSegments)
	switch {
	case !ok || !sound || n > maxSegments:
		return 0, errGarbage
	case spoiled != 0:
		return 0, errSpoiled
	}
	return int(n), nil
}

// load reads everything.
func (f *File) load(now time.Duration, boot [sha256.Size]byte) (*Contents, error) {
	n, err := f.verify(boot)
	if err != nil {
		return nil, err
	}
	c := &Contents{Opens: fromMillis(int64(f.head.raw[headOpens]))}
	byIndex := map[int]*Ring{}
	for i := range n {
		if err := f.mapSegment(); err != nil {
			return nil, err
		}
		if kind, ok := f.head.get(headTable + i); !ok || kind != rings && kind != holds {
			return nil, errGarbage
		} else if kind == rings {
			err = f.readRings(i, now, c, byIndex)
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range n {
		if kind, _ := f.head.get(headTable + i); kind == holds {
			if err := f.readHolds(i, c, byIndex); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func (f *File) readRings(segment int, now time.Duration, c *Contents, byIndex map[int]*Ring) error {
	for i := segmentWords/ringWords - 1; i >= 0; i-- {
		r := f.ring(segment, i)
		found, err := r.read(now)
		if err != nil {
			return err
		}
		if found == nil {
			f.freeRings = append(f.freeRings, r)
			continue
		}
		byIndex[r.index] = r
		c.Rings = append(c.Rings, found)
	}
	return nil
}

func (f *File) readHolds(segment int, c *Contents, byIndex map[int]*Ring) error {
	for i := segmentWords/holdWords - 1; i >= 0; i-- {
		h := f.hold(segment, i)
		held, index, err := h.read()
		if err != nil {
			return err
		}
		if index < 0 {
			f.freeHolds = append(f.freeHolds, h)
			continue
		}
		if held.Ring = byIndex[index]; held.Ring == nil {
			return errGarbage
		}
		c.Holds = append(c.Holds, FoundHold{h, held})
	}
	return nil
}

func (f *File) ring(segment, i int) *Ring {
	const each = segmentWords / ringWords
	return &Ring{f.segments[segment].part(i*ringWords, ringWords), segment*each + i}
}

func (f *File) hold(segment, i int) *Hold {
	return &Hold{f.segments[segment].part(i*holdWords, holdWords)}
}

// NewRing returns an empty ring for a key.
func (f *File) NewRing(key Key) (*Ring, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.freeRings) == 0 {
		if err := f.grow(rings); err != nil {
			return nil, err
		}
	}
	last := len(f.freeRings) - 1
	r := f.freeRings[last]
	f.freeRings = f.freeRings[:last]
	r.begin(key)
	return r, nil
}

// Free takes a ring back that no hold names.
func (f *File) Free(r *Ring) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.free()
	f.freeRings = append(f.freeRings, r)
}

// NewHold returns a hold that is clear.
func (f *File) NewHold() (*Hold, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.freeHolds) == 0 {
		if err := f.grow(holds); err != nil {
			return nil, err
		}
	}
	last := len(f.freeHolds) - 1
	h := f.freeHolds[last]
	f.freeHolds = f.freeHolds[:last]
	return h, nil
}

// Spoil says that the file does not have everything. It reports whether that is new.
func (f *File) Spoil() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.spoiled
	f.spoiled = true
	f.head.commit(headSpoiled, 1)
	return first
}

// grow adds a segment. It is part of the file when it is counted, and whole by then.
func (f *File) grow(kind int64) error {
	n := len(f.segments)
	if f.spoiled || n == maxSegments {
		return errSpoiled
	}
	if err := f.disk.allocate(headerBytes + int64(n+1)*segmentBytes); err != nil {
		return fmt.Errorf("growing the file: %w", err)
	}
	if err := f.mapSegment(); err != nil {
		return err
	}
	if kind == rings {
		for i := segmentWords/ringWords - 1; i >= 0; i-- {
			r := f.ring(n, i)
			r.free()
			f.freeRings = append(f.freeRings, r)
		}
	} else {
		for i := segmentWords/holdWords - 1; i >= 0; i-- {
			h := f.hold(n, i)
			h.Clear()
			f.freeHolds = append(f.freeHolds, h)
		}
	}
	f.head.commit(headTable+n, kind)
	f.head.commit(headSegments, int64(n+1))
	return nil
}

// mapSegment maps the segment after the last one.
func (f *File) mapSegment() error {
	n := len(f.segments)
	at := headerBytes + int64(n)*segmentBytes
	b, err := f.disk.mapped(at, segmentBytes)
	if err != nil {
		return err
	}
	f.segments = append(f.segments, words{asWords(b), uint64(at / 8), f.head.salt, f.head.stored})
	return nil
}

// asWords looks at mapped memory, which begins at a page, as words.
func asWords(b []byte) []uint64 { return unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), len(b)/8) }
