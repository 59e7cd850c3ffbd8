package spend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// acquire makes the folder and takes it for this process. The lock goes with the process, however that ends.
func acquire(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for spend: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder for spend: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another process keeps its spend in %s; give this one a --data-dir of its own", dir)
	}
	return nil, fmt.Errorf("lock the folder for spend: %w", err)
}
