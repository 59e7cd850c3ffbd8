package redis

import (
	"cmp"
	"fmt"
	"slices"
)

func (m *model) refresh(fleetKey, key string, in *arguments) []any {
	id, epoch := in.text(), in.text()
	seq, known, low, high := in.number(), in.number(), in.number(), in.number()
	window, bucket, slack, lease, life := in.number(), in.number(), in.number(), in.number(), in.number()
	pair := func() [2]int64 { return [2]int64{in.number(), in.number()} }
	limit, slots := pair(), in.number()
	want, wanted := pair(), in.number()
	need, keep := pair(), pair()
	held, share := in.number(), in.flag()

	f := m.fleets[fleetKey]
	if f == nil || f.epoch != epoch || f.run != m.run_ {
		return []any{int64(1)}
	}
	now := m.clock() + f.ahead
	if high >= 0 && (now > high+slack || now < low-slack) {
		return []any{int64(2)}
	}
	here := f.replicas[id]
	if here == nil || here.parted || now-here.beat >= life {
		return []any{int64(1)}
	}
	e := m.entities[key]
	switch {
	case f.counted != epoch:
		f.counted, f.evicted = epoch, m.evicted
	case e == nil && f.evicted != m.evicted:
		f.run = ""
		return []any{int64(1)}
	}
	if e == nil || e.epoch != epoch {
		e = &modelEntity{epoch: epoch, buckets: map[int64][2]int64{}, leases: map[string]*modelLease{}}
	}
	me := e.leases[id]
	if me == nil {
		me = &modelLease{}
	}
	switch {
	case known > me.seq:
		return []any{int64(4)}
	case seq == me.seq:
		return me.reply
	case seq < me.seq:
		return []any{int64(3), me.seq}
	}
	counts := func(ends int64) bool { return ends+window+slack > now }
	type free struct {
		ends    int64
		amounts [2]int64
	}
	var frees []free
	var used, leased [2]int64
	news := len(in.left)
	for len(in.left) > 0 {
		b, n := in.number(), pair()
		if counts((b + 1) * bucket) {
			e.buckets[b] = [2]int64{e.buckets[b][0] + n[0], e.buckets[b][1] + n[1]}
		}
	}
	for b, n := range e.buckets {
		if till := (b + 1) * bucket; !counts(till) || n == [2]int64{} {
			delete(e.buckets, b)
		} else {
			used[0], used[1] = used[0]+n[0], used[1]+n[1]
			frees = append(frees, free{till, n})
		}
	}
	lives := func(r *modelReplica) bool { return !r.parted && now-r.beat < life }
	stays := func(r *modelReplica) bool { return r != nil && !r.parted && now-r.beat < 11*window+2*slack }
	holds := func(r *modelReplica) bool { return r != nil && !r.parted && now-r.beat < 2*window }
	replicas, taken, busy := int64(0), int64(0), int64(0)
	var aside [2]int64
	for other, r := range f.replicas {
		if lives(r) {
			replicas++
		}
		if share && other != id && stays(r) && r.shares && now-r.heard >= life {
			own := int64(0)
			if l := e.leases[other]; l != nil && holds(r) {
				own = l.slots
			}
			for d := range 2 {
				aside[d] += max(0, limit[d]) / r.most
			}
			taken += max(0, max(0, slots)/r.most-own)
		}
	}
	replicas = max(1, replicas)
	for other, l := range e.leases {
		if other == id {
			continue
		}
		here := f.replicas[other]
		if holds(here) {
			taken += l.slots
			if lives(here) {
				busy += l.held
			}
		}
		if counts(l.ends) {
			leased[0], leased[1] = leased[0]+l.amounts[0], leased[1]+l.amounts[1]
			frees = append(frees, free{l.ends, l.amounts})
		} else if !stays(here) {
			delete(e.leases, other)
		}
	}
	open := f.opens <= now && here.seat
	var extra, rest, retry, reset [2]int64
	for d := range 2 {
		rest[d] = limit[d] - used[d] - leased[d] - keep[d] - aside[d]
		if limit[d] >= 0 && open {
			most := floor(rest[d], 2*replicas)
			if need[d] <= rest[d] {
				most = max(most, need[d])
			}
			extra[d] = max(-keep[d], min(want[d], most, rest[d]))
		}
	}
	frees = append(frees, free{now + lease, keep})
	mine := held
	if slots >= 0 {
		room := slots - taken
		if open {
			mine = max(wanted, held)
		}
		mine = max(0, min(mine, room, held+1+max(0, floor(room-held-1, 2*replicas))))
	}
	slices.SortFunc(frees, func(a, b free) int { return cmp.Compare(a.ends, b.ends) })
	for d := range 2 {
		lack := need[d] - rest[d]
		for _, x := range frees {
			till := x.ends + window + slack - now
			if n := x.amounts[d]; n > 0 {
				reset[d] = till
				if lack > 0 {
					retry[d], lack = till, lack-n
				}
			}
		}
		if lack > 0 && aside[d] > 0 {
			retry[d] = max(retry[d], life)
		}
	}
	lease2 := [2]int64{keep[0] + extra[0], keep[1] + extra[1]}
	reply := []any{int64(0), now, extra[0], extra[1], mine, used[0], used[1], leased[0] + lease2[0], leased[1] + lease2[1],
		rest[0], rest[1], retry[0], retry[1], reset[0], reset[1], taken, busy, max(0, f.opens-now)}
	if news == 0 && lease2 == [2]int64{} && me.amounts == [2]int64{} && max(mine, held) == me.slots && held == me.held {
		reply[0] = int64(5)
		return reply
	}
	e.leases[id] = &modelLease{seq: seq, reply: reply, amounts: lease2, ends: now + lease, slots: max(mine, held), held: held}
	m.entities[key] = e
	return reply
}

// evict does what a server does that is short of memory.
func (m *model) evict(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entities, key)
	m.evicted++
}

// floor is a/b, rounded down.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// newRun is the run id of another server.
func newRun() string { return fmt.Sprintf("%x", NewID()) }
