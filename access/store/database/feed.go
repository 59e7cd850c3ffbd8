package database

import (
	"context"
	"database/sql"
	"sync"

	"github.com/nestor-gateway/nestor/access/record"
)

// feed tells watchers what changes.
type feed interface {
	// announce is part of the transaction that makes the changes.
	announce(ctx context.Context, tx *sql.Tx, changes []record.Change) error
	// committed is called after it.
	committed(changes []record.Change)
	// watch calls f with every change from now on, and before that and whenever some may have been missed with All.
	watch(ctx context.Context, f func(record.Change)) error
}

// Watch calls f, always from this goroutine, with every change that any replica makes, within a second, until the
// context ends, whose error it returns. It begins with All, and there is another All whenever changes may have been
// missed. Spend that requests add is no change; a budget period that ends is one.
func (d *DB) Watch(ctx context.Context, f func(record.Change)) error {
	return d.feed.watch(ctx, f)
}

// most is how many changes are told one by one; more at once are All.
const most = 1000

func everything() []record.Change { return []record.Change{{Kind: record.All}} }

// local is the feed of a database that only this process changes.
type local struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

// watcher is who is told, with what it has not been told yet.
type watcher struct {
	wake    chan struct{}
	changes []record.Change // guarded by the feed's mutex
}

func (l *local) announce(context.Context, *sql.Tx, []record.Change) error { return nil }

func (l *local) committed(changes []record.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.watchers {
		w.changes = append(w.changes, changes...)
		if len(w.changes) > most {
			w.changes = everything()
		}
		w.poke()
	}
}

func (w *watcher) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (l *local) watch(ctx context.Context, f func(record.Change)) error {
	w := l.join()
	defer l.leave(w)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		for _, c := range l.take(w) {
			f(c)
		}
	}
}

func (l *local) join() *watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &watcher{wake: make(chan struct{}, 1), changes: everything()}
	w.poke()
	if l.watchers == nil {
		l.watchers = map[*watcher]struct{}{}
	}
	l.watchers[w] = struct{}{}
	return w
}

func (l *local) leave(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, w)
}

func (l *local) take(w *watcher) []record.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := w.changes
	w.changes = nil
	return changes
}
