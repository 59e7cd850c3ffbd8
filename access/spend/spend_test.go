package spend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/nestor-gateway/nestor/access/record"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("NESTOR_TEST_SPEND_DIR"); dir != "" {
		addForEver(dir)
	}
	goleak.VerifyTestMain(m)
}

// rowOf is a row with something in every field, other than that of another number.
func rowOf(i int) record.Spend {
	id := fmt.Sprintf("attempt-%06d", i)
	return record.Spend{
		ID: id, RequestID: "r-" + id, Start: time.Unix(1_700_000_000, int64(i)).UTC(), Duration: time.Second, FirstToken: time.Millisecond,
		Token: "t", TeamID: "team", UserID: "user", EndUser: "end\nüser", Model: "fast", Group: "fast", Path: []string{"fast", "b"},
		Deployment: "d", Provider: "openai", ProviderModel: "m", APIBase: "https://api.example/v1", Prompt: int64(i), Completion: 2,
		Total: 3, Cached: 1, Reasoning: 1, Cost: record.Nano(i), Status: 200, Outcome: "success", Attempts: 2, Stream: true,
		Accounts: []string{"key:t", "team:team"}, Tags: []string{"a"}, Endpoint: "/v1/chat/completions",
	}
}

func rowsOf(from, n int) []record.Spend {
	rows := make([]record.Spend, n)
	for i := range rows {
		rows[i] = rowOf(from + i)
	}
	return rows
}

// database takes rows as one does: once by their ID.
type database struct {
	mu    sync.Mutex
	rows  map[string]record.Spend
	calls [][]string
	// charged are the costs that came before their rows.
	charged []record.Nano
	// fail decides about a call; it may say that the rows are written and the answer is lost.
	fail func(call int) (err error, written bool)
}

func (d *database) WriteSpend(ctx context.Context, rows []record.Spend) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	d.calls = append(d.calls, ids)
	if d.fail != nil {
		if err, written := d.fail(len(d.calls)); err != nil && !written {
			return err
		} else if err != nil {
			d.keep(rows)
			return err
		}
	}
	d.keep(rows)
	return ctx.Err()
}

func (d *database) Charge(_ []string, cost record.Nano) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, there := d.rows[rowOf(int(cost)).ID]; !there {
		d.charged = append(d.charged, cost)
	}
}

func (d *database) keep(rows []record.Spend) {
	for _, r := range rows {
		if _, there := d.rows[r.ID]; !there {
			d.rows[r.ID] = r
		}
	}
}

func (d *database) have() []record.Spend {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]record.Spend, 0, len(d.rows))
	for _, r := range d.rows {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b record.Spend) int { return int(a.Start.Sub(b.Start)) })
	return out
}

func newDatabase() *database { return &database{rows: map[string]record.Spend{}} }

var errDown = errors.New("the database is down")

func down(int) (error, bool) { return errDown, false }

// small sizes make files, windows and batches matter with few rows.
func small() sizes {
	s := usual()
	s.segment, s.window, s.batch = 2000, 8, 5
	return s
}

func mustOpen(t *testing.T, o Options, s sizes) *Outbox {
	t.Helper()
	out, err := open(o, s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mustClose(t *testing.T, o *Outbox) {
	t.Helper()
	if err := o.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// kill ends the outbox as the end of the process would: nothing more is written or removed.
func (o *Outbox) kill() {
	o.mu.Lock()
	o.closed, o.pending = true, nil
	o.mu.Unlock()
	o.cancel()
	wake(o.added)
	<-o.flushed
	<-o.done
	o.queue.journal.seal()
	o.lock.Close()
}

// segments are the files of the journal as they are now.
func (o *Outbox) segments() []segment {
	o.queue.mu.Lock()
	defer o.queue.mu.Unlock()
	return slices.Clone(o.queue.journal.files)
}

// asked are the rows of each call.
func (d *database) asked() [][]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// recover ends failing.
func (d *database) recover() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = nil
}

// files are what is left in a folder, but for the lock.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestRowsReachTheDatabaseWhole(t *testing.T) {
	db, dir := newDatabase(), t.TempDir()
	o := mustOpen(t, Options{Dir: dir, Writer: db}, small())
	for i := range 100 {
		o.Add(rowOf(i))
	}
	mustClose(t, o)
	if diff := cmp.Diff(rowsOf(0, 100), db.have()); diff != "" {
		t.Error(diff)
	}
	if left := files(t, dir); left != nil {
		t.Errorf("left on disk: %v", left)
	}
	if got := [3]int64{o.Waiting(), o.Written(), o.Lost()}; got != [3]int64{0, 100, 0} {
		t.Errorf("waiting, written, lost: %v", got)
	}
}

func TestRowsAreOnDiskWithinMillisecondsAndWrittenTogetherAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, dir := newDatabase(), t.TempDir()
		o := mustOpen(t, Options{Dir: dir, Writer: db}, usual())
		defer mustClose(t, o)
		o.Add(rowOf(1))
		time.Sleep(500 * time.Microsecond)
		o.Add(rowOf(2))
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if o.segments()[0].lines != 2 {
			t.Error("the rows are not on disk")
		}
		time.Sleep(98 * time.Millisecond)
		o.Add(rowOf(3))
		synctest.Wait()
		if calls := db.asked(); len(calls) != 0 {
			t.Errorf("written early: %v", calls)
		}
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		if diff := cmp.Diff([][]string{{rowOf(1).ID, rowOf(2).ID, rowOf(3).ID}}, db.asked()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestABatchDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		o := mustOpen(t, Options{Dir: t.TempDir(), Writer: db}, usual())
		defer mustClose(t, o)
		o.Add(rowsOf(0, 1200)...)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		var sizes []int
		for _, ids := range db.asked() {
			sizes = append(sizes, len(ids))
		}
		if diff := cmp.Diff([]int{500, 500}, sizes); diff != "" {
			t.Error(diff)
		}
	})
}

