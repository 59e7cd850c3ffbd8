package ratelimit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/journal"
	"github.com/nestor-gateway/nestor/ratelimit/limitertest"
)

const none = ratelimit.None

// A keeper opens stores on one file and one clock, one after the other.
type keeper struct {
	*testing.T
	path  string
	life  time.Duration // Options.Life
	clock *limitertest.Clock
	warns []string
	*ratelimit.Memory
	entities []ratelimit.Entity
	ids      byte
}

// newKeeper has opened a file in which nothing was used, with limits in force.
func newKeeper(t *testing.T, most ...ratelimit.Amounts) *keeper {
	k := &keeper{T: t, path: filepath.Join(t.TempDir(), "limits"), clock: limitertest.NewClock()}
	k.open(true, most...)
	if len(k.warns) != 0 {
		t.Fatalf("a fresh store warns of %q", k.warns)
	}
	return k
}

func (k *keeper) open(fresh bool, most ...ratelimit.Amounts) {
	k.Helper()
	k.warns = nil
	m, err := ratelimit.OpenMemory(ratelimit.Options{
		Now: k.clock.Now, File: k.path, Fresh: fresh, Life: k.life, Warn: func(s string) { k.warns = append(k.warns, s) }})
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { m.Close() })
	var limits []ratelimit.Limit
	for i := range most {
		limits = append(limits, ratelimit.Limit{Name: "group:" + string(rune('a'+i)), Most: most[i]})
	}
	k.Memory, k.entities = m, m.Declare(limits)
}

// reopen is what a restart does.
func (k *keeper) reopen(most ...ratelimit.Amounts) {
	k.Helper()
	if err := k.Close(); err != nil {
		k.Fatal(err)
	}
	k.open(false, most...)
}

func (k *keeper) reserve(amounts ratelimit.Amounts, entities ...ratelimit.Entity) (ratelimit.ID, *ratelimit.Denial) {
	k.ids++
	id := ratelimit.ID{k.ids}
	_, denial := k.Reserve(context.Background(), &ratelimit.Reservation{
		ID: id, Amounts: amounts, Entities: entities, Life: 5 * time.Minute})
	return id, denial
}

func (k *keeper) admitted(amounts ratelimit.Amounts, entities ...ratelimit.Entity) ratelimit.ID {
	k.Helper()
	id, denial := k.reserve(amounts, entities...)
	if denial != nil {
		k.Fatalf("%v is denied: %+v", amounts, denial)
	}
	return id
}

func (k *keeper) denied(amounts ratelimit.Amounts, entities ...ratelimit.Entity) *ratelimit.Denial {
	k.Helper()
	_, denial := k.reserve(amounts, entities...)
	if denial == nil {
		k.Fatalf("%v is admitted", amounts)
	}
	return denial
}

func TestKeptMemory(t *testing.T) {
	limitertest.Suite{
		Open: func(t *testing.T, clock *limitertest.Clock) limitertest.Store {
			m, err := ratelimit.OpenMemory(ratelimit.Options{Now: clock.Now, Fresh: true, File: filepath.Join(t.TempDir(), "limits")})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			return m
		},
		Slack: ratelimit.Window / 120,
	}.Run(t)
}

