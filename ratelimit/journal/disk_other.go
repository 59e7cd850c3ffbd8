//go:build !linux

package journal

import (
	"errors"
	"time"
)

// ErrLocked says that another process has the file.
var ErrLocked = errors.New("another process uses it")

// Lock is the right to use a file.
type Lock struct {
	// Stored is called after every store to the file, in tests.
	Stored func()
}

type disk struct{}

var errSystem = errors.New("only Linux tells one run of the machine from the next")

// Now returns the time since it was called.
func Now() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Acquire fails.
func Acquire(string, time.Duration) (*Lock, error) { return nil, errSystem }

// Release does nothing.
func (*Lock) Release() error { return nil }

// Load fails.
func (*Lock) Load(time.Duration) (*File, *Contents, error) { return nil, nil, errSystem }

// Create fails.
func (*Lock) Create(time.Duration) (*File, error) { return nil, errSystem }

// Close does nothing.
func (*File) Close() error { return nil }

func (*disk) allocate(int64) error                { return errSystem }
func (*disk) mapped(int64, int64) ([]byte, error) { return nil, errSystem }
