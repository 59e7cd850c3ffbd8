package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/envoy/process"
)

const (
	childDeadline = 20 * time.Second
	childNode     = "child-test"
)

// childOptions returns options for a real Envoy that answers "hello" at a free port and
// passes /slow on to upstream. Whatever it starts is gone when the test ends.
func childOptions(t *testing.T, upstream string) process.Options {
	t.Helper()
	binary := os.Getenv("NESTOR_TEST_ENVOY")
	if binary == "" {
		t.Skip("NESTOR_TEST_ENVOY names no Envoy; `make test` gets one")
	}
	address := freeAddress(t)
	return process.Options{
		Binary: binary, Version: "1.40.0", Dir: t.TempDir(), Address: address,
		Bootstrap: childBootstrap(t, address, upstream), NodeID: childNode, Concurrency: 1,
		Grace: 5 * time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func childBootstrap(t *testing.T, address, upstream string) []byte {
	t.Helper()
	at := func(address string) map[string]any {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{"socket_address": map[string]any{"address": host, "port_value": json.Number(port)}}
	}
	routes := []any{
		map[string]any{"match": map[string]any{"prefix": "/slow"}, "route": map[string]any{"cluster": "upstream", "timeout": "0s"}},
		map[string]any{"match": map[string]any{"prefix": "/"}, "direct_response": map[string]any{
			"status": 200, "body": map[string]any{"inline_string": "hello"}}},
	}
	manager := map[string]any{
		"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix": "client",
		"http_filters": []any{map[string]any{"name": "router", "typed_config": map[string]any{
			"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}},
		"route_config": map[string]any{"virtual_hosts": []any{
			map[string]any{"name": "all", "domains": []any{"*"}, "routes": routes}}},
	}
	b, err := json.Marshal(map[string]any{
		"admin": map[string]any{"address": at("127.0.0.1:0")},
		"node":  map[string]any{"id": childNode, "cluster": "nestor"},
		"static_resources": map[string]any{
			"listeners": []any{map[string]any{
				"name": "client", "address": at(address), "traffic_direction": "INBOUND",
				"filter_chains": []any{map[string]any{"filters": []any{
					map[string]any{"name": "http", "typed_config": manager}}}},
			}},
			"clusters": []any{map[string]any{
				"name": "upstream", "load_assignment": map[string]any{"cluster_name": "upstream", "endpoints": []any{
					map[string]any{"lb_endpoints": []any{map[string]any{"endpoint": map[string]any{"address": at(upstream)}}}}}},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// startChild starts or adopts; the Envoy is killed when the test ends, if it still runs.
func startChild(t *testing.T, o process.Options) *process.Child {
	t.Helper()
	c, err := process.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	killLater(t, c.PID())
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), childDeadline)
	defer cancel()
	if err := c.Live(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func killLater(t *testing.T, pid int) {
	t.Helper()
	handle, err := os.FindProcess(pid) // holds this very process, not whoever gets its pid
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = handle.Kill() })
}

// runChild supervises until the returned function is called, which returns Run's error.
func runChild(t *testing.T, c *process.Child) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(cancel)
	return func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(childDeadline):
			return fmt.Errorf("Run did not return within %s", childDeadline)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ask returns the body that the address answers to GET path, over a connection of its own.
func ask(address, path string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: childDeadline}
	resp, err := client.Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	var id int
	var name, state string
	_, err = fmt.Sscan(string(stat), &id, &name, &state)
	return err == nil && state != "Z"
}

// eventually polls until what holds, and fails the test when it never does.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(childDeadline)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", childDeadline, what)
		case <-tick.C:
		}
	}
}