func TestRestartKeepsEverything(t *testing.T) {
	most := []ratelimit.Amounts{{10, 1000, 3}, {20, none, none}}
	k := newKeeper(t, most...)
	first := k.admitted(ratelimit.Amounts{1, 300, 1}, k.entities...)
	k.clock.Advance(10 * time.Second)
	second := k.admitted(ratelimit.Amounts{1, 200, 1}, k.entities...)
	k.admitted(ratelimit.Amounts{1, 100, 1}, k.entities...)
	k.Settle(second, ratelimit.Amounts{1, 250})
	k.clock.Advance(10 * time.Second)

	k.reopen(most...)
	if len(k.warns) != 0 {
		t.Fatalf("a good file warns of %q", k.warns)
	}
	for i, want := range []ratelimit.Amounts{{3, 650, 2}, {3, 650, 2}} {
		if got := k.Usage(k.entities[i]).Used; got != want {
			t.Fatalf("entity %d uses %v, want %v", i, got, want)
		}
	}
	if k.Settle(second, ratelimit.Amounts{1, 0}) || !k.Settle(first, ratelimit.Amounts{1, 100}) || k.Settle(first, ratelimit.Amounts{1, 0}) {
		t.Fatal("want what was held alone to be settled, once")
	}
	if got, want := k.Usage(k.entities[0]).Used, (ratelimit.Amounts{3, 450, 1}); got != want {
		t.Fatalf("used are %v, want %v", got, want)
	}

	// 40 s after its use the first one is free; the others 10 s later; the last one ends by itself.
	k.clock.Advance(40 * time.Second)
	k.reopen(most...)
	if got, want := k.Usage(k.entities[0]).Used, (ratelimit.Amounts{2, 350, 1}); got != want {
		t.Fatalf("used are %v, want %v", got, want)
	}
	k.clock.Advance(5 * time.Minute)
	k.reopen(most...)
	if got := k.Usage(k.entities[0]).Used; got != (ratelimit.Amounts{}) {
		t.Fatalf("used are %v, want nothing", got)
	}
}

// What was used without a limit counts after a restart if it got a limit before.
func TestRestartKeepsWhatGotALimit(t *testing.T) {
	k := newKeeper(t, ratelimit.Unlimited())
	id := k.admitted(ratelimit.Amounts{1, 300, 1}, k.entities...)
	limited := ratelimit.Amounts{none, 1000, 1}
	k.Declare([]ratelimit.Limit{{Name: "group:a", Most: limited}})
	k.reopen(limited)
	if got, want := k.Usage(k.entities[0]).Used, (ratelimit.Amounts{1, 300, 1}); got != want {
		t.Fatalf("used are %v, want %v", got, want)
	}
	if !k.Settle(id, ratelimit.Amounts{1, 10}) {
		t.Fatal("the reservation is gone")
	}
}

func TestRestartsOften(t *testing.T) {
	most := ratelimit.Amounts{30, none, none}
	k := newKeeper(t, most)
	admitted := 0
	for i := range 600 {
		if _, denial := k.reserve(ratelimit.Amounts{1, 10, 1}, k.entities...); denial == nil {
			admitted++
		}
		if i%2 == 0 {
			continue
		}
		if used := k.Usage(k.entities[0]).Used[ratelimit.Requests]; used > 30 {
			t.Fatalf("%d are used", used)
		}
		k.clock.Advance(time.Second)
		k.reopen(most)
	}
	if admitted < 147 {
		t.Fatalf("%d are admitted in 5 windows, want 98 %% of 150", admitted)
	}
}

// Names that come and go leave nothing in the file.
func TestFileDoesNotGrow(t *testing.T) {
	k := newKeeper(t)
	for i := range 2000 {
		e := k.Declare([]ratelimit.Limit{{Name: "deployment:" + time.Duration(i).String(), Most: ratelimit.Amounts{5, none, none}}})
		k.Settle(k.admitted(ratelimit.Amounts{1, 10, 1}, e...), ratelimit.Amounts{1, 10})
		k.clock.Advance(6 * time.Minute)
	}
	info, err := os.Stat(k.path)
	if err != nil || info.Size() > 3<<20 {
		t.Fatalf("the file is %v (%v), want 3 MiB at most", info.Size(), err)
	}
}

