package test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gateway is a nestor with its Envoy.
type gateway struct {
	t      *testing.T
	dir    string
	config string // path of config.yaml
	url    string // where clients connect
	http   string // nestor's HTTP port
	admin  string // Envoy's administration
	args   []string
	nestor *process
	before int // lines about readiness when nestor was started last
}

// run starts `nestor run` with a config and waits until it is ready. Everything ends with the test.
func run(t *testing.T, config string, flags ...string) *gateway {
	t.Helper()
	g := prepare(t, config, flags...)
	g.start()
	return g
}

// prepare is run without the start.
func prepare(t *testing.T, config string, flags ...string) *gateway {
	t.Helper()
	envoy := need(t, "envoy")
	at := freeAddresses(t, 4)
	dir := t.TempDir()
	g := &gateway{t: t, dir: dir, config: filepath.Join(dir, "config.yaml"),
		url: "http://" + at[0], http: "http://" + at[2], admin: "http://" + at[3]}
	g.args = append([]string{"run", "--config", g.config, "--listen", at[0], "--grpc-listen", at[1], "--http-listen", at[2],
		"--admin-listen", at[3], "--data-dir", filepath.Join(dir, "data"), "--fresh-limits", "--envoy", envoy,
		"--envoy-concurrency", "1", "--grace", "5s"}, flags...)
	g.configure(config)
	// Cleanups run in reverse: nestor ends first, then an Envoy that it left behind.
	t.Cleanup(g.endEnvoy)
	t.Cleanup(g.judge)
	return g
}

// configure replaces the config in one step, as an editor or Kubernetes does.
func (g *gateway) configure(config string) {
	g.t.Helper()
	next := g.config + ".new"
	if err := os.WriteFile(next, []byte(config), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(next, g.config); err != nil {
		g.t.Fatal(err)
	}
}

// start starts nestor, for the first time or again, and waits until it says that it is ready.
func (g *gateway) start() {
	g.t.Helper()
	g.launch()
	g.ready()
}

func (g *gateway) launch() {
	g.t.Helper()
	g.before = 0
	if g.nestor != nil {
		g.before = len(g.lines("ready"))
	}
	g.nestor = launch(g.t, g.dir, "nestor.log", binary(g.t), g.args...)
}

// ready waits until the nestor started last says so.
func (g *gateway) ready() {
	g.t.Helper()
	eventually(g.t, 20*time.Second, "nestor is ready", func() bool {
		if !g.nestor.running() {
			g.t.Fatalf("nestor ended: %v", g.nestor.status)
		}
		return len(g.lines("ready")) > g.before
	})
}

// lines are those of nestor's log with that message, exactly.
func (g *gateway) lines(message string) []string {
	g.t.Helper()
	marks := []string{"msg=" + message + " ", "msg=" + message + "\n", `msg="` + message + `"`}
	var found []string
	for line := range strings.Lines(g.nestor.text(g.t)) {
		if slices.ContainsFunc(marks, func(mark string) bool { return strings.Contains(line, mark) }) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// kill ends nestor as kill -9 does; its Envoy lives on.
func (g *gateway) kill() {
	g.t.Helper()
	g.nestor.kill(g.t)
}

// envoy returns the process id of the Envoy that serves this gateway, or 0.
func (g *gateway) envoy() int {
	paths, _ := filepath.Glob(filepath.Join(g.dir, "data", "envoy-*", "state.json"))
	for _, path := range paths {
		var state struct{ PID int }
		if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &state) == nil && alive(state.PID) {
			return state.PID
		}
	}
	return 0
}

// endEnvoy stops an Envoy that outlived its nestor.
func (g *gateway) endEnvoy() {
	pid := g.envoy()
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	if !soon(3*time.Second, func() bool { return !alive(pid) }) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// envoyLog returns the path of Envoy's log.
func (g *gateway) envoyLog() string {
	paths, _ := filepath.Glob(filepath.Join(g.dir, "data", "envoy-*", "envoy.log"))
	if len(paths) == 0 {
		return ""
	}
	return paths[0]
}

// judge fails a test whose nestor crashed, and shows the logs of one that failed.
func (g *gateway) judge() {
	log, _ := os.ReadFile(filepath.Join(g.dir, "nestor.log"))
	for _, sign := range []string{"panic", "fatal error:", "DATA RACE"} {
		if at := bytes.Index(log, []byte(sign)); at >= 0 {
			g.t.Errorf("nestor's log:\n%s", log[at:min(len(log), at+4000)])
		}
	}
	if !g.t.Failed() {
		return
	}
	for _, path := range []string{filepath.Join(g.dir, "nestor.log"), g.envoyLog()} {
		if b, err := os.ReadFile(path); err == nil {
			g.t.Logf("the end of %s:\n%s", filepath.Base(path), lastLines(b, 30))
		}
	}
}
