package estimate

import "math"

const (
	// perOctave is how many buckets a doubling has: a quantile is exact to 9 %.
	perOctave = 8
	// octaves from 1 on: the largest value is some 2 million.
	octaves = 21
	// growth makes every sample weigh that much more than the one before it, so that some 200 count.
	growth = 1.005
	// heaviest is where the weights are brought down again, long before float32 becomes coarse.
	heaviest = 1e6
)

// histogram remembers the sizes of recent samples; older ones fade.
type histogram struct {
	weights [perOctave * octaves]float32
	total   float64
	next    float64 // the weight of the next sample
}

// startAt gives a histogram that has seen n samples of a size.
func startAt(size float64, n int) *histogram {
	h := &histogram{next: 1}
	for range n {
		h.add(size)
	}
	return h
}

func (h *histogram) add(size float64) {
	bucket := int(perOctave * math.Log2(max(size, 1)))
	h.weights[min(bucket, len(h.weights)-1)] += float32(h.next)
	h.total += h.next
	if h.next *= growth; h.next > heaviest {
		h.lighten()
	}
}

func (h *histogram) lighten() {
	h.total = 0
	for i := range h.weights {
		h.weights[i] /= heaviest
		h.total += float64(h.weights[i])
	}
	h.next /= heaviest
}

// above is the upper end of the bucket that q of the weight lies in or below.
func (h *histogram) above(q float64) float64 {
	return math.Exp2(float64(h.find(q)+1) / perOctave)
}

// below is the lower end of that bucket.
func (h *histogram) below(q float64) float64 {
	return math.Exp2(float64(h.find(q)) / perOctave)
}

func (h *histogram) find(q float64) int {
	left := q * h.total
	for i, w := range h.weights {
		if left -= float64(w); left <= 0 {
			return i
		}
	}
	return len(h.weights) - 1
}
