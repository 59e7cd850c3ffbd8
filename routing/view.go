package routing

import (
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/cooldown"
	"github.com/nestor-gateway/nestor/routing/share"
	"github.com/nestor-gateway/nestor/routing/strategy"
)

// View is a snapshot with the live state of its deployments. It is safe for concurrent use.
type View struct {
	snapshot *Snapshot
	router   *Router
	// entities are by gate, and byEntity leads back; nil without limits.
	entities []ratelimit.Entity
	byEntity map[ratelimit.Entity]int32

	mu    sync.RWMutex
	state *share.State
	// cooling and full are by leaf, spent is by leaf and dimension, ways is by gate from firstWay on.
	cooling, full, spent, ways *cooldown.Calendar
	// chooser is nil where shares decide everywhere.
	chooser *strategy.Chooser
	// fullIn is, by gate, the dimension in which it is full.
	fullIn []ratelimit.Dimension
	tight  tight
}

func newView(s *Snapshot, r *Router, entities []ratelimit.Entity) *View {
	leaves, all := len(s.deployments), len(s.gates.limits)
	v := &View{
		snapshot: s, router: r, entities: entities,
		state:   share.NewState(s.graph, func(int32) bool { return true }),
		cooling: cooldown.NewCalendar(leaves), full: cooldown.NewCalendar(leaves),
		spent: cooldown.NewCalendar(leaves * ratelimit.Dimensions), ways: cooldown.NewCalendar(all - leaves),
		fullIn: make([]ratelimit.Dimension, all), tight: newTight(leaves, all),
	}
	if entities != nil {
		v.byEntity = make(map[ratelimit.Entity]int32, len(entities))
	}
	for gate, e := range entities {
		v.byEntity[e] = int32(gate)
	}
	v.chooser = newChooser(v)
	return v
}

// Snapshot returns what the view is of.
func (v *View) Snapshot() *Snapshot { return v.snapshot }

func (v *View) elapsed() time.Duration { return v.router.tracker.Elapsed() }

// cool leaves a deployment alone until a time; one that the view does not have is nothing to it.
func (v *View) cool(id string, until time.Duration) {
	leaf, ok := v.snapshot.byID[id]
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(v.elapsed()) // of a view that nobody picks from any more the calendar would only grow
	if v.cooling.Set(leaf, until) {
		v.state.Set(leaf, false)
	}
}

// exhaust keeps a deployment out until a time, because its provider admits nothing more to it in a dimension.
func (v *View) exhaust(id string, d ratelimit.Dimension, until time.Duration) {
	leaf, ok := v.snapshot.byID[id]
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(v.elapsed())
	if v.spent.Set(leaf*ratelimit.Dimensions+int32(d), until) {
		v.state.Set(leaf, false)
	}
}

// fill closes what an entity stands for until a time: nothing is left of it in a dimension.
func (v *View) fill(e ratelimit.Entity, d ratelimit.Dimension, until time.Duration) {
	gate, ok := v.byEntity[e]
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(v.elapsed())
	calendar, i := v.calendarOf(gate)
	if calendar.Set(i, until) {
		v.fullIn[gate] = d
		v.put(v.state, gate, false)
	}
}

// unfill ends that an entity is full.
func (v *View) unfill(e ratelimit.Entity) {
	if gate, ok := v.byEntity[e]; ok {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.clear(gate)
	}
}

// fullUntil says in which dimension a gate is full and until when; 0 when it is not.
func (v *View) fullUntil(gate int32) (ratelimit.Dimension, time.Duration) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	calendar, i := v.calendarOf(gate)
	return v.fullIn[gate], calendar.End(i)
}

// calendarOf is where it stands until when a gate is full.
func (v *View) calendarOf(gate int32) (*cooldown.Calendar, int32) {
	if way := gate - v.snapshot.firstWay(); way >= 0 {
		return v.ways, way
	}
	return v.full, gate
}

