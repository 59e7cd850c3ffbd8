package redis

import (
	"context"
	"encoding/binary"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

const none = ratelimit.None

func one(n uint64, entities ...ratelimit.Entity) *ratelimit.Reservation {
	q := &ratelimit.Reservation{Amounts: ratelimit.Amounts{1, 10, 1}, Entities: entities, Life: time.Hour}
	binary.BigEndian.PutUint64(q.ID[:], n)
	return q
}

func realStore(t testing.TB, client redis.UniversalClient, o Options) *Store {
	t.Helper()
	s := NewStore(client, o)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// load is what replicas admit of one limit at a real Redis.
type load struct {
	stores []*Store
	began  time.Time
	mu     sync.Mutex
	uses   []span
}

// span is the time in which a reservation was admitted.
type span struct{ from, to time.Duration }

var limit300 = ratelimit.Limit{Name: "deployment:a", Most: ratelimit.Amounts{300, none, 1000}}

func newLoad(t testing.TB, connect func() redis.UniversalClient, replicas int, o Options) *load {
	l := &load{began: time.Now()}
	for i := range replicas {
		o.Fresh = i == 0
		s := realStore(t, connect(), o)
		l.stores = append(l.stores, s)
		await(t, func() bool { return s.isOpen() })
	}
	return l
}

// isOpen says that the store has its seat and Redis grants.
func (s *Store) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.fleets, func(f *fleet) bool { return !f.seated || !f.open || f.down })
}

func await(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 10_000 {
		if done() {
			return
		}
		<-tick.C
	}
	t.Fatal("waited in vain")
}

// run makes requests at a pace, at every replica at once, until it is told to end.
func (l *load) run(limit ratelimit.Limit, every time.Duration, end <-chan struct{}) *sync.WaitGroup {
	var all sync.WaitGroup
	for i, s := range l.stores {
		e := s.Declare([]ratelimit.Limit{limit})
		all.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for n := uint64(i) << 40; ; n++ {
				select {
				case <-end:
					return
				case <-tick.C:
				}
				l.one(s, one(n, e...))
			}
		})
	}
	return &all
}

func (l *load) one(s *Store, q *ratelimit.Reservation) {
	u := span{from: time.Since(l.began)}
	_, denial := s.Reserve(context.Background(), q)
	u.to = time.Since(l.began)
	if denial != nil {
		return
	}
	s.Settle(q.ID, q.Amounts)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses = append(l.uses, u)
}

// most is how many were admitted in a window, for certain.
func (l *load) most(window time.Duration) (most int) {
	for _, first := range l.uses {
		n := 0
		for _, u := range l.uses {
			if u.from >= first.from && u.to <= first.from+window {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestRealRedisKeepsALimit(t *testing.T) {
	t.Parallel()
	s := realStore(t, redistest.Single(t).Client(), Options{Fresh: true})
	e := s.Declare([]ratelimit.Limit{{Name: "deployment:a", Most: ratelimit.Amounts{20, 1000, 5}}})
	for i := range uint64(30) {
		_, denial := s.Reserve(context.Background(), one(i, e...))
		if admitted := denial == nil; admitted != (i < 20) {
			t.Fatalf("reservation %d: %+v", i, denial)
		}
		if denial == nil && !s.Settle(one(i).ID, ratelimit.Amounts{1, 7}) {
			t.Fatal("not held")
		}
	}
	if u := s.Usage(e[0]).Used; u != (ratelimit.Amounts{20, 140, 0}) {
		t.Fatalf("used %v", u)
	}
}

func TestRealRedisThatForgets(t *testing.T) {
	t.Parallel()
	const window = 3 * time.Second
	server := redistest.Single(t)
	l := newLoad(t, func() redis.UniversalClient { return server.Client() }, 3, Options{Window: window})
	end := make(chan struct{})
	all := l.run(limit300, 3*time.Millisecond, end)
	admitted := func(n int) func() bool {
		return func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.uses) >= n
		}
	}
	for i, forget := range []func(){server.FlushAll, func() { server.Kill(); server.Start() }, server.FlushAll} {
		await(t, admitted(300*i+150))
		forget()
	}
	await(t, admitted(1100))
	close(end)
	all.Wait()
	if most := l.most(window); most > 300 {
		t.Errorf("%d admitted in a window, want 300 at most", most)
	}
}

var callsOf = regexp.MustCompile(`cmdstat_([^:]*):calls=(\d+)`)

// commands counts what a server was asked, and what its scripts asked it; this question is not counted yet in its answer.
func commands(t testing.TB, client *redis.Client) (asked, all float64) {
	info, err := client.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range callsOf.FindAllStringSubmatch(info, -1) {
		n, _ := strconv.ParseFloat(m[2], 64)
		all += n
		if m[1] == "evalsha" || m[1] == "eval" {
			asked += n
		}
	}
	return asked, all
}

func TestCommandsPerRequest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rpm  int64
		most float64
	}{{60_000, 0.05}, {6_000, 0.3}} {
		t.Run(strconv.FormatInt(test.rpm, 10), func(t *testing.T) {
			t.Parallel()
			server := redistest.Single(t)
			l := newLoad(t, func() redis.UniversalClient { return server.Client() }, 3, Options{})
			limit := ratelimit.Limit{Name: "deployment:a", Most: ratelimit.Amounts{test.rpm, none, none}}
			end := make(chan struct{})
			pace := 3 * time.Minute / time.Duration(test.rpm)
			before, beforeAll := commands(t, server.Client())
			all := l.run(limit, pace, end)
			time.AfterFunc(4*time.Second, func() { close(end) })
			all.Wait()
			asked, total := commands(t, server.Client())
			n := float64(len(l.uses))
			t.Logf("rpm %d: %.0f requests, %.4f commands each, %.4f with those of the scripts", test.rpm, n, (asked-before)/n, (total-beforeAll)/n)
			if got := (total - beforeAll) / n; got > test.most {
				t.Errorf("rpm %d: %.3f commands a request, want %.2f at most", test.rpm, got, test.most)
			}
		})
	}
}

