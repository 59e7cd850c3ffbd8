package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// firstStart says whether to believe that nothing has been used of the limits in Redis: when that was said, and no
// nestor of this data directory has shared limits before. A Redis that is empty has then lost what it knew.
func (s settings) firstStart(log *slog.Logger) bool {
	if !s.freshLimits {
		return false
	}
	mark := filepath.Join(s.dataDir, "limits-shared")
	err := os.MkdirAll(s.dataDir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(mark, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			err = f.Close()
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		log.Info("--fresh-limits is passed over: limits have been shared from this data directory before", "mark", mark)
	case err != nil:
		log.Warn("--fresh-limits is passed over: that this is the first start can't be noted", "error", err)
	}
	return err == nil
}
