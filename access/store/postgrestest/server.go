// Package postgrestest runs real PostgreSQL servers for tests. They listen on loopback and on a socket, keep their
// files in a temporary folder, and are gone when the test ends.
//
// The programs, initdb and postgres, are in the folder $NESTOR_TEST_POSTGRES, else beside `postgres` on PATH, else
// where Debian puts them. Without them tests fail, or with NESTOR_TEST_WITHOUT=postgres are skipped. PostgreSQL does
// not run as root: then its servers run as the user postgres, or nobody.
package postgrestest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long servers get to do what is asked of them, on a machine that is busy with other tests.
const patience = 60 * time.Second

// Server is one PostgreSQL server. Its methods fail the test when they don't succeed, so they are for the test's own
// goroutine.
type Server struct {
	// Address is host:port. It stays the same when the server is started again.
	Address string
	// Username and Password are those of the superuser.
	Username, Password string

	t    testing.TB
	bin  string
	dir  string
	as   *syscall.Credential // nil: who runs the test
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
	made *atomic.Int64 // databases so far
}

// Single runs a server that is fast, and forgets what a power failure would make it forget. Settings are
// PostgreSQL's: "log_statement=all", ...
func Single(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := New(t, settings...)
	t.Cleanup(s.Close)
	return s
}

// New is as Single, but the server goes on until it is closed: several tests may use it, each by For.
func New(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := &Server{
		Address: freeAddress(t), Username: "nestor", Password: "p:a/s@s%word",
		t: t, bin: programs(t), as: unprivileged(t), made: new(atomic.Int64),
	}
	s.folder()
	s.initialize()
	s.configure(settings)
	s.Start()
	return s
}

// For is the same server for another test, which may make databases on it.
func (s *Server) For(t testing.TB) *Server {
	other := *s
	other.t = t
	return &other
}

// programs is the folder of initdb and postgres. It skips or fails the test when there is none.
func programs(t testing.TB) string {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("NESTOR_TEST_WITHOUT"), ","), "postgres") {
		t.Skip("NOT TESTED, as NESTOR_TEST_WITHOUT=postgres asks: what needs a PostgreSQL server")
	}
	if folder := os.Getenv("NESTOR_TEST_POSTGRES"); folder != "" {
		return folder
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is good
	if len(found) == 0 {
		t.Fatal("no PostgreSQL: set NESTOR_TEST_POSTGRES to the folder of its programs (`test/tools/get postgres` gets it), or test without it: NESTOR_TEST_WITHOUT=postgres")
	}
	return filepath.Dir(found[len(found)-1])
}

// folder is not the test's own, which only root may enter.
func (s *Server) folder() {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "postgrestest")
	if err != nil {
		s.t.Fatal(err)
	}
	s.dir = dir
	if s.as == nil {
		return
	}
	if err := os.Chown(dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) initialize() {
	s.t.Helper()
	password := filepath.Join(s.dir, "password")
	s.write(password, s.Password)
	cmd := s.command("initdb", "--pgdata", s.data(), "--username", s.Username, "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("initdb: %v\n%s", err, out)
	}
}

func (s *Server) configure(settings []string) {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.Address)
	lines := append([]string{
		"listen_addresses='127.0.0.1'", "port=" + port, "unix_socket_directories='" + s.dir + "'",
		"fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=200", "autovacuum=off",
	}, settings...)
	s.write(filepath.Join(s.data(), "postgresql.auto.conf"), strings.Join(lines, "\n")+"\n")
}

func (s *Server) write(path, content string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if s.as != nil {
		if err := os.Chown(path, int(s.as.Uid), int(s.as.Gid)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// command runs as the server's user, in its folder, and dies with the test.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Start runs the server again after Stop or Kill, and returns when it lets clients in.
func (s *Server) Start() {
	s.t.Helper()
	output, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer output.Close()
	s.cmd = s.command("postgres", "-D", s.data())
	s.cmd.Stdout, s.cmd.Stderr = output, output
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal("start postgres:", err)
	}
	s.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) {
		_ = cmd.Wait() // how it ended is for the log
		close(gone)
	}(s.cmd, s.gone)
	s.await()
}

func (s *Server) log() string { return filepath.Join(s.dir, "log") }

// await returns when the server answers.
func (s *Server) await() {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		err := s.ping()
		if err == nil {
			return
		}
		select {
		case <-s.gone:
			s.t.Fatalf("postgres ended at once:\n%s", s.Log())
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("postgres does not answer within %v: %v\n%s", patience, err, s.Log())
		}
	}
}

func (s *Server) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Log is what the server has written.
func (s *Server) Log() string {
	text, _ := os.ReadFile(s.log())
	return string(bytes.TrimSpace(text))
}

// Stop ends the server in order, and the connections of its clients.
func (s *Server) Stop() { s.t.Helper(); s.signal(syscall.SIGINT); <-s.gone }

// Kill ends the server as a crash would: all of its processes.
func (s *Server) Kill() { s.t.Helper(); s.signal(syscall.SIGQUIT); <-s.gone }

// Pause makes the server hang: it lets nobody in. Connections that are there go on.
func (s *Server) Pause() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

func (s *Server) signal(which syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(which); err != nil {
		s.t.Fatalf("%v to postgres at %s: %v", which, s.Address, err)
	}
}

// Close ends the server and removes its files.
func (s *Server) Close() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGCONT) // both fail when it has ended before
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.gone
	}
	_ = os.RemoveAll(s.dir)
}

// Database makes an empty database and returns its URL, credentials included.
func (s *Server) Database() string {
	s.t.Helper()
	name := "test" + strconv.FormatInt(s.made.Add(1), 10)
	s.Exec("postgres", "CREATE DATABASE "+name)
	return s.url(name)
}

// Exec runs a statement in a database.
func (s *Server) Exec(database, statement string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url(database))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// Disconnect ends the connections of all clients.
func (s *Server) Disconnect() {
	s.t.Helper()
	s.Exec("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
}

func (s *Server) url(database string) string {
	u := url.URL{Scheme: "postgresql", Host: s.Address, Path: database, User: url.UserPassword(s.Username, s.Password), RawQuery: "sslmode=disable"}
	return u.String()
}

// freeAddress is on loopback, and nothing listens there. It lies below the range from which the system takes the
// ports of outgoing connections, so that none of those can take it before the server does.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}
