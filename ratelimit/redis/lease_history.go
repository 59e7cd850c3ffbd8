package redis

import "time"

// buckets is how many a history has room for: those of a window, of what counts longer, and the one of now.
const buckets = 256

// history is what this replica has used of an entity, by the bucket of its own clock. What is in a bucket
// counts for as long as it does with Redis, at least.
type history struct {
	used  *[buckets][2]int64 // nil while nothing counts
	first int64              // the oldest that counts
	now   int64              // the newest
	sum   [2]int64
}

// extra is how many buckets longer than a window a bucket counts from its beginning: until its end, until the end
// of the bucket of Redis that it falls into, and the slack of the clocks.
const extra = 3

func (h *history) advance(now time.Duration, t *times) {
	current := int64(now / t.bucket)
	if current <= h.now {
		return
	}
	h.now = current
	first := current - int64(t.window/t.bucket) - extra + 1
	if h.used != nil {
		for ; h.first < first && h.sum != [2]int64{}; h.first++ {
			old := &h.used[h.first%buckets]
			h.sum[0] -= old[0]
			h.sum[1] -= old[1]
			*old = [2]int64{}
		}
		if h.sum == [2]int64{} && h.first < first {
			h.used = nil
		}
	}
	h.first = max(h.first, first)
}

// add puts what is used into the bucket of now.
func (h *history) add(used [2]int64) (bucket int64) {
	if h.used == nil {
		h.used = new([buckets][2]int64)
	}
	for d, n := range used {
		h.used[h.now%buckets][d] += n
		h.sum[d] += n
	}
	return h.now
}

// remove reports whether the bucket still counts.
func (h *history) remove(bucket int64, used [2]int64) bool {
	if h.used == nil || bucket < h.first {
		return false
	}
	for d, n := range used {
		h.used[bucket%buckets][d] -= n
		h.sum[d] -= n
	}
	return true
}

// wait is the time until so much no longer counts; negative when there is not so much.
func (h *history) wait(d int, amount int64, now time.Duration, t *times) time.Duration {
	if amount <= 0 || h.used == nil {
		return -1
	}
	for b := max(0, h.first); b <= h.now; b++ {
		if amount -= h.used[b%buckets][d]; amount <= 0 {
			return time.Duration(b+extra)*t.bucket + t.window - now
		}
	}
	return -1
}

// report is the whole history, as what Redis has to be told.
func (h *history) report() []delta {
	if h.used == nil {
		return nil
	}
	var out []delta
	for b := max(0, h.first); b <= h.now; b++ {
		if used := h.used[b%buckets]; used != [2]int64{} {
			out = append(out, delta{b, used})
		}
	}
	return out
}
