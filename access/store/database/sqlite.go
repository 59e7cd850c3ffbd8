package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// readers is how many connections read a file at a time.
const readers = 8

func (d *DB) openFile(_ context.Context, o Options) error {
	if o.File == "" {
		return errors.New("open the database: neither a file nor a URL is named")
	}
	path, err := filepath.Abs(o.File)
	if err != nil {
		return fmt.Errorf("open database %s: %w", o.File, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make a folder for database %s: %w", path, err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return fmt.Errorf("open database %s: %w", path, err)
	}
	if err := makePrivate(path); err != nil {
		return errors.Join(fmt.Errorf("make database %s: %w", path, err), lock.Close())
	}
	d.DB, err = sql.Open("sqlite", sourceOf(path))
	if err != nil {
		return errors.Join(fmt.Errorf("open database %s: %w", path, err), lock.Close())
	}
	d.DB.SetMaxOpenConns(readers)
	d.DB.SetMaxIdleConns(readers)
	d.Dialect, d.closing = sqliteDialect(path), lock.Close
	d.turn, d.feed = make(chan struct{}, 1), &local{}
	return nil
}

func sqliteDialect(path string) Dialect {
	return Dialect{
		name: "sqlite3", Place: path, exclusive: true,
		Each: "json_each", text: "json_each",
		again: func(error) bool { return false },
		Taken: sqliteTaken,
	}
}

// sourceOf is the file as the driver wants it. Who writes asks for the right to at the beginning of the transaction:
// one that reads first and then may not write any more would have to be repeated.
func sourceOf(path string) string {
	settings := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"},
		"_txlock": {"immediate"}, "_dqs": {"0"},
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: settings.Encode()}).String()
}

// makePrivate makes an empty file that nobody else may read; SQLite gives the files beside it the same mode.
func makePrivate(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// lockFile keeps other processes out until it is closed. The file says which process has it.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		return nil, errors.Join(lockedError(path, strings.TrimSpace(string(holder)), err), file.Close())
	}
	_ = file.Truncate(0) // who has the lock is for people
	_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return file, nil
}

func lockedError(path, holder string, err error) error {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	who := "another process"
	if holder != "" {
		who = "process " + holder
	}
	return fmt.Errorf("%s is locked by %s: one gateway at a time may use a file; "+
		"give this one a --data-dir of its own, or let both share a PostgreSQL database (DATABASE_URL)", path, who)
}

func sqliteTaken(err error) (string, bool) {
	var failed *sqlite.Error
	if !errors.As(err, &failed) {
		return "", false
	}
	code := failed.Code()
	return failed.Error(), code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}
