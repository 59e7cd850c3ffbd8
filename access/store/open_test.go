package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/routing/config"
)

func TestAFileIsForThisUserAlone(t *testing.T) {
	d := file(t)
	s := d.open(t)
	must(t, s.InsertKey(ctx(), full(), by("/key/generate")))
	if !s.Exclusive() {
		t.Error("a file is not said to be exclusive")
	}
	dir := filepath.Dir(d.options.File)
	info := got(os.Stat(dir))(t)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v", info.Mode())
	}
	for _, entry := range got(os.ReadDir(dir))(t) {
		if info := got(entry.Info())(t); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
}

func TestTwoProcessesNeverUseAFile(t *testing.T) {
	d := file(t)
	s := d.open(t)
	_, err := store.Open(ctx(), d.options)
	want := fmt.Sprintf("%s.lock is locked by process %d: one gateway at a time may use a file; "+
		"give this one a --data-dir of its own, or let both share a PostgreSQL database (DATABASE_URL)", d.options.File, os.Getpid())
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
	must(t, s.Close())
	d.open(t)
}

func TestAFileMayHaveAnyName(t *testing.T) {
	d := database{options: store.Options{File: filepath.Join(t.TempDir(), "a?b=c&d #100%.db")}}
	d.open(t)
	if _, err := os.Stat(d.options.File); err != nil {
		t.Error(err)
	}
	if names := got(os.ReadDir(filepath.Dir(d.options.File)))(t); len(names) != 4 { // with -wal, -shm and .lock
		t.Errorf("there are %v", names)
	}
}

func TestReplicasMayStartTogether(t *testing.T) {
	d := postgres(t)
	var work sync.WaitGroup
	for range 6 {
		work.Go(func() {
			s, err := store.Open(ctx(), d.options)
			if err != nil {
				t.Error(err)
				return
			}
			if s.Exclusive() {
				t.Error("a shared database is said to be exclusive")
			}
			_ = s.Close()
		})
	}
	work.Wait()
}

func TestASchemaThatIsNewerIsRefused(t *testing.T) {
	const newer = "INSERT INTO nestor_schema (version_id, is_applied) VALUES (99, true)"
	onBoth(t, func(t *testing.T, d database) {
		must(t, d.open(t).Close())
		if d.server != nil {
			d.server.Exec(d.name, newer)
		} else {
			execute(t, d.options.File, newer)
		}
		_, err := store.Open(ctx(), d.options)
		if err == nil || !strings.Contains(err.Error(), "it has version 99 and this nestor knows 1 at most: run the newer nestor") {
			t.Errorf("error %v, want one about the version", err)
		}
	})
}

func execute(t *testing.T, file, statement string) {
	t.Helper()
	db := got(sql.Open("sqlite", file))(t)
	defer db.Close()
	_, err := db.Exec(statement)
	must(t, err)
}

// columnsOf is what a database has, by table, as its own catalogue tells.
func columnsOf(t *testing.T, s *store.Store, query string) (all []string) {
	t.Helper()
	rows := got(s.Query(ctx(), query))(t)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		all = append(all, name)
	}
	must(t, rows.Err())
	return all
}

func TestBothSchemasAreTheSame(t *testing.T) {
	lite := columnsOf(t, file(t).open(t), `SELECT m.name || '.' || c.name || CASE WHEN c."notnull" OR c.pk THEN ' not null' ELSE '' END
		FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name LIKE 'nestor_%' AND m.name <> 'nestor_schema' ORDER BY 1`)
	full := columnsOf(t, postgres(t).open(t), `SELECT table_name || '.' || column_name || CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END
		FROM information_schema.columns WHERE table_name LIKE 'nestor_%' AND table_name <> 'nestor_schema' ORDER BY 1`)
	equal(t, full, lite, sorted())
	indices := func(s *store.Store, query string) []string { return columnsOf(t, s, query) }
	equal(t,
		indices(postgres(t).open(t), `SELECT indexname FROM pg_indexes WHERE indexname LIKE 'nestor_%' AND indexname NOT LIKE '%_pkey'`),
		indices(file(t).open(t), `SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'nestor_%'`), sorted())
}

