// Package views keeps the views that requests in flight began with.
package views

import (
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/routing"
)

const (
	// keptViews is how many snapshots can be in use by requests in flight; a request whose
	// snapshot is older goes on with the current one.
	keptViews = 16
	// Life is how long a snapshot is kept after the next one came into force: one of
	// 100,000 deployments takes some hundred MB.
	Life = 20 * time.Minute
)

// Views numbers the views that requests begin with, so that a Decision can name its own.
type Views struct {
	router *routing.Router
	now    func() time.Time

	mu     sync.RWMutex
	latest uint64
	kept   [keptViews]numbered
}

type numbered struct {
	view  *routing.View
	since time.Time
}

// New counts from a number that no earlier process has reached.
func New(r *routing.Router, now func() time.Time) *Views {
	begin := now()
	v := &Views{router: r, now: now, latest: uint64(begin.UnixNano())}
	v.kept[v.latest%keptViews] = numbered{r.View(), begin}
	return v
}

// Current returns the view in force and its number.
func (v *Views) Current() (*routing.View, uint64) {
	now := v.router.View()
	v.mu.RLock()
	n := v.latest
	same := v.kept[n%keptViews].view == now
	v.mu.RUnlock()
	if same {
		return now, n
	}
	return v.advance()
}

func (v *Views) advance() (*routing.View, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.router.View()
	if v.kept[v.latest%keptViews].view != now {
		over := v.latest
		time.AfterFunc(Life, func() { v.drop(over) })
		v.latest++
		v.kept[v.latest%keptViews] = numbered{now, v.now()}
	}
	return now, v.latest
}

// drop lets go of a view, unless another one has taken its place.
func (v *Views) drop(n uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.latest-n < keptViews {
		v.kept[n%keptViews] = numbered{}
	}
}

// At returns the view of that number, or the one in force when it is no longer known.
func (v *Views) At(n uint64) *routing.View {
	if k, ok := v.find(n); ok {
		return k.view
	}
	return v.router.View()
}

// Age is how long ago the view of that number came into force; 0 when it is not known.
func (v *Views) Age(n uint64) time.Duration {
	k, _ := v.find(n)
	if k.view == nil {
		return 0
	}
	return v.now().Sub(k.since)
}

func (v *Views) find(n uint64) (numbered, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	k := v.kept[n%keptViews]
	return k, n <= v.latest && v.latest-n < keptViews && k.view != nil
}
