package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/routing"
)

// settle is how long the files must be quiet before they are read: editors and
// Kubernetes change several things in a row.
const settle = 100 * time.Millisecond

// watch reloads the config when its files change or SIGHUP comes, until ctx ends.
func (g *gateway) watch(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", g.settings.config, err)
	}
	defer func() { _ = w.Close() }()
	r := &reloader{gateway: g, watcher: w, content: map[string]string{}, retired: map[routing.Upstream]time.Time{}}
	r.follow(g.files)
	return r.loop(ctx, hangups)
}

// reloader reads changed files and puts a config in force, one at a time.
type reloader struct {
	gateway *gateway
	watcher *fsnotify.Watcher
	files   []string
	content map[string]string
	// retired are upstreams that requests in flight may still need, and until when.
	retired map[routing.Upstream]time.Time
}

func (r *reloader) loop(ctx context.Context, hangups <-chan os.Signal) error {
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	sweep := time.NewTicker(time.Minute)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			r.reload(ctx)
		case <-r.watcher.Events:
			quiet.Reset(settle)
		case err := <-r.watcher.Errors:
			r.gateway.log.Warn("watching the config", "error", err)
		case <-quiet.C:
			if r.changed() {
				r.reload(ctx)
			}
		case <-sweep.C:
			r.sweep(ctx)
		}
	}
}

// follow watches the folders, not the files: a file that is replaced, or reached
// through a link that is, is then seen too.
func (r *reloader) follow(files []string) {
	r.files = files
	for _, f := range files {
		if err := r.watcher.Add(filepath.Dir(f)); err != nil {
			r.gateway.log.Warn("changes of a config file will not be seen", "file", f, "error", err)
		}
	}
	r.changed()
}

// changed reads the files and reports whether one is not what it was.
func (r *reloader) changed() bool {
	changed := false
	for _, f := range r.files {
		b, err := os.ReadFile(f)
		if err != nil {
			b = nil
		}
		if text := string(b); text != r.content[f] {
			r.content[f], changed = text, true
		}
	}
	return changed
}

// reload puts the files' config in force. What can fail comes first; a bad file changes nothing.
func (r *reloader) reload(ctx context.Context) {
	g := r.gateway
	cfg, snapshot, notes, err := compile(g.settings.config, g.providers)
	if err != nil {
		g.log.Error("config not reloaded: the one in force stays", "error", err)
		return
	}
	if _, err := clientAddress(g.settings.listen, cfg.MasterKey == "", g.settings.allowAnonymous); err != nil {
		g.log.Error("config not reloaded: the one in force stays", "error", err)
		return
	}
	before := g.router.View().Snapshot()
	r.retire(before, snapshot)
	if err := g.xds.Update(ctx, r.upstreams(snapshot)); err != nil {
		g.log.Error("config not reloaded: Envoy did not take its upstreams", "error", err)
		return
	}
	g.auth.Store(access.NewMaster(cfg.MasterKey))
	g.router.Swap(snapshot)
	r.follow(cfg.Files)
	for _, n := range notes {
		g.log.Warn("config", "at", n.String(), "hint", n.Hint)
	}
	sum := snapshot.Summary()
	g.log.Info("config reloaded", "groups", sum.Groups, "deployments", sum.Deployments, "upstreams", sum.Upstreams)
}

// retire keeps the upstreams that go for as long as a request that began with them may take.
func (r *reloader) retire(before, after *routing.Snapshot) {
	until := time.Now().Add(longest(before))
	for _, u := range before.Upstreams() {
		if !slices.Contains(after.Upstreams(), u) {
			r.retired[u] = until
		}
	}
}

func (r *reloader) upstreams(s *routing.Snapshot) []routing.Upstream {
	all := slices.Clone(s.Upstreams())
	for u := range r.retired {
		if !slices.Contains(all, u) {
			all = append(all, u)
		}
	}
	return all
}

// sweep takes retired upstreams away from Envoy when their time is over.
func (r *reloader) sweep(ctx context.Context) {
	gone := 0
	for u, until := range r.retired {
		if time.Now().After(until) {
			delete(r.retired, u)
			gone++
		}
	}
	if gone == 0 {
		return
	}
	if err := r.gateway.xds.Update(ctx, r.upstreams(r.gateway.router.View().Snapshot())); err != nil {
		r.gateway.log.Warn("upstreams not removed from Envoy", "error", err)
	}
}

// longest is the longest time a request to a deployment of the snapshot may take.
func longest(s *routing.Snapshot) time.Duration {
	var most time.Duration
	for _, d := range s.Deployments() {
		unary, stream := s.Timeouts(d, "")
		most = max(most, unary, stream)
	}
	return most
}
