package process_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nestor-gateway/nestor/envoy/process"
)

// parentVariable makes this test program a nestor that runs an Envoy and is to be killed.
const parentVariable = "NESTOR_TEST_CHILD_OPTIONS"

// TestParentProcess is no test: it is the process that leaveBehind kills.
func TestParentProcess(t *testing.T) {
	raw := os.Getenv(parentVariable)
	if raw == "" {
		t.Skip("only run by other tests, in a process of its own")
	}
	var o process.Options
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.DiscardHandler)
	c, err := process.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("envoy " + strconv.Itoa(c.PID()) + "\n")
	_ = c.Run(context.Background())
}

// leaveBehind starts an Envoy in another process, kills that process and returns the
// pid of the Envoy, which lives on.
func leaveBehind(t *testing.T, o process.Options) int {
	t.Helper()
	o.Log = nil
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestParentProcess$")
	parent.Env = append(os.Environ(), parentVariable+"="+string(raw))
	parent.Stderr = t.Output()
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parent.Wait() }()
	defer func() { _ = parent.Process.Kill() }()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "envoy "); ok {
			pid, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			killLater(t, pid)
			return pid
		}
		t.Log(lines.Text())
	}
	t.Fatal("the other process started no Envoy")
	return 0
}

func TestEnvoyOfAKilledNestorIsAdoptedAndWatched(t *testing.T) {
	o := childOptions(t, nowhere)
	left := leaveBehind(t, o)
	if body, err := ask(o.Address, "/"); err != nil || body != "hello" {
		t.Fatalf("with its parent gone Envoy answers %q, %v", body, err)
	}

	c := startChild(t, o)
	if !c.Adopted() || c.PID() != left {
		t.Fatalf("Adopted = %v, pid %d; want pid %d adopted", c.Adopted(), c.PID(), left)
	}
	stop := runChild(t, c)
	if err := syscall.Kill(left, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an Envoy of our own takes its place", func() bool {
		body, err := ask(o.Address, "/")
		return c.PID() != left && err == nil && body == "hello"
	})
	killLater(t, c.PID())
	if c.Adopted() {
		t.Error("the new Envoy counts as adopted")
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestAdoptedEnvoyIsStoppedWithItsNewNestor(t *testing.T) {
	o := childOptions(t, nowhere)
	left := leaveBehind(t, o)
	c := startChild(t, o)
	if err := runChild(t, c)(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if !c.Adopted() || running(left) {
		t.Errorf("Adopted = %v, still running = %v; want true, false", c.Adopted(), running(left))
	}
}

func TestOwnEnvoyWithAnotherConfigurationIsReplaced(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*process.Options)
	}{
		{"bootstrap", func(o *process.Options) { o.Bootstrap = append(o.Bootstrap, '\n') }},
		{"worker threads", func(o *process.Options) { o.Concurrency = 2 }},
		{"version", func(o *process.Options) { o.Version = "1.40.1" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := childOptions(t, nowhere)
			left := leaveBehind(t, o)
			tc.change(&o)
			c := startChild(t, o)
			if c.Adopted() || c.PID() == left || running(left) {
				t.Errorf("Adopted = %v, pid %d (was %d), the old one runs: %v", c.Adopted(), c.PID(), left, running(left))
			}
			if body, err := ask(o.Address, "/"); err != nil || body != "hello" {
				t.Errorf("the new Envoy answers %q, %v", body, err)
			}
		})
	}
}

func TestEnvoyThatHangsIsReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a hung Envoy")
	}
	o := childOptions(t, nowhere)
	left := leaveBehind(t, o)
	if err := syscall.Kill(left, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c := startChild(t, o)
	if c.Adopted() || running(left) {
		t.Errorf("Adopted = %v, the hung one runs: %v; want false, false", c.Adopted(), running(left))
	}
}

func TestProcessThatGotTheOldPidIsNotTouched(t *testing.T) {
	o := childOptions(t, nowhere)
	stranger := exec.Command("sleep", "600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	})
	c := startChild(t, o)
	folder := filepath.Dir(c.LogFile())
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	record := `{"pid":` + strconv.Itoa(stranger.Process.Pid) + `,"born":1,"instance":"x"}`
	if err := os.WriteFile(filepath.Join(folder, "state.json"), []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}

	c = startChild(t, o)
	if c.Adopted() || c.PID() == stranger.Process.Pid || !running(stranger.Process.Pid) {
		t.Errorf("Adopted = %v, the stranger runs: %v; want false, true", c.Adopted(), running(stranger.Process.Pid))
	}
}
