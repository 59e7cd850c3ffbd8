package spend

import (
	"context"
	"errors"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// mostFailures is how often a file is read in vain, with waits between, before it is given up.
const mostFailures = 8

// mostKept bounds the buffer that is kept between writes to disk.
const mostKept = 1 << 20

// flush brings rows to disk, those that come close together at once.
func (o *Outbox) flush() {
	defer close(o.flushed)
	var buffer []byte
	for range o.added {
		if !o.ending() {
			time.Sleep(o.gather)
		}
		rows, last := o.swap()
		if len(rows) > 0 {
			buffer = o.store(rows, buffer[:0])
			o.stored()
		}
		if cap(buffer) > mostKept {
			buffer = nil
		}
		if last {
			return
		}
	}
}

func (o *Outbox) ending() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}

// swap takes the rows that are not on disk; last when no others will come.
func (o *Outbox) swap() (rows []record.Spend, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows, o.pending = o.pending, nil
	o.storing = len(rows)
	return rows, o.closed
}

func (o *Outbox) stored() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.storing = 0
}

// store puts rows into the queue.
func (o *Outbox) store(rows []record.Spend, buffer []byte) []byte {
	encoded := rows[:0]
	for i := range rows {
		longer, err := appendLine(buffer, &rows[i])
		if err != nil {
			o.lose(1, err)
			continue
		}
		buffer, encoded = longer, append(encoded, rows[i])
	}
	ready, kept, err := o.queue.put(encoded, buffer)
	switch {
	case !kept:
		o.lose(len(encoded), err)
	case err != nil && o.unsafe.due(len(encoded), time.Now()) > 0:
		o.Log.Error("spend waits in memory alone: the disk does not take it", "error", err, "folder", o.Dir)
	}
	if ready <= len(encoded) || ready >= o.batch {
		wake(o.arrived)
	}
	return buffer
}

// deliver hands rows to the writer, in their order.
func (o *Outbox) deliver() {
	defer close(o.done)
	for {
		rows := o.next()
		for _, left := range o.queue.inherited(len(rows)) {
			o.Writer.Charge(left.Accounts, left.Cost)
		}
		if len(rows) == 0 || !o.write(rows) {
			return
		}
		o.written.Add(int64(len(rows)))
		if err := o.queue.drop(len(rows)); err != nil {
			o.Log.Error("a file of spend that is written can't be removed", "error", err, "folder", o.Dir)
		}
	}
}

// next waits for rows; none when there will be no others.
func (o *Outbox) next() []record.Spend {
	var lingered <-chan time.Time
	for {
		ended := isClosed(o.flushed)
		n := o.fill()
		switch {
		case n >= o.batch, n > 0 && ended:
			return o.queue.first(o.batch)
		case ended:
			return nil
		case n > 0 && lingered == nil:
			lingered = time.After(o.linger)
		}
		select {
		case <-o.arrived:
		case <-o.flushed:
		case <-lingered:
			return o.queue.first(o.batch)
		case <-o.ctx.Done():
			return nil
		}
	}
}

// fill has rows read from disk, whatever it takes.
func (o *Outbox) fill() int {
	for failures := 1; ; failures++ {
		n, broken, err := o.queue.fill(o.batch)
		if broken > 0 {
			o.lost.Add(int64(broken))
			o.Log.Error("spend on disk is broken, and lost", "rows", broken, "folder", o.Dir)
		}
		if err == nil || !o.pause(o.wait(failures)) {
			return n
		}
		if failures == mostFailures {
			lines, aside := o.queue.setAside()
			o.lost.Add(lines)
			o.Log.Error("a file of spend can't be read: it is set aside", "rows", lines, "error", errors.Join(err, aside), "folder", o.Dir)
			failures = 0
		}
	}
}

// write tries until the writer has taken the rows; false when the time is over.
func (o *Outbox) write(rows []record.Spend) bool {
	for failures := 1; ; failures++ {
		err := o.try(rows)
		if err == nil {
			if o.failing.over() {
				o.Log.Info("spend is written again", "waiting", o.Waiting())
			}
			return true
		}
		if o.failing.due(1, time.Now()) > 0 {
			o.Log.Error("spend can't be written: it waits", "error", err, "waiting", o.Waiting(), "folder", o.Dir)
		}
		if !o.pause(o.wait(failures)) {
			return false
		}
	}
}

func (o *Outbox) try(rows []record.Spend) error {
	ctx, cancel := context.WithTimeout(o.ctx, o.attempt)
	defer cancel()
	return o.Writer.WriteSpend(ctx, rows)
}

// wait is how long to wait after some failures in a row.
func (o *Outbox) wait(failures int) time.Duration {
	return min(o.retry<<min(failures-1, 16), o.mostRetry)
}

// pause reports whether there is time left after it.
func (o *Outbox) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-o.ctx.Done():
		return false
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
