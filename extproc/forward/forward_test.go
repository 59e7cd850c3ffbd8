package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger holds reservations, and remembers how each ended.
type ledger struct {
	mu    sync.Mutex
	held  map[ratelimit.ID]string
	ended map[ratelimit.ID]string
	lives map[ratelimit.ID]time.Duration // how long what was renewed is held from then on
	calls int
}

func (l *ledger) hold(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.ended = map[ratelimit.ID]string{}, map[ratelimit.ID]string{}
	for i := range n {
		l.held[id(i)] = deployment(i)
	}
}

func (l *ledger) end(deployment string, id ratelimit.ID, how string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.held[id] != deployment {
		return false
	}
	delete(l.held, id)
	l.ended[id] = how
	return true
}

func (l *ledger) Settle(deployment string, id ratelimit.ID, used ratelimit.Amounts) bool {
	return l.end(deployment, id, fmt.Sprint(used))
}

func (l *ledger) Refund(deployment string, id ratelimit.ID) bool {
	return l.end(deployment, id, "refund")
}

func (l *ledger) state() (held int, ended map[ratelimit.ID]string, calls int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held), maps.Clone(l.ended), l.calls
}

func id(i int) ratelimit.ID   { return ratelimit.ID{byte(i >> 8), byte(i)} }
func deployment(i int) string { return fmt.Sprint("d", i%3) }
func expected(i int) (s string) {
	if i%5 == 0 {
		return "refund"
	}
	return fmt.Sprint(ratelimit.Amounts{1, int64(i), 0})
}

// fleet is the replicas of a test: who lives where.
type fleet struct {
	mu        sync.Mutex
	addresses map[string]string
	listeners map[string]*bufconn.Listener
}

func newFleet() *fleet {
	return &fleet{addresses: map[string]string{}, listeners: map[string]*bufconn.Listener{}}
}

func (f *fleet) Address(replica string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	addr, ok := f.addresses[replica]
	return addr, ok
}

func (f *fleet) IDs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.addresses))
}

func (f *fleet) forget(replica string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.addresses, replica)
}

func (f *fleet) dial(_ context.Context, addr string) (net.Conn, error) {
	f.mu.Lock()
	l, ok := f.listeners[addr]
	f.mu.Unlock()
	if !ok {
		return nil, errors.New("connection refused")
	}
	return l.Dial()
}

// row is what the spend log gets of the attempts that are settled.
func row(i int) []byte { return fmt.Appendf(nil, `{"ID":"%d"}`, i) }

// till remembers what it is charged.
type till struct {
	mu   sync.Mutex
	rows map[string]int64 // cost by row
}

func (c *till) Charge(_ ratelimit.ID, cost int64, row []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(row) > 0 {
		c.rows[string(row)] = cost
	}
}

func (*till) Renew(ratelimit.ID, time.Duration) bool { return true }

