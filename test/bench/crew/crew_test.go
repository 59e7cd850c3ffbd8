package crew

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell starts a script, and waits until it has made the file "up" in the crew's folder.
func shell(t *testing.T, c *Crew, script string) *Process {
	t.Helper()
	p, err := c.Start("shell", []string{"DIR=" + c.dir}, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop(0) })
	up := func(context.Context) error { _, err := os.Stat(filepath.Join(c.dir, "up")); return err }
	if err := c.Await(t.Context(), 10*time.Second, up); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStopEndsWhatAProcessHasStarted(t *testing.T) {
	c := New(t.TempDir())
	p := shell(t, c, `setsid sleep 600 & touch "$DIR/up"; wait`)
	if _, err := p.below(); err != nil {
		t.Fatal(err)
	}
	family := p.family
	c.Stop(0)
	if len(family) == 0 {
		t.Fatal("nothing was seen below the shell")
	}
	for _, m := range family {
		if m.alive() {
			t.Errorf("process %d outlived its parent", m.pid)
		}
	}
}

func TestMeterCountsTheWholeFamily(t *testing.T) {
	c := New(t.TempDir())
	p := shell(t, c, `sh -c 'while :; do :; done' & touch "$DIR/up"; wait`)
	parts := []Part{Alone("shell", p), Children("loop", p), Whole("both", p)}
	first, err := Read(parts)
	if err != nil {
		t.Fatal(err)
	}
	var used map[string]time.Duration
	busy := func(context.Context) error {
		now, err := Read(parts)
		if err != nil {
			return err
		}
		if used, err = now.Since(first); err == nil && used["loop"] < 20*time.Millisecond {
			err = context.DeadlineExceeded
		}
		return err
	}
	if err := c.Await(t.Context(), 10*time.Second, busy); err != nil {
		t.Fatal(err)
	}
	// The parts are read one after the other while the loop runs.
	if used["both"] < used["loop"]/2 || used["shell"] > used["loop"]/2 {
		t.Errorf("CPU times %v", used)
	}
	memory, err := first.Memory()
	if err != nil || memory["both"] <= memory["loop"] || memory["loop"] <= 0 {
		t.Errorf("memory %v, error %v", memory, err)
	}
}

func TestAProcessThatEndsIsNamed(t *testing.T) {
	c := New(t.TempDir())
	p := shell(t, c, `touch "$DIR/up"; echo no luck >&2; exit 3`)
	<-p.done
	err := c.Ended()
	if err == nil || !strings.Contains(err.Error(), "shell ended: exit status 3") || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("error %v", err)
	}
}

func TestAPartWhoseProcessesChangeIsAnError(t *testing.T) {
	before := Meter{[]reading{{name: "worker", pids: []int{1}}}}
	after := Meter{[]reading{{name: "worker", pids: []int{2}}}}
	if _, err := after.Since(before); err == nil {
		t.Error("a restarted worker was not noticed")
	}
}
