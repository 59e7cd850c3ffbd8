package share

import "math"

// fan is how many numbers one sum is over. 16 keeps a tree of 10,000 four levels deep
// and the numbers under one sum in two cache lines.
const fan = 16

// shape is where the levels of a tree of sums over n numbers start, from the root at 0 to the numbers themselves.
// A sum is always made anew from the numbers under it, so that it never drifts.
type shape struct {
	first []int32
	size  int32 // of the whole tree
}

func newShape(n int) *shape {
	sizes := []int{n}
	for n > 1 {
		n = (n + fan - 1) / fan
		sizes = append(sizes, n)
	}
	s := &shape{}
	for i := len(sizes) - 1; i >= 0; i-- {
		s.first = append(s.first, s.size)
		s.size += int32(sizes[i])
	}
	return s
}

// end is where a level ends.
func (s *shape) end(level int) int32 {
	if level+1 < len(s.first) {
		return s.first[level+1]
	}
	return s.size
}

// leaves is the level of the numbers themselves.
func (s *shape) leaves(sums []float64) []float64 { return sums[s.first[len(s.first)-1]:] }

// under is the numbers that the i-th sum of the level above is over.
func (s *shape) under(sums []float64, level int, i int32) []float64 {
	lo := s.first[level] + i*fan
	return sums[lo:min(lo+fan, s.end(level))]
}

func (s *shape) set(sums []float64, i int32, v float64) {
	level := len(s.first) - 1
	sums[s.first[level]+i] = v
	for ; level > 0; level-- {
		i /= fan
		sums[s.first[level-1]+i] = sum(s.under(sums, level, i))
	}
}

// fill makes all sums from the numbers.
func (s *shape) fill(sums []float64) {
	for level := len(s.first) - 1; level > 0; level-- {
		for i := range s.first[level] - s.first[level-1] {
			sums[s.first[level-1]+i] = sum(s.under(sums, level, i))
		}
	}
}

// find returns the number at which the running sum passes x, and what of x is left inside it.
// The root must be positive and x not negative; whatever rounding does, the number found is positive.
func (s *shape) find(sums []float64, x float64) (i int32, rest float64) {
	for level := 1; level < len(s.first); level++ {
		var k int
		k, x = choose(s.under(sums, level, i), x)
		i = i*fan + int32(k)
	}
	return i, x
}

func choose(numbers []float64, x float64) (int, float64) {
	last, rest := 0, 0.0
	for k, v := range numbers {
		if v <= 0 {
			continue
		}
		if x < v {
			return k, x
		}
		last, rest = k, math.Nextafter(v, 0)
		x -= v
	}
	return last, rest
}

func sum(numbers []float64) float64 {
	total := 0.0
	for _, v := range numbers {
		total += v
	}
	return total
}