// wantCharged compares what was charged with the bills of attempts 0 to n-1.
func (c *till) wantCharged(t *testing.T, n int) {
	t.Helper()
	want := map[string]int64{}
	for i := range n {
		if expected(i) != "refund" {
			want[string(row(i))] = int64(i)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if diff := cmp.Diff(want, c.rows); diff != "" {
		t.Errorf("charged (-want +got):\n%s", diff)
	}
}

// replica is one process.
type replica struct {
	*Forwarder
	ledger *ledger
	till   *till
	server *grpc.Server
}

// start makes a replica live at an address.
func (f *fleet) start(self, addr string, more ...grpc.ServerOption) *replica {
	r := &replica{ledger: &ledger{}, till: &till{rows: map[string]int64{}}, server: grpc.NewServer(more...)}
	r.Forwarder = New(Options{
		Self: self, Ledger: r.ledger, Money: r.till, Directory: f, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		Dial: []grpc.DialOption{grpc.WithContextDialer(f.dial)},
	})
	r.Register(r.server)
	l := bufconn.Listen(1 << 16)
	f.mu.Lock()
	f.addresses[self], f.listeners[addr] = addr, l
	f.mu.Unlock()
	go r.server.Serve(l)
	return r
}

func (r *replica) stop() {
	r.Close()
	r.server.Stop()
}

// report ends attempts 0 to n-1 of a holder.
func (r *replica) report(holder string, n int) {
	for i := range n {
		if expected(i) == "refund" {
			r.Refund(holder, deployment(i), id(i))
		} else {
			r.Settle(holder, deployment(i), id(i), ratelimit.Amounts{1, int64(i), 0}, Bill{Nano: int64(i), Row: row(i)})
		}
	}
}

// wantEnded compares a ledger with what attempts 0 to n-1 have come to.
func wantEnded(t *testing.T, l *ledger, n int) {
	t.Helper()
	want := map[ratelimit.ID]string{}
	for i := range n {
		want[id(i)] = expected(i)
	}
	held, ended, _ := l.state()
	if diff := cmp.Diff(want, ended); held != 0 || diff != "" {
		t.Errorf("%d are still held; ended (-want +got):\n%s", held, diff)
	}
}

func metric(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestWhatIsHeldHereIsSettledHere(t *testing.T) {
	f := newFleet()
	a := f.start("a", "a:1")
	defer a.stop()
	a.ledger.hold(10)
	a.report("a", 10)
	wantEnded(t, a.ledger, 10)
	a.till.wantCharged(t, 10)
}

func TestWhatOthersHoldIsSettledThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start("a", "a:1"), f.start("b", "b:1")
		defer a.stop()
		defer b.stop()
		const n = 5000
		a.ledger.hold(n)
		b.ledger.hold(n)
		a.report("b", n)
		b.report("a", n)
		synctest.Wait()
		wantEnded(t, a.ledger, n)
		wantEnded(t, b.ledger, n)
		a.till.wantCharged(t, n)
		b.till.wantCharged(t, n)
		if got := metric(t, a.forwarded); got != n {
			t.Errorf("%v counted as forwarded", got)
		}
	})
}

func TestARefundWhoseHolderNobodyKnowsGoesToAllOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var replicas []*replica
		for _, name := range []string{"a", "b", "c"} {
			r := f.start(name, name+":1")
			defer r.stop()
			r.ledger.hold(3)
			replicas = append(replicas, r)
		}
		replicas[0].Refund("", deployment(1), id(1))
		synctest.Wait()
		for i, want := range []int{3, 2, 2} {
			if held, _, _ := replicas[i].ledger.state(); held != want {
				t.Errorf("replica %d holds %d, want %d", i, held, want)
			}
		}
	})
}

// What was spent stays spent when the replica is gone that held it.
func TestRowsOfAReplicaThatIsGoneAreChargedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a := f.start("a", "a:1")
		defer a.stop()
		a.report("gone", 40)
		time.Sleep(time.Minute)
		a.till.wantCharged(t, 40)
	})
}

// A reply that is lost makes the batch come again.
func TestALostReplySettlesNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a := f.start("a", "a:1")
		defer a.stop()
		lost := 3
		b := f.start("b", "b:1", grpc.UnaryInterceptor(func(ctx context.Context, m any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			reply, err := h(ctx, m)
			if lost--; lost >= 0 {
				return nil, status.Error(codes.Unavailable, "lost")
			}
			return reply, err
		}))
		defer b.stop()
		const n = 100
		b.ledger.hold(n)
		a.report("b", n)
		time.Sleep(time.Second)
		wantEnded(t, b.ledger, n)
		if _, _, calls := b.ledger.state(); calls <= n {
			t.Errorf("%d calls: the test lost no reply", calls)
		}
	})
}

func TestAHolderThatIsAwayForAMomentIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a := f.start("a", "a:1")
		defer a.stop()
		f.mu.Lock()
		f.addresses["b"] = "b:1" // lives, but nobody listens yet
		f.mu.Unlock()
		a.report("b", 10)
		a.report("c", 10) // not even in the directory
		time.Sleep(patience - time.Second)
		b, c := f.start("b", "b:1"), f.start("c", "c:1")
		defer b.stop()
		defer c.stop()
		b.ledger.hold(10)
		c.ledger.hold(10)
		time.Sleep(3 * time.Second)
		wantEnded(t, b.ledger, 10)
		wantEnded(t, c.ledger, 10)
	})
}

func TestWhatAHolderThatIsGoneHeldIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start("a", "a:1"), f.start("b", "b:1")
		defer a.stop()
		b.ledger.hold(10)
		a.report("b", 1)
		synctest.Wait()
		b.stop()
		a.report("b", 10)
		f.forget("b")
		time.Sleep(2 * patience)
		if got := metric(t, a.dropped); got != 10 {
			t.Errorf("%v were dropped", got)
		}
	})
}

func TestAReplicaWithANewIDIsNotTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start("a", "a:1"), f.start("b", "b:1")
		defer a.stop()
		a.report("b", 1)
		synctest.Wait()
		b.stop()
		again := f.start("b2", "b:1") // the directory still has b
		defer again.stop()
		again.ledger.hold(10)
		a.report("b", 10)
		time.Sleep(2 * time.Second)
		if held, _, calls := again.ledger.state(); held != 10 || calls != 0 {
			t.Errorf("%d of 10 are held after %d calls", held, calls)
		}
		a.report("b2", 10)
		synctest.Wait()
		wantEnded(t, again.ledger, 10)
		if got := metric(t, a.dropped); got != 10 {
			t.Errorf("%v were dropped", got)
		}
	})
}

func TestAHolderThatHangsHoldsNobodyUpAndTakesNoMoreThanTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a := f.start("a", "a:1")
		b := f.start("b", "b:1", grpc.UnaryInterceptor(func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		defer b.stop()
		begin := time.Now()
		for range maxQueued + 2*maxBatch {
			a.Refund("b", "d", id(1))
		}
		if time.Since(begin) > 0 {
			t.Error("it has waited")
		}
		if got := metric(t, a.dropped); got < maxBatch || got > 2*maxBatch {
			t.Errorf("%v were dropped", got)
		}
		a.stop()
		if got := metric(t, a.dropped); got != maxQueued+2*maxBatch {
			t.Errorf("%v were dropped at the end", got)
		}
		if took := time.Since(begin); took > 2*sendTimeout {
			t.Errorf("closing took %v", took)
		}
	})
}

func TestAConnectionEndsWhenItIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start("a", "a:1"), f.start("b", "b:1")
		defer a.stop()
		defer b.stop()
		for range 2 {
			b.ledger.hold(10)
			a.report("b", 10)
			time.Sleep(idle + time.Second)
			wantEnded(t, b.ledger, 10)
			synctest.Wait()
			if n := len(a.queues); n != 0 {
				t.Errorf("%d queues are kept", n)
			}
		}
	})
}

func TestClosingDeliversWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start("a", "a:1"), f.start("b", "b:1")
		defer b.stop()
		b.ledger.hold(3000)
		a.report("b", 3000)
		a.stop()
		wantEnded(t, b.ledger, 3000)
	})
}

func TestWhatIsNoSettlementIsRefusedWhole(t *testing.T) {
	l := &ledger{}
	l.hold(2)
	f := New(Options{Self: "a", Ledger: l, Directory: newFleet(), Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	defer f.Close()
	good, other := id(0), id(1)
	for name, bad := range map[string]*nestorv1.Settlement{
		"short id":          {Id: good[:8]},
		"negative tokens":   {Id: other[:], Deployment: "d1", Tokens: -1},
		"negative requests": {Id: other[:], Deployment: "d1", Requests: -1},
		"negative life":     {Id: other[:], Deployment: "d1", LifeMs: -1},
		"endless life":      {Id: other[:], Deployment: "d1", LifeMs: 1 << 62},
	} {
		_, err := (&service{forwarder: f}).Settle(t.Context(), &nestorv1.SettleRequest{
			Holder: "a", Settlements: []*nestorv1.Settlement{{Id: good[:], Deployment: "d0"}, bad},
		})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if held, _, _ := l.state(); held != 2 {
		t.Errorf("%d of 2 are held", held)
	}
}
