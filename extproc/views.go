package extproc

import (
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/routing"
)

const (
	// keptViews is how many snapshots can be in use by requests in flight; a request whose
	// snapshot is older goes on with the current one.
	keptViews = 16
	// viewLife is how long a snapshot is kept after the next one came into force: one of
	// 100,000 deployments takes some hundred MB.
	viewLife = 20 * time.Minute
)

// views numbers the views that requests begin with, so that a Decision can name its own.
type views struct {
	router *routing.Router
	now    func() time.Time

	mu     sync.RWMutex
	latest uint64
	kept   [keptViews]numbered
}

type numbered struct {
	view  *routing.View
	since time.Time
	// longest is the snapshot's longest timeout.
	longest time.Duration
}

func number(v *routing.View, since time.Time) numbered {
	return numbered{v, since, v.Snapshot().LongestTimeout()}
}

// newViews counts from a number that no earlier process has reached.
func newViews(r *routing.Router, now func() time.Time) *views {
	begin := now()
	v := &views{router: r, now: now, latest: uint64(begin.UnixNano())}
	v.kept[v.latest%keptViews] = number(r.View(), begin)
	return v
}

// current returns the view in force and its number.
func (v *views) current() (*routing.View, uint64) {
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

func (v *views) advance() (*routing.View, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.router.View()
	if v.kept[v.latest%keptViews].view != now {
		over := v.latest
		time.AfterFunc(viewLife, func() { v.drop(over) })
		v.latest++
		v.kept[v.latest%keptViews] = number(now, v.now())
	}
	return now, v.latest
}

// drop lets go of a view, unless another one has taken its place.
func (v *views) drop(n uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.latest-n < keptViews {
		v.kept[n%keptViews] = numbered{}
	}
}

// at returns the view of that number, or the one in force when it is no longer known.
func (v *views) at(n uint64) *routing.View {
	if k, ok := v.find(n); ok {
		return k.view
	}
	return v.router.View()
}

// age is how long ago the view of that number came into force; 0 when it is not known.
func (v *views) age(n uint64) time.Duration {
	k, _ := v.find(n)
	if k.view == nil {
		return 0
	}
	return v.now().Sub(k.since)
}

// longest is the longest timeout of the snapshot of that number, or of the latest when it is no longer known.
func (v *views) longest(n uint64) time.Duration {
	k, ok := v.find(n)
	if !ok {
		k, _ = v.find(v.newest())
	}
	return k.longest
}

func (v *views) newest() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.latest
}

func (v *views) find(n uint64) (numbered, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	k := v.kept[n%keptViews]
	return k, n <= v.latest && v.latest-n < keptViews && k.view != nil
}
