package crew

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// member is a process of this machine.
type member struct {
	pid, parent int
	born        uint64 // clock ticks after boot: tells apart two processes with one pid
}

// everyone reads all processes from /proc (proc_pid_stat(5)); one that ends meanwhile is left out.
func everyone() ([]member, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []member
	for _, path := range paths {
		if m, ok := readStat(path); ok {
			all = append(all, m)
		}
	}
	return all, nil
}

func readStat(path string) (member, bool) {
	stat, err := os.ReadFile(path)
	if err != nil {
		return member{}, false
	}
	// The name in field 2 may hold spaces and brackets; the last ")" ends it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 || fields[0][0] == 'Z' {
		return member{}, false
	}
	pid, errPID := strconv.Atoi(filepath.Base(filepath.Dir(path)))
	parent, errParent := strconv.Atoi(string(fields[1]))
	born, errBorn := strconv.ParseUint(string(fields[19]), 10, 64)
	return member{pid, parent, born}, errPID == nil && errParent == nil && errBorn == nil
}

// alive reports whether that very process still runs.
func (m member) alive() bool {
	now, ok := readStat(fmt.Sprintf("/proc/%d/stat", m.pid))
	return ok && now.born == m.born
}

// kill ends the process, if it still runs, and waits until it is gone, for a second at most.
func (m member) kill() {
	for last := time.Now().Add(time.Second); m.alive() && time.Now().Before(last); {
		_ = syscall.Kill(m.pid, syscall.SIGKILL)
		<-time.After(5 * time.Millisecond)
	}
}

// below returns the descendants of a process, in any session.
func below(pid int) ([]member, error) {
	all, err := everyone()
	if err != nil {
		return nil, err
	}
	var found []member
	for parents := []int{pid}; len(parents) > 0; parents = parents[1:] {
		for _, m := range all {
			if m.parent == parents[0] {
				found = append(found, m)
				parents = append(parents, m.pid)
			}
		}
	}
	return found, nil
}

// cpuTime returns the user and system time of a process, threads that have ended included: what
// /proc/PID/stat shows in ticks of 10 ms, to the nanosecond. For the clock's number see
// clock_getcpuclockid(3).
func cpuTime(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// resident returns the memory of a process that is in RAM, in bytes (proc_pid_statm(5)).
func resident(pid int) (int64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", pid, statm)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}
