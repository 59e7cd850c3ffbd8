package reading

// maxEdits is how far a mistyped name may be from the one that was meant.
const maxEdits = 2

// Nearest returns the name that a user most likely meant, or "" when none is near.
func Nearest(word string, names []string) string {
	best, least := "", min(maxEdits, len(word)/2)+1
	for _, name := range names {
		if gap := len(name) - len(word); gap >= least || -gap >= least || name == word {
			continue
		}
		if d := edits(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// edits counts the letters to insert, leave out or change to make one word of the other.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
