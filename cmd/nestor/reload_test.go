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

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
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

// warnings has a gateway log what is worth a warning.
func warnings(g *gateway) *strings.Builder {
	var text strings.Builder
	g.log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g.callers.log = g.log
	return &text
}

func TestAMasterKeyThatGoesOrComesIsWarnedOf(t *testing.T) {
	for name, tc := range map[string]struct{ before, after, want string }{
		"it goes":   {oneModel + withKey, another, "everybody who reaches the address may call"},
		"it comes":  {oneModel, another + withKey, "no virtual keys until nestor is started again"},
		"it stays":  {oneModel + withKey, another + withKey, ""},
		"never one": {oneModel, another, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g, path := loaded(t, "127.0.0.1:4000", tc.before)
			t.Cleanup(g.callers.close)
			log := warnings(g)
			write(t, path, tc.after)
			reloaderOf(t, g).reload(t.Context())
			g.goesTo(t, "groq/b")
			if got := log.String(); !strings.Contains(got, tc.want) || tc.want == "" && got != "" || strings.Count(got, "\n") > 1 {
				t.Errorf("logged %q, want %q", got, tc.want)
			}
		})
	}
}

// Keys that were given stop meaning anything, and mean the same again when the master key is back.
func TestWithoutAMasterKeyVirtualKeysAreNotLookedAt(t *testing.T) {
	g, path := loaded(t, "127.0.0.1:4000", oneModel+withKey)
	t.Cleanup(g.callers.close)
	r, index := reloaderOf(t, g), g.callers.index
	blocked := record.Key{Token: record.TokenOf("sk-blocked"), Blocked: true}
	if err := g.callers.store.InsertKey(t.Context(), blocked, record.Audit{}); err != nil {
		t.Fatal(err)
	}
	if err := index.Apply(t.Context(), record.Change{Kind: record.OfKey, ID: blocked.Token}); err != nil {
		t.Fatal(err)
	}
	asks := func() (access.Principal, *access.Denial) {
		return index.Authenticate(func(name string) string { return map[string]string{"x-api-key": "sk-blocked"}[name] })
	}
	if _, d := asks(); d == nil {
		t.Fatal("a blocked key is let in")
	}
	write(t, path, another)
	r.reload(t.Context())
	if who, d := asks(); d != nil || who != (access.Principal{Anonymous: true}) {
		t.Errorf("%+v, %v: want anybody", who, d)
	}
	write(t, path, oneModel+withKey)
	r.reload(t.Context())
	if _, d := asks(); d == nil {
		t.Error("a blocked key is let in though the master key is back")
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
