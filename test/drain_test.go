package test

import (
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

func TestTerminationLetsRequestsInFlightEndAndRefusesNewOnes(t *testing.T) {
	a := provide(t, "first")
	g := run(t, yaml(oneDeployment, a))
	address := g.url[len("http://"):]

	client := httpClient(t)
	status := make(chan int, 1)
	go func() {
		got, _ := do(client, http.MethodPost, g.url+"/v1/chat/completions", ask("gpt", "delay=2s"))
		status <- got.Status
	}()
	eventually(t, 5*time.Second, "the request is at the provider", func() bool { return a.total() == 1 })
	g.nestor.signal(t, syscall.SIGTERM)
	eventually(t, time.Second, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if got := <-status; got != http.StatusOK {
		t.Errorf("the request in flight ended with %d", got)
	}
	if got := g.nestor.exitStatus(t, 5*time.Second); got != 0 {
		t.Errorf("nestor ended with %d", got)
	}
}

func TestTerminationBeforeReadyIsNoError(t *testing.T) {
	g := prepare(t, yaml(oneDeployment, provide(t, "a")))
	g.launch()
	eventually(t, 10*time.Second, "Envoy has been started", func() bool { return g.envoy() != 0 })
	g.nestor.signal(t, syscall.SIGTERM)
	if got := g.nestor.exitStatus(t, 10*time.Second); got != 0 || len(g.lines("ready")) > 0 {
		t.Errorf("nestor ended with %d, want 0 before it was ready, and says:\n%s", got, g.nestor.text(t))
	}
	if pid := g.envoy(); pid != 0 {
		t.Errorf("its Envoy (pid %d) still runs", pid)
	}
}

func TestTerminationDuringAdoptionLeavesNoEnvoy(t *testing.T) {
	g := run(t, yaml(oneDeployment, provide(t, "a")))
	left := g.envoy()
	g.kill()
	if err := syscall.Kill(left, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	g.launch()
	eventually(t, 10*time.Second, "the new nestor listens", func() bool {
		c, err := net.Dial("tcp", g.http[len("http://"):])
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	g.nestor.signal(t, syscall.SIGTERM)
	if err := syscall.Kill(left, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := g.nestor.exitStatus(t, 10*time.Second); got != 0 {
		t.Errorf("nestor ended with %d and says:\n%s", got, g.nestor.text(t))
	}
	if alive(left) {
		t.Errorf("the Envoy (pid %d) still runs", left)
	}
}

func TestTerminationWaitsForTheGraceTimeAtMost(t *testing.T) {
	a := provide(t, "first")
	g := run(t, yaml(oneDeployment, a), "--grace", "1s")
	go func() {
		_, _ = do(httpClient(t), http.MethodPost, g.url+"/v1/chat/completions", ask("gpt", "delay=30s"))
	}()
	eventually(t, 5*time.Second, "the request is at the provider", func() bool { return a.total() == 1 })
	g.nestor.signal(t, syscall.SIGTERM)
	if got := g.nestor.exitStatus(t, 5*time.Second); got != 0 {
		t.Errorf("nestor ended with %d and says:\n%s", got, g.nestor.text(t))
	}
	if pid := g.envoy(); pid != 0 {
		t.Errorf("its Envoy (pid %d) still runs", pid)
	}
}
