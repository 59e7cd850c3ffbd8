package store_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/access/store/postgrestest"
	"github.com/nestor-gateway/nestor/routing/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withServer{m}) }

// withServer ends the server that tests share.
type withServer struct{ *testing.M }

func (w withServer) Run() int {
	code := w.M.Run()
	if shared.server != nil {
		shared.server.Close()
	}
	return code
}

// shared is the server of tests that do it no harm: to start one takes a second.
var shared struct {
	once   sync.Once
	server *postgrestest.Server
}

// database is where a test's stores are opened, one after the other or, with PostgreSQL, several at a time.
type database struct {
	options store.Options
	server  *postgrestest.Server // nil with SQLite
	name    string               // of the database on it
}

func (d database) open(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), d.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// onBoth runs a test on an empty database of either kind.
func onBoth(t *testing.T, test func(t *testing.T, d database)) {
	t.Run("SQLite", func(t *testing.T) { test(t, file(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, postgres(t)) })
}

func file(t testing.TB) database {
	return database{options: store.Options{File: filepath.Join(t.TempDir(), "data", "nestor.db"), Now: ticking()}}
}

// postgres is a database on a server that tests share.
func postgres(t testing.TB) database {
	shared.once.Do(func() { shared.server = postgrestest.New(t) })
	if shared.server == nil {
		t.Skip("no PostgreSQL server: see the test before")
	}
	return on(shared.server.For(t))
}

// own is a database on a server of its own.
func own(t testing.TB) database { return on(postgrestest.Single(t)) }

func on(server *postgrestest.Server) database {
	u := server.Database()
	return database{
		options: store.Options{URL: config.Secret(u), Now: ticking()}, server: server,
		name: u[strings.LastIndex(u, "/")+1 : strings.Index(u, "?")],
	}
}

// ticking is a clock that goes on by a second whenever it is read.
func ticking() func() time.Time {
	var mu sync.Mutex
	now := epoch
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func ctx() context.Context { return context.Background() }
