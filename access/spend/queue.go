package spend

import (
	"bytes"
	"errors"
	"sync"

	"github.com/nestor-gateway/nestor/access/record"
)

// errMemory is why a row is lost that is not on disk: there are others before it that wait there.
var errMemory = errors.New("there is no room in memory")

// queue is rows in the order in which they came: first those of the window, then those that only the journal has.
type queue struct {
	mu      sync.Mutex
	journal *journal
	window  []entry
	room    int
	// behind says that the journal goes on at read, with about unread lines; else the window ends where it ends.
	behind bool
	read   place
	unread int64
	// own is the first file of this process; an earlier one left those before it.
	own uint64
}

type entry struct {
	row record.Spend
	// end is where the journal goes on, at the last row of those that were written or read together.
	end place
	// loose rows are in memory alone.
	loose bool
	// inherited rows are of an earlier process.
	inherited bool
}

func newQueue(j *journal, room int, lines int64) *queue {
	return &queue{journal: j, room: room, behind: lines > 0, read: j.start(), unread: lines, own: j.next}
}

// put appends rows and their lines. What the journal does not take may still have room in the window;
// ready is how many rows that then has, kept whether the new ones are among all there are.
func (q *queue) put(rows []record.Spend, lines []byte) (ready int, kept bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	err = q.journal.append(lines, len(rows))
	fits := !q.behind && len(q.window)+len(rows) <= q.room
	switch {
	case fits:
		q.extend(rows, err != nil)
	case err != nil:
		return len(q.window), false, errors.Join(err, errMemory)
	default:
		q.behind = true
		q.unread += int64(len(rows))
	}
	return len(q.window), true, err
}

func (q *queue) extend(rows []record.Spend, loose bool) {
	for _, r := range rows {
		q.window = append(q.window, entry{row: r, loose: loose})
	}
	if !loose {
		q.read = q.journal.end()
		q.window[len(q.window)-1].end = q.read
	}
}

// fill returns how many rows are in the window, once the journal was read for enough of them if it has them, and how many
// of its lines were no rows.
func (q *queue) fill(enough int) (ready, broken int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.window) < enough && q.behind {
		lines, to, err := q.journal.read(q.read)
		if err != nil {
			return len(q.window), broken, err
		}
		broken += q.parse(lines, to)
		if q.behind = to != q.journal.end(); !q.behind {
			q.unread = 0
		}
	}
	return len(q.window), broken, nil
}

// parse fills the window with the rows of lines, and returns how many are none.
func (q *queue) parse(lines []byte, to place) (broken int) {
	for line := range bytes.Lines(lines) {
		q.unread--
		row, ok := parseLine(bytes.TrimSuffix(line, []byte{'\n'}))
		if !ok {
			broken++
			continue
		}
		q.window = append(q.window, entry{row: row, inherited: to.file < q.own})
	}
	q.read = to
	if n := len(q.window); n > 0 {
		q.window[n-1].end = to
	}
	return broken
}

// first copies the first rows of the window, most of them at most.
func (q *queue) first(most int) []record.Spend {
	q.mu.Lock()
	defer q.mu.Unlock()
	rows := make([]record.Spend, min(most, len(q.window)))
	for i := range rows {
		rows[i] = q.window[i].row
	}
	return rows
}

// inherited are those of the first n rows that an earlier process left.
func (q *queue) inherited(n int) (rows []record.Spend) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.window[:n] {
		if e.inherited {
			rows = append(rows, e.row)
		}
	}
	return rows
}

// drop forgets the first rows, which the database has, and files that held nothing else.
func (q *queue) drop(n int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var end place
	for _, e := range q.window[:n] {
		if e.end != (place{}) {
			end = e.end
		}
	}
	clear(q.window[:n])
	q.window = q.window[n:]
	if len(q.window) == 0 {
		q.window = nil
	}
	return q.journal.release(end)
}

// setAside gives up the file that can't be read.
func (q *queue) setAside() (lines int64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	file := q.journal.at(q.read)
	lines, err = q.journal.setAside(file)
	q.read = place{file: file + 1}
	q.unread = max(q.unread-lines, 0)
	return lines, err
}

// waiting is how many rows there are.
func (q *queue) waiting() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(len(q.window)) + max(q.unread, 0)
}

// loose is how many rows are in memory alone.
func (q *queue) loose() (n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.window {
		if q.window[i].loose {
			n++
		}
	}
	return n
}

// close returns how many rows go with the process.
func (q *queue) close() (loose int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.window[:0]
	for _, e := range q.window {
		if e.loose {
			loose++
			continue
		}
		kept = append(kept, e)
	}
	q.window = kept
	err = q.journal.seal()
	if len(kept) == 0 && !q.behind {
		err = errors.Join(err, q.journal.release(q.journal.end()))
	}
	return loose, err
}
