package main

import (
	"log/slog"
	"path/filepath"
	"testing"
)

func TestLimitsInRedisAreFreshOnce(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir := filepath.Join(t.TempDir(), "new")
	if (settings{dataDir: dir}).firstStart(log) {
		t.Error("fresh without a word")
	}
	for i, want := range []bool{true, false, false} {
		if got := (settings{dataDir: dir, freshLimits: true}).firstStart(log); got != want {
			t.Errorf("start %d: fresh %v, want %v", i, got, want)
		}
	}
	if (settings{dataDir: filepath.Join("/dev/null", "dir"), freshLimits: true}).firstStart(log) {
		t.Error("fresh where no mark can be left: the next start would be too")
	}
}
