package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/nestor-gateway/nestor/extproc"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/config"
)

// openLimits opens the store that limits are kept in: Redis where the settings or the config name one, else
// the memory of this process.
func openLimits(s settings, cfg *config.Config, client string, log *slog.Logger) (*limits, error) {
	place, err := redisOf(s, cfg)
	if err != nil {
		return nil, err
	}
	if place.Given() {
		return shareLimits(s, place, log)
	}
	tellUnshared(cfg, log)
	store, err := keepLimits(s, client, log)
	if err != nil {
		return nil, err
	}
	return &limits{store: store, place: place, close: []func(){func() { _ = store.Close() }}}, nil
}

// keepLimits opens the store of one process, which keeps what was used in a file of the data directory.
// client is where clients connect: processes that serve one address must not each keep its limits.
func keepLimits(s settings, client string, log *slog.Logger) (*ratelimit.Memory, error) {
	name := "limits-" + strings.NewReplacer(":", "_", "[", "", "]", "").Replace(client)
	store, err := ratelimit.OpenMemory(ratelimit.Options{
		File: filepath.Join(s.dataDir, name), Fresh: s.freshLimits, Life: extproc.Life(s.signs),
		Warn: func(text string) { log.Warn("limits: " + text) },
	})
	if err != nil {
		return nil, fmt.Errorf("limits of %s: %w; processes that serve together share limits through --redis-url, "+
			"others need a --data-dir of their own", client, err)
	}
	if _, err := os.Stat(filepath.Join(s.dataDir, name)); err != nil {
		log.Warn("limits: what they have used is not kept: after a restart they admit nothing for one minute", "error", err)
	}
	return store, nil
}
