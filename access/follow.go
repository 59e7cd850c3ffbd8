package access

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

const (
	// again is when something that could not be read is tried again; twice as late each time, up to rarely.
	again  = 250 * time.Millisecond
	rarely = 5 * time.Second
)

// Follow keeps the index current until ctx ends, which is no error. While the store can't be read, what is known stays
// in force.
func (x *Index) Follow(ctx context.Context) error {
	until := ctx
	ctx, cancel := context.WithCancel(ctx)
	c := &changes{waiting: map[record.Change]bool{}, more: make(chan struct{}, 1)}
	var worker sync.WaitGroup
	worker.Go(func() { x.applyAll(ctx, c) })
	err := x.o.Store.Watch(ctx, c.add)
	cancel()
	worker.Wait()
	if until.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch the store: %w", err)
}

// applyAll applies changes as they come.
func (x *Index) applyAll(ctx context.Context, c *changes) {
	pause := again
	for c.wait(ctx) {
		failed := x.applyEach(ctx, c.take(), c)
		if failed == nil {
			pause = again
			continue
		}
		if ctx.Err() != nil {
			return
		}
		x.o.Log.Warn("keys are as last known: what changed can't be read", "error", failed, "again in", pause)
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, rarely)
	}
}

// applyEach puts back what fails, and returns why the last of it did.
func (x *Index) applyEach(ctx context.Context, all []record.Change, c *changes) (failed error) {
	for _, change := range all {
		if err := x.Apply(ctx, change); err != nil {
			c.add(change)
			failed = err
		}
	}
	return failed
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// changes are those that wait to be applied, each once.
type changes struct {
	mu      sync.Mutex
	waiting map[record.Change]bool
	more    chan struct{} // has one when anything waits
}

func (c *changes) add(change record.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[change] = true
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// wait returns false when ctx has ended.
func (c *changes) wait(ctx context.Context) bool {
	select {
	case <-c.more:
		return true
	case <-ctx.Done():
		return false
	}
}

// take returns what waits, in an order in which no key comes before what it belongs to. All makes the others needless.
func (c *changes) take() []record.Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Collect(maps.Keys(c.waiting))
	clear(c.waiting)
	if slices.ContainsFunc(all, func(c record.Change) bool { return c.Kind == record.All }) {
		return []record.Change{{Kind: record.All}}
	}
	slices.SortFunc(all, func(a, b record.Change) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
	return all
}

func rank(k record.Kind) int {
	return slices.Index([]record.Kind{record.OfBudget, record.OfTeam, record.OfUser, record.OfKey}, k)
}
