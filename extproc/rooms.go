package extproc

import "sync"

// largestRoom bounds the buffers that are kept: larger bodies are rare, and would be held for nothing.
const largestRoom = 1 << 20

// rooms are buffers for rewritten bodies. A body of 100 KB in fresh memory every time would
// make the collector run every few dozen requests.
type rooms struct{ pool sync.Pool }

func (r *rooms) get() []byte {
	if room, ok := r.pool.Get().(*[]byte); ok {
		return *room
	}
	return nil
}

// put takes a buffer back that nobody reads any more.
func (r *rooms) put(room []byte) {
	if cap(room) <= largestRoom {
		r.pool.Put(&room)
	}
}
