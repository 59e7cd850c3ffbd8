package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrAddressHeld says that the client address is served by somebody else.
var ErrAddressHeld = errors.New("the address is in use")

// record is what a run leaves for the next one on the same address, in state.json.
type record struct {
	PID int `json:"pid"`
	// Born is when the process began, in clock ticks after boot; 0 where the
	// system does not tell. With it a reused pid is never taken for ours.
	Born uint64 `json:"born,omitempty"`
	// Instance is drawn for every start and stands in Envoy's node metadata.
	Instance string `json:"instance"`
}

// home is the folder of the Envoy of one client address, held by one process at a time.
type home struct {
	dir  string
	lock *os.File
}

// openHome makes and locks the folder. The lock goes with the process that holds it,
// however that ends; Envoy does not inherit it.
func openHome(dataDir, address string) (*home, error) {
	dir, err := filepath.Abs(filepath.Join(dataDir, "envoy-"+folderName(address)))
	if err != nil {
		return nil, fmt.Errorf("find the folder for envoy: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for envoy: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock for envoy: %w", err)
	}
	h := &home{dir: dir, lock: lock}
	if err := h.take(address); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return h, nil
}

func (h *home) take(address string) error {
	err := syscall.Flock(int(h.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		owner, _ := os.ReadFile(h.lock.Name()) // only for the message
		return fmt.Errorf("%w: another nestor (pid %s) runs the envoy of %s; stop it, or give this one another address",
			ErrAddressHeld, strings.TrimSpace(string(owner)), address)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", h.lock.Name(), err)
	}
	if err := h.lock.Truncate(0); err != nil {
		return fmt.Errorf("write %s: %w", h.lock.Name(), err)
	}
	_, err = fmt.Fprintln(h.lock, os.Getpid())
	return err
}

func (h *home) close() error { return h.lock.Close() }

func (h *home) bootstrap() string { return filepath.Join(h.dir, "bootstrap.json") }
func (h *home) admin() string     { return filepath.Join(h.dir, "admin-address") }
func (h *home) log() string       { return filepath.Join(h.dir, "envoy.log") }
func (h *home) state() string     { return filepath.Join(h.dir, "state.json") }

// save replaces the record in one step, so that a reader never sees half of it.
func (h *home) save(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	next := h.state() + ".new"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, h.state())
}

// load returns the record of the last run; false where there is none that can be read.
func (h *home) load() (record, bool) {
	b, err := os.ReadFile(h.state())
	if err != nil {
		return record{}, false
	}
	var r record
	if json.Unmarshal(b, &r) != nil || r.PID <= 0 {
		return record{}, false
	}
	return r, true
}

// clean removes what a stopped Envoy leaves; its log and the lock stay.
func (h *home) clean() {
	for _, path := range []string{h.state(), h.admin(), h.bootstrap()} {
		_ = os.Remove(path) // it may never have been written
	}
}

// folderName turns an address into a file name; different addresses never share one
// unless they differ only in characters that no address has.
func folderName(address string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '.', r == '-':
			return r
		}
		return '_'
	}, address)
}

// lastThread is how long a killed process may take to let go of its port.
const lastThread = time.Second

// checkFree fails when something listens on the address. Envoy itself would not:
// it shares the port (SO_REUSEPORT) with whoever does the same.
func checkFree(address string) error {
	l, err := net.Listen("tcp", address)
	// The last thread of an Envoy that was killed may keep its port a moment longer than its pid.
	for end := time.Now().Add(lastThread); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		<-time.After(20 * time.Millisecond)
		l, err = net.Listen("tcp", address)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: something else listens on %s; stop it, or choose another address "+
			"(an envoy that another --data-dir left behind is adopted only with that --data-dir)", ErrAddressHeld, address)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	return l.Close()
}
