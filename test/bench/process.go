package main

import (
	"bytes"
	"context"
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

// crew is the processes that the bench has started. They write their output into dir.
type crew struct {
	dir     string
	running []*process
}

// process is one that the bench has started, with those that it starts itself.
type process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{}
	family    []member // everyone seen below it, so that none outlives it
}

// start starts a program in a process group of its own: Ctrl-C reaches the bench alone, which
// then ends what it has started. Should the bench be killed, the program gets SIGTERM.
func (c *crew) start(name string, env []string, argv ...string) (*process, error) {
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
	p := &process{name: name, log: log.Name(), cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in the state
	}()
	c.running = append(c.running, p)
	return p, nil
}

// stop ends everything, the last one first.
func (c *crew) stop() {
	for _, p := range slices.Backward(c.running) {
		p.stop()
	}
	c.running = nil
}

// stop asks the process to end, makes it, and then its family.
func (p *process) stop() {
	_, _ = p.below() // for what is left of the family afterwards
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	for _, m := range p.family {
		if m.alive() {
			_ = syscall.Kill(m.pid, syscall.SIGKILL)
		}
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// below returns the processes that it has started, theirs included.
func (p *process) below() ([]int, error) {
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
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %v\n%s", p.name, p.cmd.ProcessState, p.tail())
	default:
		return nil
	}
}

// tail is the end of what it wrote.
func (p *process) tail() []byte {
	text, _ := os.ReadFile(p.log)
	return bytes.TrimSpace(text[max(0, len(text)-2000):])
}

// await tries until it works, for at most limit, as long as all processes run.
func (c *crew) await(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		failed := try(ctx)
		if failed == nil {
			return nil
		}
		for _, p := range c.running {
			if err := p.ended(); err != nil {
				return err
			}
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("not ready in %v: %w", limit, failed)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