func TestAClusterKeepsLimits(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	l := newLoad(t, func() redis.UniversalClient { return c.Client() }, 2, Options{})
	limits := make([]ratelimit.Limit, 40)
	for i := range limits {
		limits[i] = ratelimit.Limit{Name: "deployment:" + strconv.Itoa(i), Most: ratelimit.Amounts{5, none, none}}
	}
	for n := range uint64(12) {
		s := l.stores[n%2]
		for i, e := range s.Declare(limits) {
			l.one(s, one(n<<32|uint64(i), e))
		}
	}
	if len(l.uses) != 5*len(limits) {
		t.Errorf("%d admitted, want 5 of each of %d limits", len(l.uses), len(limits))
	}
}

func TestAFailoverKeepsTheLimit(t *testing.T) {
	t.Parallel()
	const window = 6 * time.Second
	w := redistest.Sentinel(t)
	l := newLoad(t, func() redis.UniversalClient { return w.Client() }, 2, Options{Window: window})
	end := make(chan struct{})
	all := l.run(limit300, 5*time.Millisecond, end)
	w.FailOver()
	await(t, func() bool { return l.stores[0].isOpen() && l.stores[1].isOpen() })
	l.mu.Lock()
	before := len(l.uses)
	l.mu.Unlock()
	await(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.uses) > before+50 })
	close(end)
	all.Wait()
	if most := l.most(window); most > 300 {
		t.Errorf("%d admitted in a window, want 300 at most", most)
	}
}

func BenchmarkReserveAndSettle(b *testing.B) {
	server := redistest.Single(b)
	l := newLoad(b, func() redis.UniversalClient { return server.Client() }, 1, Options{})
	s := l.stores[0]
	e := s.Declare([]ratelimit.Limit{{Name: "deployment:a", Most: ratelimit.Amounts{1 << 40, 1 << 45, 1000}}})
	b.ReportAllocs()
	n := uint64(0)
	q := one(0, e...)
	for b.Loop() {
		n++
		binary.BigEndian.PutUint64(q.ID[:], n)
		if _, denial := s.Reserve(context.Background(), q); denial != nil {
			b.Fatal(denial)
		}
		s.Settle(q.ID, q.Amounts)
	}
}

// BenchmarkReserveAt6000 is what a reservation waits at 100 a second.
func BenchmarkReserveAt6000(b *testing.B) {
	server := redistest.Single(b)
	l := newLoad(b, func() redis.UniversalClient { return server.Client() }, 1, Options{})
	s := l.stores[0]
	e := s.Declare([]ratelimit.Limit{{Name: "deployment:a", Most: ratelimit.Amounts{6600, none, none}}})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	waits := make([]time.Duration, 0, b.N)
	for n := range b.N {
		<-tick.C
		q, began := one(uint64(n), e...), time.Now()
		_, denial := s.Reserve(context.Background(), q)
		waits = append(waits, time.Since(began))
		if denial == nil {
			s.Settle(q.ID, q.Amounts)
		}
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-us")
}
