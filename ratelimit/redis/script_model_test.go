package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// model is what the scripts do, in Go: the oracle for them, and the Redis of tests that let messages get lost.
type model struct {
	mu       sync.Mutex
	clock    func() int64 // TIME, in microseconds
	run_     string       // run id
	loaded   map[string]bool
	fleets   map[string]*modelFleet
	entities map[string]*modelEntity
	calls    int
	evicted  int64
	order    []string // ids, in the order in which they were first seen
}

type modelFleet struct {
	epoch, run  string
	version     int64
	whole       bool
	opens       int64
	ahead, seen int64
	replicas    map[string]*modelReplica
	counted     string // the epoch whose first refresh found so many evicted
	evicted     int64
}

type modelReplica struct {
	beat, heard, most, joined, knows                int64
	address                                         string
	seat, granted, shares, needed, reported, parted bool
}

type modelEntity struct {
	epoch   string
	buckets map[int64][2]int64
	leases  map[string]*modelLease
}

type modelLease struct {
	seq         int64
	reply       []any
	amounts     [2]int64
	ends        int64
	slots, held int64
}

func newModel(clock func() int64) *model {
	m := &model{clock: clock}
	m.restart()
	return m
}

// restart is what a server does that keeps nothing; flush is FLUSHALL.
func (m *model) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run_, m.loaded = newRun(), map[string]bool{}
	m.fleets, m.entities = map[string]*modelFleet{}, map[string]*modelEntity{}
}

func (m *model) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fleets, m.entities = map[string]*modelFleet{}, map[string]*modelEntity{}
}

// failOver makes another server of it that has the same state. Call what it returns to go back to the first one, as
// it was before.
func (m *model) failOver() (back func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	run, loaded := m.run_, maps.Clone(m.loaded)
	fleets, entities := map[string]*modelFleet{}, map[string]*modelEntity{}
	for key, f := range m.fleets {
		fleets[key] = new(*f)
		fleets[key].replicas = map[string]*modelReplica{}
		for id, r := range f.replicas {
			fleets[key].replicas[id] = new(*r)
		}
	}
	for key, e := range m.entities {
		entities[key] = &modelEntity{epoch: e.epoch, buckets: maps.Clone(e.buckets), leases: maps.Clone(e.leases)}
	}
	m.run_, m.loaded = NewID(), map[string]bool{}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.run_, m.loaded, m.fleets, m.entities = run, loaded, fleets, entities
	}
}

func (m *model) run(_ context.Context, calls []*call) {
	for _, c := range calls {
		m.one(c)
	}
}

func (m *model) one(c *call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if !c.load && !m.loaded[c.script.name] {
		c.err = errUnknown
		return
	}
	m.loaded[c.script.name] = true
	in := &arguments{}
	for _, a := range c.args {
		in.left = append(in.left, fmt.Sprint(a))
	}
	c.err = nil
	if c.script.name == "beat" {
		c.reply = m.beat(c.keys[0], in)
	} else {
		c.reply = m.refresh(c.keys[0], c.keys[1], in)
	}
}

// count is how many entities there are, and how many calls there were.
func (m *model) count() (entities, calls int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entities), m.calls
}

// arguments are taken one after the other.
type arguments struct{ left []string }

func (a *arguments) text() string {
	s := a.left[0]
	a.left = a.left[1:]
	return s
}

