package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const (
	// How often an Envoy that is not our child is looked at.
	watchEvery = 100 * time.Millisecond
	// How long an Envoy may take to end after SIGTERM.
	termTimeout = 5 * time.Second
)

// process is a running Envoy: a child, or an adopted one.
type process struct {
	handle *os.Process
	born   uint64
	began  time.Time
	// done is closed when the process is gone; how is set before.
	done chan struct{}
	how  string
}

// spawn starts the command and reaps it when it ends.
func spawn(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	born, _ := birth(cmd.Process.Pid)
	p := &process{handle: cmd.Process, born: born, began: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // what it says is in the state
		p.how = cmd.ProcessState.String()
	}()
	return p, nil
}

// attach takes hold of a process that somebody else started; false when it is gone or
// the pid belongs to another one by now. The goroutine that watches it ends when it does.
func attach(r record) (*process, bool) {
	handle, err := os.FindProcess(r.PID)
	if err != nil {
		return nil, false
	}
	p := &process{handle: handle, born: r.Born, began: time.Now(), done: make(chan struct{})}
	if !p.alive() {
		return nil, false
	}
	go p.watch()
	return p, true
}

func (p *process) watch() {
	defer close(p.done)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for p.alive() {
		<-tick.C
	}
	p.how = "it was not a child, so the system does not tell"
}

// alive reports whether the process still runs; one that waits to be reaped does not.
func (p *process) alive() bool {
	if p.handle.Signal(syscall.Signal(0)) != nil {
		return false
	}
	born, running := birth(p.handle.Pid)
	return running && (p.born == 0 || p.born == born)
}

// end asks the process to end, then makes it, and waits until it is gone.
func (p *process) end() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(termTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

func (p *process) signal(s os.Signal) error {
	err := p.handle.Signal(s)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to envoy (pid %d): %w", s, p.handle.Pid, err)
	}
	return nil
}

// birth reads when a process began, in clock ticks after boot, and whether it runs, from
// field 22 and field 3 of /proc/PID/stat (proc_pid_stat(5)). Where there is no /proc the
// answer is 0 and true: the caller has asked kill(2) already.
func birth(pid int) (ticks uint64, running bool) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return 0, true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name in field 2 may hold spaces and brackets; the last ")" ends it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, false
	}
	ticks, err = strconv.ParseUint(string(fields[19]), 10, 64)
	dead := fields[0][0] == 'Z' || fields[0][0] == 'X'
	return ticks, err == nil && !dead
}
