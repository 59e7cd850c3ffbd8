package spend

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/access/record"
)

// written are the bytes that some rows have on disk, and where each ends.
func written(t *testing.T, rows []record.Spend) (raw []byte, ends []int) {
	t.Helper()
	for i := range rows {
		var err error
		if raw, err = appendLine(raw, &rows[i]); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(raw))
	}
	return raw, ends
}

// replay has an outbox take over a folder with one file.
func replay(t *testing.T, raw []byte) (got []record.Spend, lost int64) {
	t.Helper()
	dir, db := t.TempDir(), newDatabase()
	if err := os.WriteFile(filepath.Join(dir, nameOf(7)), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	o := mustOpen(t, Options{Dir: dir, Writer: db}, small())
	mustClose(t, o)
	if left := files(t, dir); left != nil {
		t.Errorf("left on disk: %v", left)
	}
	return db.have(), o.Lost()
}

func TestAFileCutAtAnyByteGivesTheRowsThatAreWhole(t *testing.T) {
	rows := rowsOf(0, 3)
	raw, ends := written(t, rows)
	for cut := range len(raw) + 1 {
		whole, rest := 0, int64(0)
		for i, end := range ends {
			if cut >= end-1 { // its own end of the line may be missing
				whole = i + 1
			}
		}
		if last := append([]int{0}, ends...)[whole]; cut > last {
			rest = 1
		}
		got, lost := replay(t, raw[:cut])
		if diff := cmp.Diff(rows[:whole], got); diff != "" {
			t.Fatalf("cut after %d bytes: %s", cut, diff)
		}
		if lost != rest {
			t.Fatalf("cut after %d bytes: %d lost, want %d", cut, lost, rest)
		}
	}
}

// TestAnyBrokenByteCostsOneRow, or two where it is the end of a line; and none comes that was not written.
func TestAnyBrokenByteCostsOneRow(t *testing.T) {
	rows := rowsOf(0, 3)
	raw, _ := written(t, rows)
	for at := range raw {
		broken := []byte(string(raw))
		broken[at] ^= 0x15
		got, lost := replay(t, broken)
		if lost < 1 || lost > 2 || len(got) < 1 {
			t.Fatalf("byte %d: %d rows, %d lost", at, len(got), lost)
		}
		for _, r := range got {
			if diff := cmp.Diff(rows[r.Prompt], r); diff != "" {
				t.Fatalf("byte %d: %s", at, diff)
			}
		}
	}
}

// story is what happens to the processes that use a folder one after another.
type story struct {
	processes []process
	answers   uint64 // the database's
}

type process struct {
	sizes sizes
	steps []step
	// last rows are added just before the process is killed; begun says that they are being written then, and cut which
	// part of that the disk has.
	last  int
	begun bool
	cut   float64
}

type step struct {
	rows  int
	after time.Duration
}

func drawStory(r *rapid.T) (s story) {
	for range rapid.IntRange(1, 4).Draw(r, "processes") {
		p := process{
			sizes: drawSizes(r), last: rapid.IntRange(0, 5).Draw(r, "last"),
			begun: rapid.Bool().Draw(r, "begun"), cut: rapid.Float64Range(0, 1).Draw(r, "cut"),
		}
		for range rapid.IntRange(0, 12).Draw(r, "steps") {
			after := time.Duration(rapid.IntRange(0, 300).Draw(r, "ms")) * time.Millisecond
			p.steps = append(p.steps, step{rapid.IntRange(0, 12).Draw(r, "rows"), after})
		}
		s.processes = append(s.processes, p)
	}
	s.answers = rapid.Uint64().Draw(r, "answers")
	return s
}

func drawSizes(r *rapid.T) sizes {
	s := usual()
	s.segment = rapid.Int64Range(1, 5000).Draw(r, "segment")
	s.window = rapid.IntRange(1, 20).Draw(r, "window")
	s.batch = rapid.IntRange(1, 10).Draw(r, "batch")
	return s
}

// TestNoRowIsLostOrInvented has processes that are killed at any moment, while they write too, and databases that are
// down, or whose answers are lost.
func TestNoRowIsLostOrInvented(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp("", "spend")
		if err != nil {
			r.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s, problem := drawStory(r), ""
		synctest.Test(t, func(t *testing.T) { problem = s.live(t, dir) })
		if problem != "" {
			r.Fatal(problem)
		}
	})
}

// live returns what is wrong.
func (s story) live(t *testing.T, dir string) string {
	db, next := newDatabase(), 0
	random := rand.New(rand.NewPCG(s.answers, 1))
	db.fail = func(int) (error, bool) {
		if n := random.IntN(6); n < 3 {
			return errDown, n == 0
		}
		return nil, false
	}
	var safe []record.Spend // what must arrive
	var cuts int64          // lines that the ends of earlier processes may have cut
	for _, p := range s.processes {
		o := mustOpen(t, Options{Dir: dir, Writer: db}, p.sizes)
		for _, step := range p.steps {
			o.Add(rowsOf(next, step.rows)...)
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			safe = append(safe, rowsOf(next, step.rows)...)
			next += step.rows
			time.Sleep(step.after)
		}
		o.Add(rowsOf(next, p.last)...)
		next += p.last
		p.die(t, o)
		if lost := o.Lost(); lost > cuts {
			return fmt.Sprintf("%d rows lost", lost)
		}
		if p.begun {
			cuts++
		}
	}
	db.fail = nil
	mustClose(t, mustOpen(t, Options{Dir: dir, Writer: db}, small()))
	for _, row := range safe {
		if diff := cmp.Diff(row, db.rows[row.ID]); diff != "" {
			return "a row is lost or has changed: " + diff
		}
	}
	for _, row := range db.rows {
		if diff := cmp.Diff(rowOf(int(row.Prompt)), row); diff != "" || row.Prompt >= int64(next) {
			return "a row is invented: " + diff
		}
	}
	if left := files(t, dir); left != nil {
		return fmt.Sprintf("left on disk: %v", left)
	}
	return ""
}

// die kills the process. Of the last write the disk has a part; what was there before stays.
func (p *process) die(t *testing.T, o *Outbox) {
	if !p.begun {
		o.kill()
		return
	}
	before := o.segments()
	time.Sleep(2 * time.Millisecond)
	synctest.Wait()
	o.kill()
	after := o.segments()
	if len(after) == 0 {
		return
	}
	last, from := after[len(after)-1], int64(0)
	for _, s := range before {
		if s.number == last.number {
			from = s.size
		}
	}
	if err := os.Truncate(o.queue.journal.path(last.number), from+int64(p.cut*float64(last.size-from))); err != nil {
		t.Fatal(err)
	}
}

// addForEver is a process that adds rows to an outbox whose database is down, and tells those that are on disk.
func addForEver(dir string) {
	db := newDatabase()
	db.fail = down
	o, err := open(Options{Dir: dir, Writer: db}, small())
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		o.Add(rowOf(i))
		for o.Unsaved() > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		fmt.Println(i)
	}
}

func TestRowsOutlastAProcessThatIsKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NESTOR_TEST_SPEND_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := -1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if told, err = strconv.Atoi(strings.TrimSpace(lines.Text())); err != nil {
			t.Fatal(err)
		}
		if told == 200 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Wait()
	db := newDatabase()
	o := mustOpen(t, Options{Dir: dir, Writer: db}, usual())
	mustClose(t, o)
	got := db.have()
	if len(got) < told+1 || told < 200 {
		t.Fatalf("%d rows of %d", len(got), told+1)
	}
	if diff := cmp.Diff(rowsOf(0, len(got)), got); diff != "" {
		t.Error(diff)
	}
}