func TestUnusableFile(t *testing.T) {
	most := ratelimit.Amounts{5, none, none}
	cut := func(n int64) func(k *keeper) error {
		return func(k *keeper) error { return os.Truncate(k.path, n) }
	}
	write := func(at int64, what string) func(k *keeper) error {
		return func(k *keeper) error {
			f, err := os.OpenFile(k.path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte(what), at)
			return errors.Join(err, f.Close())
		}
	}
	for name, damage := range map[string]func(k *keeper) error{
		"missing":      func(k *keeper) error { return os.Remove(k.path) },
		"empty":        cut(0),
		"half header":  cut(100),
		"only header":  cut(64 << 10),
		"cut off":      cut(1 << 20),
		"other magic":  write(0, "NESTOR"),
		"version":      write(8, "\x09"),
		"boot":         write(32, "somewhere else"),
		"window":       write(64<<10+64, "garbage"),
		"empty window": write(64<<10, string(make([]byte, 4096))),
		"reservation":  write(64<<10+1<<20, "garbage"),
		"unreadable": func(k *keeper) error {
			return errors.Join(os.Remove(k.path), os.Mkdir(k.path, 0o700), os.Mkdir(k.path+"/in the way", 0o700))
		},
		"no lock": func(k *keeper) error {
			return errors.Join(os.Remove(k.path+".lock"), os.Mkdir(k.path+".lock", 0o700))
		},
	} {
		for _, fresh := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				k := newKeeper(t, most, ratelimit.Unlimited())
				for range 5 {
					k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities...)
				}
				if err := errors.Join(k.Close(), damage(k)); err != nil {
					t.Fatal(err)
				}
				k.open(fresh, most, ratelimit.Unlimited())
				if fresh && name == "missing" {
					k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities[0])
					return
				}
				if hinted := strings.Contains(strings.Join(k.warns, ""), "--fresh-limits"); hinted != (name == "missing") {
					t.Errorf("the warnings are %q: only a file that is missing may mean a first start", k.warns)
				}
				k.closedForOneWindow(most)
			})
		}
	}
}

// closedForOneWindow wants limits closed, over a restart as well, and then open again.
func (k *keeper) closedForOneWindow(most ratelimit.Amounts) {
	k.Helper()
	if len(k.warns) == 0 || !strings.Contains(k.warns[0], "admit nothing for one minute") {
		k.Fatalf("the warnings are %q", k.warns)
	}
	denial := k.denied(ratelimit.Amounts{1, 10, 1}, k.entities[0])
	if denial.RetryAfter != ratelimit.Window || !denial.Full || denial.Never {
		k.Fatalf("the denial is %+v, want full for a window", denial)
	}
	k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities[1])
	k.clock.Advance(ratelimit.Window / 2)
	k.reopen(most, ratelimit.Unlimited())
	denial = k.denied(ratelimit.Amounts{1, 10, 1}, k.entities[0])
	k.clock.Advance(denial.RetryAfter - 1)
	k.denied(ratelimit.Amounts{1, 10, 1}, k.entities[0])
	k.clock.Advance(1)
	k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities[0])
}

func TestWithoutFile(t *testing.T) {
	clock := limitertest.NewClock()
	var warned string
	m, err := ratelimit.OpenMemory(ratelimit.Options{Now: clock.Now, Warn: func(s string) { warned = s }})
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{T: t, Memory: m, clock: clock}
	k.entities = m.Declare([]ratelimit.Limit{{Name: "group:a", Most: ratelimit.Amounts{none, none, 1}}})
	if denial := k.denied(ratelimit.Amounts{1, 1, 1}, k.entities...); denial.RetryAfter != ratelimit.Window || warned == "" {
		t.Fatalf("the denial is %+v, the warning %q", denial, warned)
	}
	clock.Advance(ratelimit.Window)
	k.admitted(ratelimit.Amounts{1, 1, 1}, k.entities...)
}

// A time that is still to come means that the clock was another.
func TestTimesToCome(t *testing.T) {
	most := ratelimit.Amounts{5, none, none}
	k := newKeeper(t, most, ratelimit.Unlimited())
	k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities[0])
	k.clock.Advance(-time.Minute)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k.open(false, most, ratelimit.Unlimited())
	k.closedForOneWindow(most)
}

// A clock that goes back, though it must not, gives nothing back.
func TestClockGoesBack(t *testing.T) {
	k := newKeeper(t, ratelimit.Amounts{5, none, none})
	for range 5 {
		k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities...)
	}
	k.clock.Advance(ratelimit.Window)
	for range 5 {
		k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities...)
	}
	for range 3 {
		k.clock.Advance(-45 * time.Second)
		denial := k.denied(ratelimit.Amounts{1, 10, 1}, k.entities...)
		if denial.RetryAfter > ratelimit.Window {
			t.Fatalf("the denial is %+v", denial)
		}
	}
}

