// Package spend keeps rows of the spend log from the moment a request has ended until the database has them, in a folder
// of the process: they outlast a process that is killed and a database that is down. (What reaches the disk of a machine
// that loses power is up to its file system.)
package spend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// Writer is the database. It writes all rows or none; a row that it has, by its ID, it leaves as it is:
// rows come again when an answer is lost, or the process was killed.
type Writer interface {
	WriteSpend(ctx context.Context, rows []record.Spend) error
	// Charge is told of what a row has cost that an earlier process left, once and before the row comes to WriteSpend.
	// What the rows of this process cost it has been told by who added them.
	Charge(accounts []string, cost record.Nano)
}

// Options say where rows wait and where they go. Dir and Writer are needed.
type Options struct {
	// Dir is a folder that no other process uses; it is made if it isn't there.
	Dir    string
	Writer Writer
	// MostBytes bounds what waits on disk; 0 is 1 GiB. Rows beyond it wait in memory, and beyond that they are lost.
	MostBytes int64
	Log       *slog.Logger
}

// sizes are what tests make smaller.
type sizes struct {
	segment int64         // bytes of a file
	window  int           // rows in memory
	pending int           // rows that are not on disk yet
	batch   int           // rows the writer gets at once
	gather  time.Duration // for which rows wait until they are written to disk together
	linger  time.Duration // for which rows wait until they are given to the writer together
	// retry is the first wait after a failure; it doubles up to mostRetry.
	retry, mostRetry time.Duration
	attempt          time.Duration // what the writer gets for one batch
}

func usual() sizes {
	return sizes{
		segment: 1 << 20, window: 4096, pending: 16384, batch: 500,
		gather: time.Millisecond, linger: 100 * time.Millisecond,
		retry: 100 * time.Millisecond, mostRetry: 5 * time.Second, attempt: 30 * time.Second,
	}
}

// defaultBytes is 1 GiB, some two million rows.
const defaultBytes = 1 << 30

// Outbox takes rows at once and hands them to the Writer when that can be. It is safe for concurrent use.
type Outbox struct {
	Options
	sizes
	lock *os.File

	mu      sync.Mutex
	pending []record.Spend // added, and not on disk
	storing int            // rows on their way to disk
	closed  bool

	added   chan struct{} // tells the flusher
	arrived chan struct{} // tells the deliverer
	flushed chan struct{} // closed when the flusher has ended, after the last row
	done    chan struct{} // closed when the deliverer has ended
	ctx     context.Context
	cancel  context.CancelFunc

	queue *queue

	written, lost atomic.Int64
	// losing is about rows that are lost, unsafe about the disk, failing about the writer.
	losing, unsafe, failing complaint
}

// Open takes over the rows that an earlier process left in the folder: they go to the writer first.
func Open(o Options) (*Outbox, error) { return open(o, usual()) }

func open(options Options, s sizes) (*Outbox, error) {
	options.MostBytes = cmp.Or(options.MostBytes, defaultBytes)
	options.Log = cmp.Or(options.Log, slog.New(slog.DiscardHandler))
	lock, err := acquire(options.Dir)
	if err != nil {
		return nil, err
	}
	journal, left, err := openJournal(options.Dir, s.segment, options.MostBytes)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("open the spend that waits in %s: %w", options.Dir, err)
	}
	o := &Outbox{
		Options: options, sizes: s, lock: lock, queue: newQueue(journal, s.window, left),
		added: make(chan struct{}, 1), arrived: make(chan struct{}, 1), flushed: make(chan struct{}), done: make(chan struct{}),
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	if left > 0 {
		o.Log.Info("spend of an earlier process is written first", "rows", left, "folder", o.Dir)
	}
	go o.flush()
	go o.deliver()
	return o, nil
}

// Add takes rows; they are on disk a millisecond later, as long as the disk takes them. It waits for nothing.
func (o *Outbox) Add(rows ...record.Spend) {
	if n := o.take(rows); n < len(rows) {
		o.lose(len(rows)-n, errBusy)
	}
	wake(o.added)
}

var (
	// errBusy is why rows are lost that the disk is too slow for, or that come after Close.
	errBusy = errors.New("the disk is too slow, or the process is ending")
	errTime = errors.New("the database did not take them before the process ended")
)

// take returns how many of the rows there was room for.
func (o *Outbox) take(rows []record.Spend) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0
	}
	rows = rows[:min(len(rows), o.sizes.pending-len(o.pending))]
	for _, r := range rows {
		o.pending = append(o.pending, tidy(r))
	}
	return len(rows)
}

// Close hands over what it can until ctx ends. What then is left waits on disk for the next process, and Close tells how much.
func (o *Outbox) Close(ctx context.Context) error {
	o.mu.Lock()
	again := o.closed
	o.closed = true
	o.mu.Unlock()
	if again {
		return nil
	}
	wake(o.added)
	<-o.flushed
	select {
	case <-o.done:
	case <-ctx.Done():
		o.cancel()
		<-o.done
	}
	o.cancel()
	return o.shut()
}

// shut gives up what is only in memory.
func (o *Outbox) shut() error {
	loose, err := o.queue.close()
	if loose > 0 {
		o.lose(loose, errTime)
	}
	o.lock.Close()
	if n := o.Waiting(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d rows of spend are not in the database yet: they wait in %s for the next start", n, o.Dir))
	}
	return err
}

// lose counts rows that are gone, and says so, though not for every one of many.
func (o *Outbox) lose(n int, why error) {
	o.lost.Add(int64(n))
	if count := o.losing.due(n, time.Now()); count > 0 {
		o.Log.Error("spend is lost: neither disk nor database took it", "rows", count, "error", why, "folder", o.Dir)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
