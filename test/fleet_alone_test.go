package test

import (
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

// onlyLong leaves a test to runs that may take many minutes.
func onlyLong(t *testing.T) {
	t.Helper()
	if !long() {
		t.Skip("takes some minutes: set NESTOR_TEST_LONG=1")
	}
}

// Redis is gone for longer than a window: each replica goes on with its part, and all together never have more than
// the limit, neither when they begin with it nor when Redis is back.
func TestWithoutRedisEachReplicaKeepsToItsShare(t *testing.T) {
	t.Parallel()
	onlyLong(t)
	const limit = 300
	f, r := rushAt(t, 3, rpm(limit))
	begin := time.Now()
	wait := r.start(90, 250*time.Second, oneToFive)
	r.reach(limit/3, 20*time.Second)
	f.redis.Kill()
	// What was leased ends, everything leaves the window, and then each replica begins with its share.
	<-time.After(time.Until(begin.Add(80 * time.Second)))
	shares := time.Now()
	<-time.After(time.Until(begin.Add(160 * time.Second)))
	if n := between(r.sightings(), shares, time.Now()); n < limit*90/100 {
		t.Errorf("%d requests in 80 s without Redis, want most of %d", n, limit)
	}
	f.redis.Start()
	back := time.Now()
	wait()
	if n := between(r.sightings(), back, time.Now()); n < limit*90/100 {
		t.Errorf("%d requests in the 90 s after Redis was back, want most of %d", n, limit)
	}
	r.within(limit)
}

func oneToFive() time.Duration { return time.Second + rand.N(4*time.Second) }

// One replica loses Redis, which the others still reach: what it goes on with, they do not get.
func TestAReplicaThatAloneLosesRedisTakesNothingTwice(t *testing.T) {
	t.Parallel()
	onlyLong(t)
	const limit = 120
	r := &rush{t: t}
	u := r.witness(provideAs(t, mock.Options{Name: "a"}))
	config := yaml(strings.Replace(oneLimit, "rpm: 600", rpm(limit), 1), u)
	redis := redistest.Single(t)
	line := wire(t, redis.Address)
	for _, address := range []string{line.address, redis.Address} {
		g := run(t, config, "--redis-url", "redis://"+address)
		r.urls = append(r.urls, g.url)
	}
	wait := r.start(40, 220*time.Second, oneToFive)
	r.reach(limit/3, 30*time.Second)
	line.cut()
	<-time.After(150 * time.Second)
	line.mend()
	wait()
	r.within(limit)
}

// line is a connection to a server that can be cut, or fall silent.
type line struct {
	address, to string
	silent      sync.RWMutex // who carries something reads
	mu          sync.Mutex
	broken      bool
	open        []net.Conn
}

// wire leads to an address until the test ends.
func wire(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{address: listener.Addr().String(), to: to}
	t.Cleanup(func() { _ = listener.Close(); l.cut() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(c)
		}
	}()
	return l
}

// carry joins a connection with one to the server.
func (l *line) carry(near net.Conn) {
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		_ = near.Close()
		return
	}
	l.mu.Lock()
	l.open = append(l.open, near, far)
	broken := l.broken
	l.mu.Unlock()
	if broken {
		l.cut()
		return
	}
	go func() { _, _ = io.Copy(listened{far, l}, near); _ = far.Close() }()
	_, _ = io.Copy(listened{near, l}, far)
	_ = near.Close()
}

// listened is an end of a line to which nothing comes while that is silent.
type listened struct {
	io.Writer
	line *line
}

func (e listened) Write(b []byte) (int, error) {
	e.line.silent.RLock()
	defer e.line.silent.RUnlock()
	return e.Writer.Write(b)
}

// hush has connections stay, and nothing come through, until the function it returns is called.
func (l *line) hush() (speak func()) {
	l.silent.Lock()
	return l.silent.Unlock
}

// cut breaks all connections off, and lets no new one live.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for _, c := range l.open {
		_ = c.Close()
	}
	l.open = nil
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = false
}
