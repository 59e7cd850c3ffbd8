package test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// eventually polls until done is true; what says in a failure what did not happen.
func eventually(t *testing.T, within time.Duration, what string, done func() bool) {
	t.Helper()
	if !soon(within, done) {
		t.Fatalf("not within %v: %s", within, what)
	}
}

// soon polls until done is true, and reports whether it was in time.
func soon(within time.Duration, done func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(within)
	for !done() {
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
	return true
}

// ports numbers those that tests got, from anywhere: none is given twice, also while nothing listens on it yet.
var ports = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(portRange))
	return &n
}()

const portRange = 20000

// freeAddresses returns loopback addresses on which nothing listens. They lie below the range from which
// the system takes the ports of outgoing connections, so that none of those can take one meanwhile.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var found []string
	for range 1000 {
		if len(found) == n {
			return found
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+int(ports.Add(1)%portRange)))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		defer l.Close()
		found = append(found, address)
	}
	t.Fatal("no free ports")
	return nil
}

// process is a program that a test started. It is gone when the test ends.
type process struct {
	cmd    *exec.Cmd
	output string // path of the file that has its stdout and stderr
	done   chan struct{}
	status error // of its end; read it after done
}

// launch starts a program with its output going to a file of that name in dir, and ends it with the test.
func launch(t *testing.T, dir, name, program string, args ...string) *process {
	t.Helper()
	path := filepath.Join(dir, name)
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &process{cmd: exec.Command(program, args...), output: path, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	go func() {
		p.status = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() { p.end() })
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %v to %s: %v", s, p.cmd.Path, err)
	}
}

// kill ends the process as kill -9 does, and waits until it is gone.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.done
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// end stops the process: with SIGTERM, and after some time with SIGKILL.
func (p *process) end() {
	if !p.running() {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // a stopped one could not end
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if !soon(8*time.Second, func() bool { return !p.running() }) {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// exitStatus waits for the end of the process.
func (p *process) exitStatus(t *testing.T, within time.Duration) int {
	t.Helper()
	eventually(t, within, "the end of "+p.cmd.Path, func() bool { return !p.running() })
	var failed *exec.ExitError
	if p.status != nil && !errors.As(p.status, &failed) {
		t.Fatalf("wait for %s: %v", p.cmd.Path, p.status)
	}
	return p.cmd.ProcessState.ExitCode()
}

// text is what the process wrote so far.
func (p *process) text(t *testing.T) string {
	t.Helper()
	return readFile(t, p.output)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// lastLines is the end of a text, for the log of a failure.
func lastLines(b []byte, n int) string {
	lines := bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

// alive reports whether there is such a process, zombies left out.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z'
}
