package known

// Nearest returns the name that a user most likely meant, or "" when none is near.
// Near is at most two edits away, one for names of up to three letters.
func Nearest(word string, names []string) string {
	best, bestDistance := "", 3
	for _, name := range names {
		if gap := len(name) - len(word); gap >= bestDistance || -gap >= bestDistance {
			continue
		}
		d := distance(word, name)
		if shorter := min(len(word), len(name)); shorter <= 3 && d > 1 || d >= shorter {
			continue
		}
		if d < bestDistance || d == bestDistance && name < best {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the edits between two words: a letter inserted, left out or changed,
// or two neighbours swapped (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
