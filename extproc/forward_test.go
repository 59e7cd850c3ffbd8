package extproc

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

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/nestor-gateway/nestor/extproc/estimate"
	"github.com/nestor-gateway/nestor/extproc/forward"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// fleet is replicas that know each other; where they listen is their id.
type fleet struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

func (f *fleet) Address(replica string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.listeners[replica]
	return replica, ok
}

func (f *fleet) IDs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.listeners))
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

// replica is one process of a fleet.
type replica struct {
	*Server
	ledger  *ledger
	forward *forward.Forwarder
	grpc    *grpc.Server
	fleet   *fleet
}

func (f *fleet) start(t *testing.T, id, yaml string) *replica {
	s, l := limited(t, yaml)
	r := &replica{Server: s, ledger: l, grpc: grpc.NewServer(), fleet: f}
	r.forward = forward.New(forward.Options{
		Self: id, Ledger: s.Router, Directory: f, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		Dial: []grpc.DialOption{grpc.WithContextDialer(f.dial)},
	})
	s.Replica, s.Elsewhere = id, r.forward
	r.forward.Register(r.grpc)
	listener := bufconn.Listen(1 << 16)
	f.mu.Lock()
	f.listeners[id] = listener
	f.mu.Unlock()
	go r.grpc.Serve(listener)
	return r
}

func (r *replica) stop() {
	r.fleet.mu.Lock()
	delete(r.fleet.listeners, r.Replica)
	r.fleet.mu.Unlock()
	r.forward.Close()
	r.grpc.Stop()
}

func newFleet() *fleet { return &fleet{listeners: map[string]*bufconn.Listener{}} }

// Two replicas, and whatever is said of an attempt comes to the one that knows nothing of it.
func TestLedgersAreRightThoughEveryEntryComesToTheWrongReplica(t *testing.T) {
	for name, c := range endings() {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			replicas := [2]*replica{f.start(t, "a", oneDeployment), f.start(t, "b", oneDeployment)}
			defer replicas[0].stop()
			defer replicas[1].stop()
			const each = 20
			for n := range each {
				for i, right := range replicas {
					right.book = estimate.New() // what is learned changes the estimates
					wrong := replicas[1-i]
					a := begin(t, right.Server, map[string]string{"x-nestor-request": fmt.Sprint(right.Replica, n)}, c.body)
					if c.how.status >= 300 {
						a.failed(t, wrong.Server, c.how, nil)
					}
					a.ended(t, wrong.Server, c.how)
					a.ended(t, wrong.Server, c.how)
				}
			}
			synctest.Wait()
			want := c.want
			for d := range want {
				want[d] *= each
			}
			for _, r := range replicas {
				if got := r.ledger.used(t, leaf); got != want || !r.ledger.onceEach() {
					t.Errorf("%s: replica %s has used %v, want %v", name, r.Replica, got, want)
				}
			}
		})
	}
}

func TestAnAttemptThatWasNeverDecidedIsGivenBackWhoeverHoldsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start(t, "a", oneDeployment), f.start(t, "b", oneDeployment)
		defer a.stop()
		defer b.stop()
		begin(t, a.Server, nil, chat)
		attempt{}.ended(t, b.Server, how{abort: true, unsent: true, more: func(line *datav3.HTTPAccessLogEntry) {
			line.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{
				nestorv1.HeaderRequest: "request-1", nestorv1.HeaderAttempt: "1",
			}}
		}})
		synctest.Wait()
		if got := a.ledger.used(t, leaf); got != (ratelimit.Amounts{}) {
			t.Errorf("used %v", got)
		}
	})
}

// A replica that is gone takes its slots along; one that comes back is another one.
func TestAReplicaThatComesBackIsNotChargedForTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start(t, "a", oneDeployment), f.start(t, "b", oneDeployment)
		defer a.stop()
		old := begin(t, b.Server, nil, chat)
		b.stop()
		again := f.start(t, "b2", oneDeployment)
		defer again.stop()
		old.ended(t, a.Server, how{status: 200, usage: tokens(1, 2)})
		other := map[string]string{"x-nestor-request": "request-2"}
		begin(t, again.Server, other, chat).ended(t, a.Server, how{status: 200, usage: tokens(3, 4)})
		time.Sleep(10 * time.Second)
		if got := again.ledger.used(t, leaf); got != (ratelimit.Amounts{1, 7}) {
			t.Errorf("used %v", got)
		}
		if got := a.ledger.used(t, leaf); got != (ratelimit.Amounts{}) {
			t.Errorf("the other one has used %v", got)
		}
	})
}
