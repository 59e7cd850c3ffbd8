package journal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process has the file.
var ErrLocked = errors.New("another process uses it")

// Lock is the right to use a file.
type Lock struct {
	// Stored is called after every store to the file: there a test lets the process die. It is nil otherwise.
	Stored func()

	path string
	file *os.File
}

// disk is the file as the system knows it.
type disk struct {
	file *os.File
	maps [][]byte
}

// Now returns the time since the machine was started, in a clock that is the same in every process
// and that nobody can set.
func Now() func() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		ts = unix.Timespec{}
	}
	base, start := time.Duration(ts.Nano()), time.Now()
	return func() time.Duration { return base + time.Since(start) }
}

// boot names this run of the machine, and whose clock it is: containers can have one of their own.
func boot() ([sha256.Size]byte, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	clock, err := os.Readlink("/proc/self/ns/time")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(append(id, clock...)), nil
}

// Acquire takes the lock of the file at a path. It waits for another process to end; then the error is ErrLocked.
func Acquire(path string, wait time.Duration) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &Lock{path: path, file: file}, nil
		}
		if err == unix.EWOULDBLOCK && time.Now().Before(end) {
			continue
		}
		file.Close()
		if err == unix.EWOULDBLOCK {
			err = ErrLocked
		}
		return nil, err
	}
}

// Release gives the lock up.
func (l *Lock) Release() error { return l.file.Close() }

// Load opens the file as it is. The error says why it can't be used; it is fs.ErrNotExist when there is none.
func (l *Lock) Load(now time.Duration) (*File, *Contents, error) {
	id, err := boot()
	if err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(l.path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, err
	}
	f := &File{disk: &disk{file: file}, head: words{stored: l.Stored}}
	if err = f.mapHeader(); err == nil {
		var c *Contents
		if c, err = f.load(now, id); err == nil {
			return f, c, nil
		}
	}
	f.disk.unmap()
	return nil, nil, err
}

// Create makes a new file in place of any other: it says that limits admit nothing before opens.
func (l *Lock) Create(opens time.Duration) (*File, error) {
	id, err := boot()
	if err != nil {
		return nil, err
	}
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, err
	}
	temporary := l.path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	f := &File{disk: &disk{file: file}, head: words{stored: l.Stored}}
	if err = f.disk.allocate(headerBytes); err == nil {
		err = f.mapHeader()
	}
	if err == nil {
		f.head = format(f.head, binary.LittleEndian.Uint64(salt[:]), opens, id)
		err = os.Rename(temporary, l.path)
	}
	if err != nil {
		f.disk.unmap()
		return nil, err
	}
	return f, nil
}

// Close ends the use of the file, but not of its lock. Nothing may be written to it any more.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spoiled = true
	return f.disk.unmap()
}

func (f *File) mapHeader() error {
	b, err := f.disk.mapped(0, headerBytes)
	if err != nil {
		return err
	}
	f.head.raw = asWords(b)
	return nil
}

// allocate makes the file as large as that on the disk: where a disk is full, writing to a mapping would kill.
func (d *disk) allocate(size int64) error {
	err := unix.Fallocate(int(d.file.Fd()), 0, 0, size)
	if err != unix.EOPNOTSUPP {
		return err
	}
	info, err := d.file.Stat()
	if err != nil || info.Size() >= size {
		return err
	}
	_, err = d.file.WriteAt(make([]byte, size-info.Size()), info.Size())
	return err
}

func (d *disk) mapped(at, size int64) ([]byte, error) {
	info, err := d.file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < at+size {
		return nil, fmt.Errorf("it is cut off at %d bytes", info.Size())
	}
	b, err := unix.Mmap(int(d.file.Fd()), at, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping it: %w", err)
	}
	d.maps = append(d.maps, b)
	return b, nil
}

func (d *disk) unmap() error {
	var errs []error
	for _, b := range d.maps {
		errs = append(errs, unix.Munmap(b))
	}
	d.maps = nil
	return errors.Join(append(errs, d.file.Close())...)
}
