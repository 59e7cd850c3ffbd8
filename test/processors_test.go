package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pair is a static Envoy with two processors.
type pair struct {
	gateway
	processors [2]*process
}

// runPair starts two `nestor serve` and an Envoy with the configuration that `nestor bootstrap --static` prints.
func runPair(t *testing.T, config, model string) *pair {
	t.Helper()
	envoy := need(t, "envoy")
	dir, at := t.TempDir(), freeAddresses(t, 6)
	p := &pair{gateway: gateway{t: t, dir: dir, config: filepath.Join(dir, "config.yaml"), url: "http://" + at[0], http: "http://" + at[3], admin: "http://" + at[5]}}
	p.configure(config)
	for i := range p.processors {
		p.processors[i] = launch(t, dir, []string{"one.log", "two.log"}[i], binary(t), "serve", "--config", p.config,
			"--listen", at[0], "--grpc-listen", at[1+i], "--http-listen", at[3+i], "--data-dir", filepath.Join(dir, []string{"one", "two"}[i]), "--fresh-limits")
	}
	static, err := exec.Command(binary(t), "bootstrap", "--static", "--config", p.config, "--listen", at[0],
		"--grpc-listen", at[1], "--grpc-listen", at[2], "--http-listen", at[3], "--admin-listen", at[5]).Output()
	if err != nil {
		t.Fatalf("nestor bootstrap: %v", err)
	}
	path := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(path, static, 0o600); err != nil {
		t.Fatal(err)
	}
	p.nestor = launch(t, dir, "envoy.log", envoy, "--config-path", path, "--concurrency", "1", "--disable-hot-restart")
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"one.log", "two.log", "envoy.log"} {
				t.Logf("the end of %s:\n%s", name, lastLines([]byte(readFile(t, filepath.Join(dir, name))), 20))
			}
		}
	})
	p.answersSoon("a static Envoy with two processors answers", model)
	return p
}

// loadPair is a pair that serves eight clients.
func loadPair(t *testing.T) (*pair, *load) {
	t.Helper()
	p := runPair(t, yaml(oneDeployment, provide(t, "a")), "gpt")
	l := p.load(8, ask("gpt", "delay=20ms"))
	eventually(t, 5*time.Second, "the load runs", func() bool { return l.count() > 50 })
	return p, l
}

// goesOn wants a load to be served from now on, and ends it.
func goesOn(t *testing.T, l *load) {
	t.Helper()
	before := l.count()
	eventually(t, 10*time.Second, "the load goes on", func() bool { return l.count() > before+300 })
	l.stop(t)
}

func TestAHungProcessorIsLeftWithinTwoSeconds(t *testing.T) {
	p, l := loadPair(t)
	p.processors[0].signal(t, syscall.SIGSTOP)
	hung := time.Now()
	// Requests wait for an answer of the hung one until Envoy gives it up; 8 clients cannot pass that by.
	client := httpClient(t)
	slowest := time.Duration(0)
	for time.Since(hung) < 4*time.Second {
		before := time.Now()
		if got, err := do(client, http.MethodPost, p.url+"/v1/chat/completions", ask("gpt", "")); err != nil || got.Status != http.StatusOK {
			t.Fatalf("%v after the processor hung: status %d, %v", time.Since(hung), got.Status, err)
		}
		took := time.Since(before)
		slowest = max(slowest, took)
		if late := before.Sub(hung) > 2*time.Second; late && took > 500*time.Millisecond {
			t.Errorf("a request that began %v after the processor hung took %v", before.Sub(hung), took)
		}
	}
	l.stop(t)
	t.Logf("the slowest request took %v", slowest)
	if slowest > 2500*time.Millisecond {
		t.Errorf("the slowest request took %v, want the hung processor left within 2 s", slowest)
	}
	for i := 1; i < len(l.ends); i++ {
		if gap := l.ends[i].Sub(l.ends[i-1]); gap > 2500*time.Millisecond {
			t.Errorf("no answer for %v", gap)
		}
	}
	p.processors[0].signal(t, syscall.SIGCONT)
}

func TestAKilledProcessorLeavesItsWorkToTheOther(t *testing.T) {
	p, l := loadPair(t)
	p.processors[0].kill(t)
	goesOn(t, l)
}

func TestAnotherProcessorUnderstandsAFailure(t *testing.T) {
	a, b := provide(t, "a"), provide(t, "b")
	p := runPair(t, yaml(firstAndSecond, a, b), "pair")
	calls(a, b)
	for range 40 {
		got := p.chat("pair", "status=500;for=a").succeeds(t)
		if id := origin(got)["id"]; id != "second" {
			t.Errorf("answered by %s", id)
		}
	}
	if n := calls(a, b); n[1] != 40 || n[0] < 40 || n[0] > 80 {
		t.Errorf("%v calls for 40 requests", n)
	}
}

// A body that is on its way holds its exchange open.
func TestATerminatedServeFinishesTheExchangesItHas(t *testing.T) {
	a := provide(t, "a")
	p := runPair(t, yaml(oneDeployment, a), "gpt")
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := ask("gpt", "")
	fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(body), body[:20])
	eventually(t, 5*time.Second, "its exchange has begun", func() bool {
		got, err := do(httpClient(t), http.MethodGet, p.admin+"/stats?filter=nestor-grpc.upstream_rq_active", "")
		return err == nil && strings.Contains(string(got.Body), "upstream_rq_active: 1")
	})
	for _, s := range p.processors {
		s.signal(t, syscall.SIGTERM)
	}
	<-time.After(4 * time.Second) // more than a nestor with nothing to do takes to end
	_, _ = io.WriteString(c, body[20:])
	got, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	if got.StatusCode != http.StatusOK {
		t.Errorf("the request in flight ended with %d", got.StatusCode)
	}
	for _, s := range p.processors {
		if got := s.exitStatus(t, 5*time.Second); got != 0 {
			t.Errorf("nestor ended with %d", got)
		}
	}
}

func TestATerminatedServeFailsNoRequestOfTheOthers(t *testing.T) {
	p, l := loadPair(t)
	p.processors[0].signal(t, syscall.SIGTERM)
	if got := p.processors[0].exitStatus(t, 5*time.Second); got != 0 {
		t.Errorf("nestor ended with %d", got)
	}
	goesOn(t, l)
}
