package process_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/envoy/process"
)

const nowhere = "127.0.0.1:1"

func TestChildServesUntilItsContextEnds(t *testing.T) {
	o := childOptions(t, nowhere)
	c := startChild(t, o)
	stop := runChild(t, c)

	if body, err := ask(o.Address, "/"); err != nil || body != "hello" {
		t.Fatalf("GET / = %q, %v", body, err)
	}
	if sid := session(t, c.PID()); sid != c.PID() {
		t.Errorf("Envoy runs in session %d, want one of its own (%d)", sid, c.PID())
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if running(c.PID()) {
		t.Errorf("Envoy (pid %d) still runs", c.PID())
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(c.LogFile()), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if diff := cmp.Diff([]string{"envoy.log", "lock"}, left); diff != "" {
		t.Errorf("files left behind (-want +got):\n%s", diff)
	}
}

func TestChildThatDiesIsStartedAgain(t *testing.T) {
	o := childOptions(t, nowhere)
	c := startChild(t, o)
	stop := runChild(t, c)
	first := c.PID()

	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another Envoy answers", func() bool {
		body, err := ask(o.Address, "/")
		return c.PID() != first && err == nil && body == "hello"
	})
	killLater(t, c.PID())
	if c.Adopted() {
		t.Error("the new Envoy counts as adopted")
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestALogThatWasMovedAwayIsOpenedAnew(t *testing.T) {
	c := startChild(t, childOptions(t, nowhere))
	stop := runChild(t, c)
	if err := os.Rename(c.LogFile(), c.LogFile()+".1"); err != nil {
		t.Fatal(err)
	}
	if err := c.ReopenLog(); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	log, err := os.ReadFile(c.LogFile())
	if err != nil || !strings.Contains(string(log), "exiting") {
		t.Errorf("the new log has %q, %v; want what Envoy said since", log, err)
	}
	if info, err := os.Stat(c.LogFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the new log is %v, %v; want one for its owner alone", info.Mode(), err)
	}
}

func TestDrainLetsRequestsInFlightEndAndRefusesNewOnes(t *testing.T) {
	release := make(chan struct{})
	asked := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		_, _ = w.Write([]byte("late"))
	}))
	t.Cleanup(upstream.Close)
	o := childOptions(t, upstream.Listener.Addr().String())
	c := startChild(t, o)
	stop := runChild(t, c)

	answer := make(chan string, 1)
	go func() {
		body, err := ask(o.Address, "/slow")
		answer <- body + errorText(err)
	}()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, "new connections are refused", func() bool {
		_, err := ask(o.Address, "/")
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if !running(c.PID()) {
		t.Error("Envoy ended before the request in flight did")
	}
	close(release)
	if got := <-answer; got != "late" {
		t.Errorf("the request in flight got %q, want %q", got, "late")
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestDrainEndsWithTheGraceTime(t *testing.T) {
	gone := make(chan struct{})
	asked := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	}))
	t.Cleanup(upstream.Close)
	o := childOptions(t, upstream.Listener.Addr().String())
	o.Grace = 300 * time.Millisecond
	c := startChild(t, o)
	stop := runChild(t, c)

	go func() { _, _ = ask(o.Address, "/slow") }()
	<-asked
	began := time.Now()
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took < o.Grace || took > o.Grace+3*time.Second {
		t.Errorf("stopped after %s with a grace of %s", took, o.Grace)
	}
	<-gone
}

func TestChildThatCannotStartSaysWhy(t *testing.T) {
	o := childOptions(t, nowhere)
	o.Bootstrap = []byte(`{"static_resources": {"clusters": [{"name": ""}]}}`)
	c, err := process.Start(t.Context(), o)
	if err == nil {
		t.Fatal("started", c.Stop(t.Context()))
	}
	if !strings.Contains(err.Error(), "envoy ended at once") || !strings.Contains(err.Error(), "Clusters[0]") {
		t.Errorf("error = %v; want what Envoy's log says", err)
	}
}

func TestChildNeverSharesAnAddress(t *testing.T) {
	t.Run("with a nestor of the same data directory", func(t *testing.T) {
		o := childOptions(t, nowhere)
		first := startChild(t, o)
		wantHeld(t, o, "another nestor (pid ")
		if !running(first.PID()) {
			t.Error("the first Envoy was stopped")
		}
	})
	t.Run("with a nestor of another data directory", func(t *testing.T) {
		o := childOptions(t, nowhere)
		startChild(t, o)
		o.Dir = t.TempDir()
		wantHeld(t, o, "something else listens on "+o.Address)
	})
	t.Run("with a stranger", func(t *testing.T) {
		o := childOptions(t, nowhere)
		l, err := net.Listen("tcp", o.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		wantHeld(t, o, "something else listens on "+o.Address)
	})
}

func TestTwoChildrenOnTwoAddressesLeaveEachOtherAlone(t *testing.T) {
	a, b := childOptions(t, nowhere), childOptions(t, nowhere)
	b.Dir = a.Dir
	first, second := startChild(t, a), startChild(t, b)
	if err := runChild(t, first)(); err != nil {
		t.Fatal(err)
	}
	if body, err := ask(b.Address, "/"); err != nil || body != "hello" || !running(second.PID()) {
		t.Errorf("after the first was stopped the second answers %q, %v", body, err)
	}
}

func wantHeld(t *testing.T, o process.Options, text string) {
	t.Helper()
	c, err := process.Start(t.Context(), o)
	if err == nil {
		t.Fatal("started", c.Stop(t.Context()))
	}
	if !errors.Is(err, process.ErrAddressHeld) || !strings.Contains(err.Error(), text) {
		t.Errorf("error = %v; want ErrAddressHeld and %q", err, text)
	}
}

func session(t *testing.T, pid int) int {
	t.Helper()
	sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		t.Fatal(os.NewSyscallError("getsid", errno))
	}
	return int(sid)
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}