func (a *arguments) number() int64 {
	n, err := strconv.ParseInt(a.text(), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (a *arguments) flag() bool { return a.number() == 1 }

func (f *modelFleet) renew(epoch string, whole bool, now, window, slack, lease, life int64) {
	f.epoch, f.whole, f.opens = epoch, whole, now+lease+window+2*slack
	newest := int64(0)
	for _, r := range f.replicas {
		newest = max(newest, r.beat)
	}
	for _, r := range f.replicas {
		since := newest
		if r.parted {
			since = now
		}
		r.needed, r.reported = since-r.beat < window+life+lease, false
	}
}

func (m *model) beat(key string, in *arguments) []any {
	id, candidate, known, address := in.text(), in.text(), in.text(), in.text()
	low, high, version := in.number(), in.number(), in.number()
	done, fresh, back, leave, proper := in.flag(), in.flag(), in.flag(), in.flag(), in.flag()
	window, slack, lease, life := in.number(), in.number(), in.number(), in.number()
	heard, most, shares, gone := in.number(), in.number(), in.flag(), in.number()
	wall, f := m.clock(), m.fleets[key]
	now, silence, others := wall, int64(0), false
	bounded := f != nil && known == f.epoch && high >= 0
	if f != nil {
		now += f.ahead
		silence = now - f.seen
		for other, r := range f.replicas {
			others = others || other != id && !r.parted
		}
		if bounded {
			if now > high+slack {
				now = high
			} else if now < low-slack {
				now = low
			}
		} else {
			lag := int64(0)
			if silence < -slack {
				lag = window + lease + life
			}
			if others {
				now = min(now, f.seen+life)
			}
			lag = max(lag, f.seen+silence-now)
			for other, r := range f.replicas {
				if other != id {
					r.heard -= lag
				}
			}
		}
		now = max(now, f.seen)
	}
	renew := func(whole bool) { f.renew(candidate, whole, now, window, slack, lease, life) }
	switch {
	case f == nil:
		f = &modelFleet{run: m.run_, replicas: map[string]*modelReplica{}, seen: now}
		m.fleets[key] = f
		renew(false)
		if fresh {
			f.whole, f.opens = true, now
		}
	case f.run != m.run_:
		renew(false)
		f.run = m.run_
	}
	me, whole := f.replicas[id], f.whole || f.opens <= now
	switch {
	case me != nil && me.reported && known != "" && known != f.epoch:
		renew(false)
		me.needed = true
	case me != nil && !leave && (back && known == f.epoch || (2*(now-me.beat) > window || 2*heard > window) && (!me.needed || me.reported)):
		renew(whole)
		me.needed = true
	case me == nil && known != "" && known == f.epoch, me == nil && silence > window-life && others:
		renew(whole)
	}
	if me == nil {
		f.version++
		me = &modelReplica{joined: f.version, needed: known != "", heard: now - max(0, heard)}
		f.replicas[id] = me
		m.remember(id)
	}
	me.beat, me.parted, me.knows, me.address = now, leave, -1, address
	me.shares = me.granted || shares
	if bounded && heard >= 0 {
		me.heard = max(me.heard, min(now, low)-heard)
	}
	for range gone {
		other := in.text()
		if r := f.replicas[other]; r != nil && other != id && !r.parted && 2*(now-r.beat) > life {
			if now-r.heard < window+lease+life {
				r.parted = true
			} else {
				r.beat = min(r.beat, now+life-10*window)
			}
		}
	}
	if known == f.epoch {
		me.knows = version
		me.reported = me.reported || done
		for len(in.left) > 0 {
			other, r := in.text(), &modelReplica{knows: -1, shares: true}
			r.beat, r.needed, r.heard, r.most = now-in.number(), in.flag(), now-in.number(), in.number()
			r.parted, r.address = in.flag(), in.text()
			if f.replicas[other] == nil && other != id {
				f.version++
				r.joined = f.version
				f.replicas[other] = r
				m.remember(other)
			}
		}
		f.whole = f.whole || proper
	}
	seat, granted, reported, live, count := true, f.whole || f.opens <= now, f.whole, int64(0), int64(0)
	var out []any
	for _, other := range m.order {
		r := f.replicas[other]
		if r == nil {
			continue
		}
		if now-r.beat > 11*window+2*slack && (!r.needed || r.reported || f.opens <= now) {
			delete(f.replicas, other)
			continue
		}
		reported = reported && !(r.needed && !r.reported)
		if !r.parted {
			count++
			knows := other == id || r.knows >= me.joined
			if now-r.beat < life {
				live++
				seat = seat && knows
			}
			granted = granted && (knows || !r.shares)
		}
		if other != id {
			out = append(out, other, now-r.beat, now-r.heard, r.most, bit(r.parted), r.address)
		}
	}
	me.seat = me.seat || seat
	if granted && me.seat {
		me.granted, me.shares = true, true
	}
	if most > 0 {
		me.most = most
	} else if me.most == 0 || count < me.most {
		me.most = max(1, count)
	}
	if reported && f.opens > now {
		f.opens = now
	}
	f.seen, f.ahead = now, now-wall
	return append([]any{now, f.epoch, f.version, bit(me.seat), max(0, f.opens-now), live, count, bit(me.granted)}, out...)
}

func bit(b bool) int64 { return int64(flag(b)) }

func (m *model) remember(id string) {
	if !slices.Contains(m.order, id) {
		m.order = append(m.order, id)
	}
}
