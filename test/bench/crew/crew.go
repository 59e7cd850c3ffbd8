// Package crew runs the processes of a benchmark and reads what they cost. Linux only: it reads /proc.
package crew

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// grace is how long a process may take to end after SIGTERM.
const grace = 10 * time.Second

// Crew is the processes that a benchmark has started. It is not safe for concurrent use.
type Crew struct {
	dir     string
	running []*Process
}

// Process is one that the benchmark has started, with those that it starts itself.
type Process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{}
	family    []member // everyone seen below it, so that none outlives it
}

// New returns an empty crew, whose processes write their output into files in dir.
func New(dir string) *Crew { return &Crew{dir: dir} }

// Start starts a program, with variables added to the environment, in a process group of its own:
// Ctrl-C reaches the benchmark alone, which then calls Stop. Should it be killed, the program gets SIGTERM.
func (c *Crew) Start(name string, env []string, argv ...string) (*Process, error) {
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{name: name, log: log.Name(), cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in the state
	}()
	c.running = append(c.running, p)
	return p, nil
}

// Stop ends all but the first so many, the last one first.
func (c *Crew) Stop(but int) {
	for _, p := range slices.Backward(c.running[min(but, len(c.running)):]) {
		p.stop()
	}
	c.running = c.running[:min(but, len(c.running))]
}

// stop asks the process to end, makes it, and then its family.
func (p *Process) stop() {
	_, _ = p.below() // for what is left of the family afterwards
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	for _, m := range p.family {
		m.kill()
	}
}

func (p *Process) pid() int { return p.cmd.Process.Pid }

// below returns the processes that it has started, theirs included.
func (p *Process) below() ([]int, error) {
	now, err := below(p.pid())
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, m := range now {
		pids = append(pids, m.pid)
		if !slices.Contains(p.family, m) {
			p.family = append(p.family, m)
		}
	}
	return pids, nil
}

// ended is an error once the process has, with what it said last.
func (p *Process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %v\n%s", p.name, p.cmd.ProcessState, p.tail())
	default:
		return nil
	}
}

// Ended is an error that names the processes that ended by themselves, and what they said last; or nil.
func (c *Crew) Ended() error {
	var ended []error
	for _, p := range c.running {
		ended = append(ended, p.ended())
	}
	return errors.Join(ended...)
}

// tail is the end of what it wrote.
func (p *Process) tail() []byte {
	text, _ := os.ReadFile(p.log)
	return bytes.TrimSpace(text[max(0, len(text)-2000):])
}

// Await tries until it works, for at most limit, as long as all processes run.
func (c *Crew) Await(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		failed := try(ctx)
		if failed == nil {
			return nil
		}
		if err := c.Ended(); err != nil {
			return err
		}
		if err := Pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("not ready in %v: %w", limit, failed)
		}
	}
}

// Pause waits for d, or until the context ends.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// FreeAddresses are different loopback addresses that nobody listens on.
func FreeAddresses(count int) ([]string, error) {
	var found []string
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are found
		found = append(found, l.Addr().String())
	}
	return found, nil
}
