// Package bodies bounds the memory that large request bodies take, and reuses that of small ones.
package bodies

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// large is where a body begins to count.
	large = 1 << 20
	// admissionWait stays under the filter's message_timeout of 5 s.
	admissionWait = 4 * time.Second
	// largestKept bounds the buffers that are kept: larger bodies are rare, and would be held for nothing.
	largestKept = 1 << 20
)

// Memory is what bodies take. It is safe for concurrent use.
type Memory struct {
	size  int64
	large *semaphore.Weighted
	// spare are buffers for rewritten bodies. A body of 100 KB in fresh memory every time would
	// make the collector run every few dozen requests.
	spare sync.Pool
}

// New returns room for some bytes of large bodies at once.
func New(size int64) *Memory {
	return &Memory{size: size, large: semaphore.NewWeighted(size)}
}

// Admit holds a request with a large body back until there is room for it, for 4 s at most; false when there was
// none. A body of unknown length, as its content-length header has it, counts as large. held is what is to be
// released at the end.
func (m *Memory) Admit(ctx context.Context, contentLength string) (held int64, ok bool) {
	size := int64(large)
	if n, err := strconv.ParseInt(contentLength, 10, 64); err == nil {
		size = n
	}
	if size < large {
		return 0, true
	}
	size = min(size, m.size)
	if m.large.TryAcquire(size) { // without the timer that waiting needs
		return size, true
	}
	ctx, cancel := context.WithTimeout(ctx, admissionWait)
	defer cancel()
	if m.large.Acquire(ctx, size) != nil {
		return 0, false
	}
	return size, true
}

// AdmitRest counts what a body of unknown length turned out to be more, and returns what is held now. It does not
// wait: the body is here already.
func (m *Memory) AdmitRest(held int64, length int) (int64, bool) {
	size := min(int64(length), m.size)
	if size < large || size <= held {
		return held, true
	}
	if !m.large.TryAcquire(size - held) {
		return held, false
	}
	return size, true
}

// Release ends what Admit and AdmitRest hold.
func (m *Memory) Release(held int64) { m.large.Release(held) }

// Buffer returns room for a body: nil, or a spare buffer whose length says nothing.
func (m *Memory) Buffer() []byte {
	if b, ok := m.spare.Get().(*[]byte); ok {
		return *b
	}
	return nil
}

// Reuse takes a buffer back that nobody reads any more.
func (m *Memory) Reuse(buffer []byte) {
	if cap(buffer) <= largestKept {
		m.spare.Put(&buffer)
	}
}
