package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/nestor-gateway/nestor/routing"
)

const (
	// settle is how long the files must be quiet before they are read: editors and
	// Kubernetes change several things in a row.
	settle = 100 * time.Millisecond
	// patience is how long that is waited for: a log that stands beside the config is never quiet.
	patience = time.Second
)

// catchHangups has a SIGHUP wait for watch, from before the config is read: it would end a process that does not look
// for it yet.
func catchHangups() chan os.Signal {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// watch reloads the config when its files change or SIGHUP comes, until ctx ends.
func (g *gateway) watch(ctx context.Context) error {
	defer signal.Stop(g.hangups)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", g.settings.config, err)
	}
	defer func() { _ = w.Close() }()
	r := &reloader{gateway: g, watcher: w, content: g.content, retired: map[routing.Upstream]time.Time{}}
	r.follow()
	if r.changed() { // since they were loaded
		r.reload(ctx)
	}
	return r.loop(ctx, g.hangups)
}

// reloader reads changed files and puts a config in force, one at a time.
type reloader struct {
	gateway *gateway
	watcher *fsnotify.Watcher
	// content is what the files of the config held before they were last read.
	content contents
	// retired are upstreams that requests in flight may still need, and until when.
	retired map[routing.Upstream]time.Time
	// since is the first event that was not acted upon yet; zero when there is none.
	since time.Time
	// broken: the files could not be put in force. A file that has appeared since may be the one that lacked.
	broken, appeared bool
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
		case event := <-r.watcher.Events:
			r.appeared = r.appeared || event.Has(fsnotify.Create)
			r.wait(quiet)
		case err := <-r.watcher.Errors:
			r.gateway.log.Warn("watching the config", "error", err)
			r.wait(quiet) // events may be lost
		case <-quiet.C:
			if r.since = (time.Time{}); r.changed() || r.broken && r.appeared {
				r.reload(ctx)
			}
			r.appeared = false
		case <-sweep.C:
			r.sweep(ctx)
		}
	}
}

// wait sets the time to look at the files.
func (r *reloader) wait(quiet *time.Timer) {
	if r.since.IsZero() {
		r.since = time.Now()
	}
	quiet.Reset(min(settle, time.Until(r.since.Add(patience))))
}

// follow watches the folders, not the files: a file that is replaced, or reached
// through a link that is, is then seen too.
func (r *reloader) follow() {
	for f := range r.content {
		if err := r.watcher.Add(filepath.Dir(f)); err != nil {
			r.gateway.log.Warn("changes of a config file will not be seen", "file", f, "error", err)
		}
	}
}

// contents are hashes of what files hold, by path; all zero for one that can't be read.
type contents map[string][sha256.Size]byte

func contentsOf(files iter.Seq[string]) contents {
	c := contents{}
	for f := range files {
		c[f] = [sha256.Size]byte{}
		if b, err := os.ReadFile(f); err == nil {
			c[f] = sha256.Sum256(b)
		}
	}
	return c
}

// changed looks at the files and reports whether one is not what it was.
func (r *reloader) changed() bool {
	before := r.content
	r.content = contentsOf(maps.Keys(before))
	return !maps.Equal(before, r.content)
}

// reload puts the files' config in force. What can fail comes first; a bad file changes nothing.
func (r *reloader) reload(ctx context.Context) {
	g := r.gateway
	r.broken = true
	r.changed() // a change from here on counts as one after the reload
	cfg, snapshot, notes, err := compile(g.settings.config, g.providers)
	if err == nil {
		// The address is that of the start: without a key it must not be open now.
		_, err = clientAddress(g.client, cfg.MasterKey == "", g.settings.allowAnonymous)
	}
	var place redisPlace
	if err == nil {
		place, err = redisOf(g.settings, cfg)
	}
	if err == nil {
		err = checkDatabase(cfg)
	}
	if err != nil {
		g.log.Error("config not reloaded: the one in force stays", "error", err)
		return
	}
	files := contentsOf(slices.Values(cfg.Files))
	for f := range files {
		if before, known := r.content[f]; known {
			files[f] = before
		}
	}
	r.retire(g.router.View().Snapshot(), snapshot)
	if err := g.xds.Update(ctx, r.upstreams(snapshot)); err != nil {
		g.log.Error("config not reloaded: Envoy did not take its upstreams", "error", err)
		return
	}
	wasAnonymous := g.callers.anonymous
	g.callers.apply(cfg, snapshot)
	g.router.Swap(snapshot)
	r.broken, r.content = false, files
	r.follow()
	logNotes(g.log, notes)
	g.limits.tellMoved(place, g.log)
	g.callers.tellMaster(wasAnonymous, g.client)
	sum := snapshot.Summary()
	g.log.Info("config reloaded", "groups", sum.Groups, "deployments", sum.Deployments, "upstreams", sum.Upstreams)
}

// retire keeps the upstreams that go for as long as a request that began with them may take.
func (r *reloader) retire(before, after *routing.Snapshot) {
	until := time.Now().Add(before.LongestTimeout())
	stays := setOf(after.Upstreams())
	for _, u := range before.Upstreams() {
		if !stays[u] {
			r.retired[u] = until
		}
	}
}

func setOf(upstreams []routing.Upstream) map[routing.Upstream]bool {
	set := make(map[routing.Upstream]bool, len(upstreams))
	for _, u := range upstreams {
		set[u] = true
	}
	return set
}

func (r *reloader) upstreams(s *routing.Snapshot) []routing.Upstream {
	all := s.Upstreams()
	current := setOf(all)
	for u := range r.retired {
		if !current[u] {
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