func TestMoreRowsAtOnceThanMemoryHasRoomForDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		o := mustOpen(t, Options{Dir: t.TempDir(), Writer: db}, small())
		o.Add(rowsOf(0, 100)...)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if diff := cmp.Diff(rowsOf(0, 100), db.have()); diff != "" {
			t.Error(diff)
		}
		mustClose(t, o)
	})
}

func TestADatabaseThatIsDownIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, start := newDatabase(), time.Now()
		var asked []time.Duration
		db.fail = func(call int) (error, bool) {
			asked = append(asked, time.Since(start).Round(100*time.Millisecond))
			if call < 9 {
				return errDown, false
			}
			return nil, false
		}
		o := mustOpen(t, Options{Dir: t.TempDir(), Writer: db}, usual())
		o.Add(rowOf(1))
		time.Sleep(time.Minute)
		mustClose(t, o)
		ms := func(n int) time.Duration { return time.Duration(n) * 100 * time.Millisecond }
		if diff := cmp.Diff([]time.Duration{ms(1), ms(2), ms(4), ms(8), ms(16), ms(32), ms(64), ms(114), ms(164)}, asked); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(rowsOf(1, 1), db.have()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRowsThatMemoryHasNoRoomForWaitOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, dir := newDatabase(), t.TempDir()
		db.fail = down
		o := mustOpen(t, Options{Dir: dir, Writer: db}, small())
		for i := range 300 {
			o.Add(rowOf(i))
			time.Sleep(2 * time.Millisecond)
		}
		synctest.Wait()
		o.queue.mu.Lock()
		if n := len(o.queue.window); n > small().window {
			t.Errorf("%d rows in memory", n)
		}
		o.queue.mu.Unlock()
		if n := o.Waiting(); n != 300 {
			t.Errorf("%d rows wait", n)
		}
		db.recover()
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff(rowsOf(0, 300), db.have()); diff != "" {
			t.Error(diff)
		}
		if n := len(files(t, dir)); n > 1 {
			t.Errorf("%d files are left", n)
		}
		mustClose(t, o)
	})
}

func TestWhatIsLeftAtTheEndIsWrittenByTheNextProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, dir := newDatabase(), t.TempDir()
		db.fail = down
		o := mustOpen(t, Options{Dir: dir, Writer: db}, small())
		o.Add(rowsOf(0, 20)...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want := fmt.Sprintf("20 rows of spend are not in the database yet: they wait in %s for the next start", dir)
		if err := o.Close(ctx); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		o.Add(rowOf(99)) // too late
		if n := o.Lost(); n != 1 {
			t.Errorf("%d rows lost", n)
		}
		next := newDatabase()
		next.fail = func(call int) (error, bool) { return errDown, call > 1 } // rows come again
		o = mustOpen(t, Options{Dir: dir, Writer: next}, small())
		if n := o.Waiting(); n != 20 {
			t.Errorf("%d rows wait", n)
		}
		o.Add(rowsOf(20, 20)...) // more than there is room for: they are read from disk, too
		time.Sleep(time.Second)
		next.recover()
		mustClose(t, o)
		if diff := cmp.Diff(rowsOf(0, 40), next.have()); diff != "" {
			t.Error(diff)
		}
		var left []record.Nano
		for _, r := range rowsOf(0, 20) {
			left = append(left, r.Cost)
		}
		if diff := cmp.Diff(left, next.charged); diff != "" {
			t.Errorf("charged before they were written, once: %s", diff)
		}
	})
}

func TestTwoProcessesDoNotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	o := mustOpen(t, Options{Dir: dir, Writer: newDatabase()}, small())
	defer mustClose(t, o)
	want := "another process keeps its spend in " + dir + "; give this one a --data-dir of its own"
	if _, err := Open(Options{Dir: dir, Writer: newDatabase()}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestRowsBeyondTheDiskGoThroughMemoryAndBeyondThatAreLostLoudly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, dir, log := newDatabase(), t.TempDir(), &logged{}
		db.fail = down
		o := mustOpen(t, Options{Dir: dir, Writer: db, MostBytes: 2500, Log: slog.New(log)}, small())
		for i := range 30 {
			o.Add(rowOf(i))
			time.Sleep(2 * time.Millisecond)
			if n := o.Unsaved(); i == 0 && n != 0 {
				t.Errorf("%d rows are not on disk", n)
			}
		}
		if unsaved, lost := o.Unsaved(), o.Lost(); unsaved == 0 || lost == 0 {
			t.Errorf("%d rows are in memory alone, %d lost", unsaved, lost)
		}
		db.recover()
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff(rowsOf(0, 8), db.have()); diff != "" {
			t.Error(diff)
		}
		o.Add(rowsOf(30, 2)...) // there is room again
		mustClose(t, o)
		if got := [3]int64{o.Waiting(), o.Written(), o.Lost()}; got != [3]int64{0, 10, 22} {
			t.Errorf("waiting, written, lost: %v", got)
		}
		want := []string{
			"spend waits in memory alone: the disk does not take it", "spend is lost: neither disk nor database took it",
			"spend can't be written: it waits", "spend is written again",
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, log.messages()); diff != "" {
			t.Error(diff)
		}
	})
}

// logged keeps what is said.
type logged struct {
	slog.Handler
	mu   sync.Mutex
	said []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, r.Message)
	return nil
}

func (l *logged) messages() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.said))
}

func TestAFileThatCannotBeReadIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, dir := newDatabase(), t.TempDir()
		db.fail = down
		o := mustOpen(t, Options{Dir: dir, Writer: db}, small())
		for i := range 40 {
			o.Add(rowOf(i))
			time.Sleep(2 * time.Millisecond)
		}
		synctest.Wait()
		o.kill()
		names := files(t, dir)
		next := newDatabase()
		next.fail = func(call int) (error, bool) {
			if call == 1 {
				os.Truncate(filepath.Join(dir, names[2]), 10)
			}
			return nil, false
		}
		o = mustOpen(t, Options{Dir: dir, Writer: next}, small())
		inThird := o.segments()[2].lines
		time.Sleep(time.Minute)
		mustClose(t, o)
		if got, want := o.Lost(), inThird; got != want {
			t.Errorf("%d rows lost, want %d", got, want)
		}
		if got, want := len(next.have()), 40-int(inThird); got != want {
			t.Errorf("%d rows written, want %d", got, want)
		}
		if diff := cmp.Diff([]string{names[2] + ".unreadable"}, files(t, dir)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNamesOfOtherFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	others := []string{"000000000000.rows", "1.rows", "00000000000x.rows", "000000000001.rows.unreadable", "notes"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := mustOpen(t, Options{Dir: dir, Writer: newDatabase()}, small())
	o.Add(rowOf(1))
	mustClose(t, o)
	slices.Sort(others)
	if diff := cmp.Diff(others, files(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestTextThatADatabaseRefusesIsTidied(t *testing.T) {
	row := rowOf(1)
	long := make([]byte, 3000)
	for i := range long {
		long[i] = 'x'
	}
	list := []string{"fine", "a\x00b"}
	row.EndUser, row.Model, row.Tags = "a\x00\xffb", string(long), list
	row.Accounts = []string{"team:" + string(long)} // as it was charged
	want := row
	want.EndUser, want.Model, want.Tags = "ab", string(long[:mostText]), []string{"fine", "ab"}
	if diff := cmp.Diff(want, tidy(row)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"fine", "a\x00b"}, list); diff != "" {
		t.Errorf("the caller's list has changed: %s", diff)
	}
}

func TestAFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(file, "x"), Writer: newDatabase()}); err == nil || !errors.As(err, new(*fs.PathError)) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkAdd(b *testing.B) {
	o, err := Open(Options{Dir: b.TempDir(), Writer: newDatabase()})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close(context.Background())
	row := rowOf(rand.Int())
	for b.Loop() {
		o.Add(row)
		for o.Waiting() > 10_000 {
			time.Sleep(time.Millisecond)
		}
	}
	b.ReportMetric(float64(o.Lost()), "lost")
}
