// Package redistest runs real Redis servers for tests: single ones, a primary with its replica under three
// sentinels, and a cluster. All listen on loopback, keep their files in the test's own folder, and are gone
// when the test ends.
//
// The program is $NESTOR_TEST_REDIS, else `redis-server` on PATH, of at least version 7.0. Without one tests
// fail, or with NESTOR_TEST_WITHOUT=redis are skipped.
package redistest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// patience is how long servers get to do what is asked of them, on a machine that is busy with other tests.
const patience = 20 * time.Second

// Server is one Redis server, or sentinel. Its methods fail the test when they don't succeed, so they
// are for the test's own goroutine.
type Server struct {
	// Address is host:port. It stays the same when the server is started again.
	Address string
	// Username and Password are empty where none is needed.
	Username, Password string
	// CA is the PEM file of who signed the server's certificate, empty where it speaks plain text.
	CA string

	t    testing.TB
	dir  string
	bus  string   // the port by which the nodes of a cluster talk to each other
	args []string // after the program's name
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// Single runs a server that keeps nothing on disk: started again after Stop or Kill it is empty. Arguments
// are those of redis-server and prevail: "--appendonly", "yes", ...
func Single(t testing.TB, args ...string) *Server {
	t.Helper()
	s := newServer(t)
	s.configure(append(s.plain(), args...)...)
	s.Start()
	return s
}

// newServer is not started yet. It has an address and a folder.
func newServer(t testing.TB) *Server {
	t.Helper()
	program(t)
	s := &Server{Address: freeAddress(t), t: t, dir: t.TempDir()}
	t.Cleanup(s.end)
	return s
}

// plain is the arguments of a server that speaks plain text.
func (s *Server) plain() []string { return []string{"--port", s.Port()} }

func (s *Server) configure(args ...string) {
	s.args = append([]string{"--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--shutdown-timeout", "0",
		"--repl-diskless-sync-delay", "0"}, args...)
}

// program is the path of redis-server. It skips or fails the test when there is none to be run.
func program(t testing.TB) string {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("NESTOR_TEST_WITHOUT"), ","), "redis") {
		t.Skip("NOT TESTED, as NESTOR_TEST_WITHOUT=redis asks: what needs a Redis server")
	}
	if path := os.Getenv("NESTOR_TEST_REDIS"); path != "" {
		return path
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("no redis-server: set NESTOR_TEST_REDIS to one (`test/tools/get redis` gets it), or test without it: NESTOR_TEST_WITHOUT=redis")
	}
	return path
}

// Start runs the server again after Stop or Kill, and returns when it answers.
func (s *Server) Start() {
	s.t.Helper()
	output, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer output.Close()
	s.cmd = exec.Command(program(s.t), s.args...)
	s.cmd.Stdout, s.cmd.Stderr = output, output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal("start redis-server:", err)
	}
	s.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) {
		_ = cmd.Wait() // how it ended is for the log
		close(gone)
	}(s.cmd, s.gone)
	s.awaitAnswer()
}

func (s *Server) log() string { return filepath.Join(s.dir, "log") }

func (s *Server) awaitAnswer() {
	s.t.Helper()
	client := redis.NewClient(s.options())
	defer client.Close()
	eventually(s.t, "redis-server answers", func() error {
		select {
		case <-s.gone:
			log, _ := os.ReadFile(s.log())
			s.t.Fatalf("redis-server ended at once:\n%s", log)
		default:
		}
		if err := s.listens(); err != nil {
			return err
		}
		return client.Ping(context.Background()).Err()
	})
}

// listens spares a client that would log every attempt.
func (s *Server) listens() error {
	conn, err := net.DialTimeout("tcp", s.Address, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Stop ends the server in order: it closes its connections and says good-bye to its replicas.
func (s *Server) Stop() { s.t.Helper(); s.signal(syscall.SIGTERM); <-s.gone }

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.t.Helper(); s.signal(syscall.SIGKILL); <-s.gone }

// Pause makes the server hang: connections stay, and new ones are made, but nothing is answered.
func (s *Server) Pause() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Resume ends a Pause. What was asked meanwhile is carried out.
func (s *Server) Resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

func (s *Server) signal(which syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(which); err != nil {
		s.t.Fatalf("%v to redis-server at %s: %v", which, s.Address, err)
	}
}

// end kills the server if it still runs.
func (s *Server) end() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill() // fails when it has ended before
		<-s.gone
	}
}

// FlushAll makes the server forget everything.
func (s *Server) FlushAll() {
	s.t.Helper()
	if err := s.Client().FlushAll(context.Background()).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// Client is a new client of this server alone, closed when the test ends.
func (s *Server) Client() *redis.Client {
	client := redis.NewClient(s.options())
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// URL is what the server is named by in a configuration, credentials included.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Address}
	if s.CA != "" {
		u.Scheme = "rediss"
	}
	if s.Password != "" {
		u.User = url.UserPassword(s.Username, s.Password)
	}
	return u.String()
}

// Port is the port of the Address.
func (s *Server) Port() string {
	_, port, _ := net.SplitHostPort(s.Address)
	return port
}

func (s *Server) options() *redis.Options {
	return &redis.Options{
		Addr: s.Address, Username: s.Username, Password: s.Password, TLSConfig: s.tls(),
		DialTimeout: time.Second, DialerRetries: 1, MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// eventually polls until attempt returns nil.
func eventually(t testing.TB, what string, attempt func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for {
		err := attempt()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		}
		<-tick.C
	}
}

// freeAddress is on loopback, and nothing listens there. It lies below the range from which the system takes
// the ports of outgoing connections, so that none of those can take it before the server does.
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