func TestSecondProcess(t *testing.T) {
	k := newKeeper(t)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := ratelimit.OpenMemory(ratelimit.Options{File: k.path})
		if !errors.Is(err, journal.ErrLocked) || time.Since(start) < 5*time.Second {
			t.Fatalf("after %s: %v, want that another process has the file after 5 s", time.Since(start), err)
		}
		time.AfterFunc(2*time.Second, func() { k.Close() })
		m, err := ratelimit.OpenMemory(ratelimit.Options{File: k.path})
		if err != nil {
			t.Fatalf("the file was let go, but: %v", err)
		}
		m.Close()
	})
}

func TestClosedStore(t *testing.T) {
	k := newKeeper(t, ratelimit.Amounts{5, none, none})
	id := k.admitted(ratelimit.Amounts{1, 10, 1}, k.entities...)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k.denied(ratelimit.Amounts{1, 10, 1}, k.entities...)
	if k.Settle(id, ratelimit.Amounts{1, 10}) {
		t.Fatal("a closed store settles")
	}
	k.clock.Advance(time.Hour)
	if used := k.Usage(k.entities[0]).Used; used != (ratelimit.Amounts{}) {
		t.Fatalf("used are %v", used)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

// Any damage leaves a store that admits no more than the file before it.
func FuzzFile(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		f.Add(random.Uint64(), random.Uint64(), uint16(random.Uint32()>>24))
	}
	most := []ratelimit.Amounts{{5, 100, 2}, {none, none, 2}}
	f.Fuzz(func(t *testing.T, at, with uint64, size uint16) {
		k := newKeeper(t, most...)
		for range 2 {
			k.admitted(ratelimit.Amounts{2, 10, 1}, k.entities...)
		}
		k.admitted(ratelimit.Amounts{1, 80, 0}, k.entities[0])
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(k.path)
		if err != nil {
			t.Fatal(err)
		}
		// Most damage goes where something is.
		places := []uint64{0, 512, 64 << 10, 64<<10 + 1<<20, uint64(len(data)) - 1}
		place := min(places[at%5]+at/5%1024, uint64(len(data))-1)
		if size == 0 {
			data = data[:place]
		}
		for i := range min(uint64(size), uint64(len(data))-place) {
			data[place+i] ^= byte(with >> (8 * (i % 8)))
		}
		if err := os.WriteFile(k.path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		k.open(false, most...)
		for i, e := range k.entities {
			for _, amounts := range []ratelimit.Amounts{{1, 1, 0}, {0, 0, 1}, {1, 1, 1}} {
				if _, denial := k.reserve(amounts, e); denial == nil && (i == 0 || amounts[ratelimit.Parallel] > 0) {
					t.Fatalf("%v is admitted with %d bytes from %d on changed by %x", amounts, size, place, with)
				}
			}
		}
	})
}

// Whether a request counts already is kept with what is held, or its end would give back, or count, what it does not hold.
func TestARestartForgetsNotThatARequestHasCounted(t *testing.T) {
	most := []ratelimit.Amounts{{none, none, 9}, {5, 100, none}}
	k := newKeeper(t, most...)
	k.Settle(k.admitted(ratelimit.Amounts{1, 20, 1}, k.entities...), ratelimit.Amounts{1, 0})
	var ids []ratelimit.ID
	for range 3 {
		k.ids++
		id := ratelimit.ID{k.ids}
		_, denial := k.Reserve(context.Background(), &ratelimit.Reservation{
			ID: id, Amounts: ratelimit.Amounts{1, 20, 1}, Entities: k.entities, Again: 1, Life: 5 * time.Minute})
		if denial != nil {
			t.Fatal(denial)
		}
		ids = append(ids, id)
	}
	k.reopen(most...)
	if !k.Refund(ids[0]) || !k.Settle(ids[1], ratelimit.Amounts{3, 10}) {
		t.Fatal("nothing was held")
	}
	for i, want := range []ratelimit.Amounts{{5, 30, 1}, {1, 30, 1}} {
		if got := k.Usage(k.entities[i]).Used; got != want {
			t.Errorf("of entity %d are used %v, want %v", i, got, want)
		}
	}
}
