package share

import (
	"math"
	"slices"
)

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

// sums is a tree of sums over numbers. A fork shares the blocks that it has not written to with what it was made from,
// a block being the numbers under one sum.
type sums struct {
	shape *shape
	// tree is nil where there are no numbers.
	tree []float64
	// own are the blocks of a fork, by where they start in tree.
	own map[int32][]float64
}

func newSums(s *shape) sums { return sums{shape: s, tree: make([]float64, s.size)} }

// fork returns sums that change apart from s, which must not change any more.
func (s *sums) fork() sums {
	if s.tree == nil {
		return sums{}
	}
	return sums{shape: s.shape, tree: s.merged(), own: map[int32][]float64{}}
}

// merged is the tree with the own blocks in their places, not to be changed.
func (s *sums) merged() []float64 {
	if len(s.own) == 0 {
		return s.tree
	}
	tree := slices.Clone(s.tree)
	for at, block := range s.own {
		copy(tree[at:], block)
	}
	return tree
}

// under is the numbers that the i-th sum of the level above is over, to read.
func (s *sums) under(level int, i int32) []float64 {
	lo := s.shape.first[level] + i*fan
	if s.own != nil {
		if block, written := s.own[lo]; written {
			return block
		}
	}
	return s.tree[lo:min(lo+fan, s.shape.end(level))]
}

// owned is under, to write.
func (s *sums) owned(level int, i int32) []float64 {
	block := s.under(level, i)
	if s.own == nil {
		return block
	}
	lo := s.shape.first[level] + i*fan
	if _, written := s.own[lo]; !written {
		block = slices.Clone(block)
		s.own[lo] = block
	}
	return block
}

// whole is the sum of all numbers.
func (s *sums) whole() float64 { return s.under(0, 0)[0] }

// number is the i-th.
func (s *sums) number(i int32) float64 { return s.under(len(s.shape.first)-1, i/fan)[i%fan] }

// numbers are all of them, to be changed only before sumUp.
func (s *sums) numbers() []float64 { return s.merged()[s.shape.first[len(s.shape.first)-1]:] }

func (s *sums) set(i int32, v float64) {
	for level := len(s.shape.first) - 1; level >= 0; level-- {
		block := s.owned(level, i/fan)
		block[i%fan] = v
		v, i = sum(block), i/fan
	}
}

// sumUp makes all sums from the numbers.
func (s *sums) sumUp() {
	for level := len(s.shape.first) - 1; level > 0; level-- {
		for i := range s.shape.first[level] - s.shape.first[level-1] {
			s.tree[s.shape.first[level-1]+i] = sum(s.under(level, i))
		}
	}
}

// find returns the number at which the running sum passes x, and what of x is left inside it.
// The whole must be positive and x not negative; whatever rounding does, the number found is positive.
func (s *sums) find(x float64) (i int32, rest float64) {
	for level := 1; level < len(s.shape.first); level++ {
		var k int
		k, x = choose(s.under(level, i), x)
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
