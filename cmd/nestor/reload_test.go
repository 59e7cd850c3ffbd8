package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/nestor-gateway/nestor/routing"
)

const (
	oneModel = "model_list: [{model_name: fast, litellm_params: {model: groq/a, api_key: k}}]\n"
	another  = "model_list: [{model_name: fast, litellm_params: {model: groq/b, api_key: k}}]\n"
	withKey  = "general_settings: {master_key: sk-m}\n"
)

// loaded is a gateway of a config, to which no Envoy is connected.
func loaded(t *testing.T, listen, text string) (g *gateway, path string) {
	t.Helper()
	path = writeConfig(t, text)
	g, err := newGateway(settings{config: path, listen: listen, grpcListen: "127.0.0.1:4001", httpListen: "127.0.0.1:4002", dataDir: t.TempDir()},
		io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.limits.Close)
	return g, path
}

func reloaderOf(t *testing.T, g *gateway) *reloader {
	t.Helper()
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return &reloader{gateway: g, watcher: w, content: g.content, retired: map[routing.Upstream]time.Time{}}
}

// watched runs a gateway's watch until the test ends.
func watched(t *testing.T, g *gateway) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// goesTo waits until the model's deployment is the one written so.
func (g *gateway) goesTo(t *testing.T, want string) {
	t.Helper()
	got := ""
	for end := time.After(10 * time.Second); got != want; {
		select {
		case <-end:
			t.Fatalf("goes to %q, want %q", got, want)
		case <-time.After(10 * time.Millisecond):
			target, _ := g.router.View().Snapshot().Resolve("fast")
			got = target.Deployments()[0].Written
		}
	}
}

func TestAKeyIsNotTakenAwayAtAnOpenAddress(t *testing.T) {
	g, path := loaded(t, ":4000", oneModel+withKey)
	r := reloaderOf(t, g)
	write(t, path, another)
	r.reload(t.Context())
	g.goesTo(t, "groq/a")
	if _, denial := g.callers.index.Authenticate(func(string) string { return "" }); denial == nil {
		t.Error("a request without a key is let in at " + g.client)
	}
}

func TestADatabaseThatIsNoneChangesNothing(t *testing.T) {
	g, path := loaded(t, "127.0.0.1:4000", oneModel)
	r := reloaderOf(t, g)
	write(t, path, another+"general_settings: {database_url: 'mysql://u:p@h/db'}\n")
	r.reload(t.Context())
	g.goesTo(t, "groq/a")
}

func TestAChangeBeforeTheWatchIsSeen(t *testing.T) {
	g, path := loaded(t, ":4000", oneModel)
	write(t, path, another)
	watched(t, g)
	g.goesTo(t, "groq/b")
}

func TestAnIncludeThatComesLaterIsSeen(t *testing.T) {
	g, path := loaded(t, ":4000", oneModel)
	watched(t, g)
	write(t, path, "include: [more.yaml]\n")
	for end := time.After(3 * settle); ; { // the file alone is read, and refused
		select {
		case <-end:
			write(t, filepath.Join(filepath.Dir(path), "more.yaml"), another)
			g.goesTo(t, "groq/b")
			return
		case <-time.After(settle):
		}
	}
}

func TestALogBesideTheConfigDoesNotHoldTheReloadBack(t *testing.T) {
	g, path := loaded(t, ":4000", oneModel)
	watched(t, g)
	noise := time.NewTicker(settle / 5)
	defer noise.Stop()
	write(t, path, another)
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	for lines := ""; ; lines += "line\n" {
		select {
		case <-noise.C:
			write(t, filepath.Join(filepath.Dir(path), "log"), lines)
			if target, _ := g.router.View().Snapshot().Resolve("fast"); target.Deployments()[0].Written == "groq/b" {
				return
			}
		case <-ctx.Done():
			t.Fatal("not reloaded")
		}
	}
}

func TestUpstreamsStayForTheLongestTimeout(t *testing.T) {
	g, path := loaded(t, ":4000", oneModel+"model_groups: {fast: {timeout: 3600}}\n")
	r := reloaderOf(t, g)
	write(t, path, strings.ReplaceAll(another, "groq", "mistral"))
	begin := time.Now()
	r.reload(t.Context())
	if len(r.retired) != 1 {
		t.Fatalf("retired %v, want the upstream of groq", r.retired)
	}
	for u, until := range r.retired {
		if u.Host != "api.groq.com" || until.Sub(begin) < time.Hour {
			t.Errorf("%s goes after %v", u.Host, until.Sub(begin))
		}
	}
}