// put opens or closes a gate in a state.
func (v *View) put(state *share.State, gate int32, open bool) {
	if gate < v.snapshot.firstWay() {
		state.Set(gate, open)
		return
	}
	if p, group, isPlace := v.snapshot.wayPassed(gate); isPlace {
		state.SetMember(p, open)
	} else {
		state.SetGroup(group, open)
	}
}

// reopen opens what is full on the ways to a deployment and has room again.
func (v *View) reopen(id string) {
	if v.nothingFull() {
		return
	}
	var free []int32
	leaf, ok := v.snapshot.byID[id]
	if !ok {
		leaf = none
	}
	v.mu.RLock()
	if leaf != none && v.full.End(leaf) > 0 && v.hasRoom(leaf) {
		free = append(free, leaf)
	}
	v.ways.Each(func(way int32) {
		if gate := v.snapshot.firstWay() + way; v.hasRoom(gate) {
			free = append(free, gate)
		}
	})
	loose := v.loosened(leaf)
	v.mu.RUnlock()
	if len(free)+len(loose) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, gate := range free {
		v.clear(gate)
	}
	for _, gate := range loose {
		v.tight.clear(gate)
	}
}

// nothingFull reports whether every limit has something left, and enough for all that has been asked for.
func (v *View) nothingFull() bool { return v.full.Empty() && v.ways.Empty() && v.tight.empty() }

func (v *View) hasRoom(gate int32) bool {
	u, d := v.router.limits.Usage(v.entities[gate]), v.fullIn[gate]
	return u.Used[d] < u.Most[d]
}

// clear ends that a gate is full. The lock must be held.
func (v *View) clear(gate int32) {
	calendar, i := v.calendarOf(gate)
	calendar.Clear(i)
	if gate < v.snapshot.firstWay() {
		v.refresh(gate)
		return
	}
	v.put(v.state, gate, true)
}

// refresh opens a leaf that nothing keeps out any more. The lock must be held.
func (v *View) refresh(leaf int32) {
	if v.cooling.End(leaf) == 0 && v.outUntil(leaf) == 0 {
		v.state.Set(leaf, true)
	}
}

// outUntil is until when quota keeps a leaf out, its own or its provider's; 0 when none does.
func (v *View) outUntil(leaf int32) time.Duration {
	until := v.full.End(leaf)
	if v.spent.Empty() {
		return until
	}
	for d := range int32(ratelimit.Dimensions) {
		until = max(until, v.spent.End(leaf*ratelimit.Dimensions+d))
	}
	return until
}

// recover opens everything whose time has come.
func (v *View) recover(now time.Duration) {
	if !v.cooling.Due(now) && !v.full.Due(now) && !v.spent.Due(now) && !v.ways.Due(now) && !v.tight.due(now) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(now)
}

// When a place in Parallel is free again somewhere else is a guess. Of many that are full only some are tried
// at a time, so that one pick does not have to find out about all of them.
const (
	maxGuesses = 16
	nextGuess  = 100 * time.Millisecond
)

// end is recover for who holds the lock.
func (v *View) end(now time.Duration) {
	v.cooling.Ended(now, v.refresh)
	guesses := 0
	v.full.Ended(now, func(leaf int32) {
		if v.fullIn[leaf] == ratelimit.Parallel {
			if guesses++; guesses > maxGuesses {
				v.full.Set(leaf, now+nextGuess)
				return
			}
		}
		v.refresh(leaf)
	})
	v.tight.end(now)
	v.spent.Ended(now, func(i int32) { v.refresh(i / ratelimit.Dimensions) })
	v.ways.Ended(now, func(way int32) { v.put(v.state, v.snapshot.firstWay()+way, true) })
}

// adopt makes a target of another snapshot one of this view's.
func (v *View) adopt(t Target) Target {
	if t.snapshot == v.snapshot {
		return t
	}
	own, ok := v.snapshot.Resolve(t.Name)
	if !ok {
		own.group, own.leaf = none, none
	}
	return own
}
