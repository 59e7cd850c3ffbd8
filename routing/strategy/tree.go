package strategy

// fan is how many items one summary is over: 10,000 items are four levels deep.
const fan = 16

// tree keeps a summary of many items, and of every fan of them, so that a change of one costs little.
// A summary is always made anew from what is under it, so that sums never drift.
type tree[T any] struct {
	// first is where each level begins, from the root at 0 to the items.
	first []int32
	nodes []T
	sum   func(under []T) T
}

func newTree[T any](n int, sum func([]T) T) *tree[T] {
	sizes := []int{n}
	for n > 1 {
		n = (n + fan - 1) / fan
		sizes = append(sizes, n)
	}
	t := &tree[T]{sum: sum}
	size := 0
	for i := len(sizes) - 1; i >= 0; i-- {
		t.first = append(t.first, int32(size))
		size += sizes[i]
	}
	t.nodes = make([]T, size)
	return t
}

func (t *tree[T]) root() T { return t.nodes[0] }

// items is the level of the items themselves.
func (t *tree[T]) items() []T { return t.nodes[t.first[len(t.first)-1]:] }

// under is what the i-th summary of the level above is over.
func (t *tree[T]) under(level int, i int32) []T {
	end := int32(len(t.nodes))
	if level+1 < len(t.first) {
		end = t.first[level+1]
	}
	from := t.first[level] + i*fan
	return t.nodes[from:min(from+fan, end)]
}

func (t *tree[T]) set(i int32, item T) {
	t.items()[i] = item
	for level := len(t.first) - 1; level > 0; level-- {
		i /= fan
		t.nodes[t.first[level-1]+i] = t.sum(t.under(level, i))
	}
}

// fill makes all summaries from the items.
func (t *tree[T]) fill() {
	for level := len(t.first) - 1; level > 0; level-- {
		for i := range t.first[level] - t.first[level-1] {
			t.nodes[t.first[level-1]+i] = t.sum(t.under(level, i))
		}
	}
}

// descend goes down to one item; choose says which of some summaries or items to enter.
func (t *tree[T]) descend(choose func(under []T) int) int32 {
	i := int32(0)
	for level := 1; level < len(t.first); level++ {
		i = i*fan + int32(choose(t.under(level, i)))
	}
	return i
}