// What LiteLLM's users have in DATABASE_URL is Prisma's.
func TestAURLMayBePrismas(t *testing.T) {
	d := postgres(t)
	d.server.Exec(d.name, "CREATE SCHEMA mine")
	u := got(url.Parse(d.options.URL.Reveal()))(t)
	u.RawQuery += "&schema=mine&connection_limit=1&pool_timeout=10&socket_timeout=5&pgbouncer=true&statement_cache_size=0&connect_timeout=3"
	s := database{options: store.Options{URL: config.Secret(u.String())}}.open(t)
	must(t, s.InsertKey(ctx(), full(), by("/key/generate")))
	must(t, s.WriteSpend(ctx(), []record.Spend{row("1")}))
	equal(t, []string{full().Token}, tokens(t, s, store.KeyQuery{Alias: full().Alias}))
	d.server.Exec(d.name, "SELECT token FROM mine.nestor_keys")
}

func TestNoErrorShowsACredential(t *testing.T) {
	const password = "p%3Aa%2Fs%40s-hidden"
	address := postgres(t).server.Address
	for name, u := range map[string]string{
		"wrong password":  "postgresql://nestor:" + password + "@" + address + "/postgres?sslmode=disable",
		"nobody there":    "postgresql://nestor:" + password + "@127.0.0.1:1/postgres?connect_timeout=1",
		"no database":     "postgresql://nestor:" + password + "@" + address + "/none?sslmode=disable",
		"bad escape":      "postgresql://nestor:p%ZZhidden@" + address + "/postgres",
		"bad port":        "postgresql://nestor:" + password + "@" + address + "x/postgres",
		"bad setting":     "postgresql://nestor:" + password + "@" + address + "/postgres?sslmode=hidden",
		"bad limit":       "postgresql://nestor:" + password + "@" + address + "/postgres?connection_limit=many",
		"other scheme":    "mysql://nestor:" + password + "@" + address + "/postgres",
		"torn by a mark":  "postgresql://nestor:12#hidden@" + address + "/postgres",
		"torn by a query": "postgresql://nestor:12?hidden@" + address + "/postgres",
		"torn by a slash": "postgresql://nestor:12/hidden@" + address + "/postgres",
		"no slashes":      "nestor-hidden:" + password + "@" + address + "/postgres",
		"no URL":          "host=hidden password=hidden",
		"password second": "postgresql://" + address + "/postgres?user=nestor&password=hidden&sslmode=disable",
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			_, err := store.Open(ctx(), store.Options{URL: config.Secret(u), Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err == nil {
				t.Fatal("opened")
			}
			t.Log(err)
			if text := err.Error() + log.String(); strings.Contains(text, "hidden") {
				t.Errorf("the password is shown: %s", text)
			}
		})
	}
}

// The feed says why it can't connect, and never with what.
func TestTheFeedLogsNoCredential(t *testing.T) {
	d := own(t)
	lines := make(chanWriter, 1000)
	d.options.Log = slog.New(slog.NewTextHandler(lines, nil))
	s := d.open(t)
	w := watch(t, s)
	d.server.Stop()
	line := <-lines
	if !strings.Contains(line, "connecting again") || !strings.Contains(line, d.server.Address) {
		t.Errorf("logged %q, want what is done and where", line)
	}
	d.server.Start()
	w.expect(t, record.Change{Kind: record.All})
	for {
		for _, secret := range []string{d.server.Password, url.QueryEscape(d.server.Password), url.PathEscape(d.server.Password)} {
			if strings.Contains(line, secret) {
				t.Errorf("the password is logged: %s", line)
			}
		}
		if len(lines) == 0 {
			return
		}
		line = <-lines
	}
}

// chanWriter passes on what is written.
type chanWriter chan string

func (c chanWriter) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

func TestACallEndsWithItsContext(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		s := d.open(t)
		must(t, s.InsertKey(ctx(), full(), by("/key/generate")))
		ended, cancel := context.WithCancel(ctx())
		entered := make(chan struct{})
		var work sync.WaitGroup
		work.Go(func() {
			_, err := s.UpdateKey(ended, full().Token, by("/key/update"), func(*record.Key) error { close(entered); <-ended.Done(); return nil })
			fails(t, err, context.Canceled, "")
		})
		<-entered
		waiting, stop := context.WithTimeout(ctx(), 50*time.Millisecond)
		defer stop()
		_, err := s.UpdateKey(waiting, full().Token, by("/key/update"), func(*record.Key) error { return nil })
		fails(t, err, context.DeadlineExceeded, "")
		cancel()
		work.Wait()
		equal(t, full(), got(s.Key(ctx(), full().Token))(t))
	})
}
