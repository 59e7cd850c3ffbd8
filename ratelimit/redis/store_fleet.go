package redis

import (
	"context"
	"errors"
	"time"
)

// A fleet is the replicas that share the limits of one slot of Redis, as this replica knows them.
//
// The fleet's epoch says whose memory Redis has. It changes when Redis has lost something (it was flushed,
// started again, is another server, has forgotten an answer) and when a replica comes back that was away for so
// long that it may have used something unseen. Then every replica reports all that it used, and nothing is
// granted before those have that may have used something, or a window and a lease's life have passed.
//
// A replica gets leases only when all others know that it is there (its seat): so any of them knows everybody
// whose report has to be waited for.
type fleet struct {
	store *Store
	key   string

	turn chan struct{} // is filled by who asks Redis about the fleet; nobody waits for it with the store's mutex

	// The rest is guarded by the store's mutex.
	epoch    string
	version  int64 // of the list of replicas
	seated   bool
	shares   bool // without Redis it may use its share: all know of it who may use theirs
	open     bool // as far as known, limits admit something
	done     bool // in this epoch Redis has been told everything
	doubtful bool // a beat has to come before anything else
	back     bool // Redis has gone back to an earlier state
	unknown  bool // the server did not know a script
	load     bool // send the source

	began bool          // Redis has answered at least once
	opens time.Duration // when limits will be open
	fresh bool
	down  bool
	lost  time.Duration // since when it is down
	told  time.Duration // when the log last said so
	last  time.Duration // when the last beat that was answered was sent
	tried time.Duration // when the last beat was sent

	// beaten is the fleet's time of the last beat that was answered. Before lapsed others may have counted this
	// replica as gone, and have given its slots away.
	beaten, lapsed time.Duration

	others []other // as of the last beat
	news   bool    // of one of them it is known here, and not in Redis, that it is gone
	most   int64   // replicas seen at a time
	prior  *prior

	// low and high are the least and most that the fleet's clock is ahead of this replica's; shift is
	// that many buckets.
	low, high time.Duration
	shift     int64
}

// An other is a replica, as the fleet knew it at a beat of this one.
type other struct {
	Replica
	age   time.Duration // of its last beat
	heard time.Duration // for how long it may have had no answer
	most  int64         // replicas that it has seen at a time
	left  bool
}

// prior is what this replica knew of the fleet before the epoch changed.
type prior struct {
	at     time.Duration
	others []other
	// whole says that all who could have used something are there.
	whole bool
}

func newFleet(s *Store, key string, fresh bool) *fleet {
	return &fleet{store: s, key: key, fresh: fresh, turn: make(chan struct{}, 1)}
}

// errDown is what is said of a Redis that has just failed, without asking it.
var errDown = errors.New("redis does not answer")

// current says whether the seat is known to be held: others don't count this replica as gone.
func (f *fleet) current(now time.Duration) bool {
	return f.began && now < f.last+f.store.times.life-f.store.times.margin
}

func (f *fleet) ready(now time.Duration) bool {
	return f.done && !f.doubtful && !f.down && f.current(now)
}

func (f *fleet) seat() bool {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	return f.seated
}

// ensure makes Redis and this replica know of each other: who is there, in which epoch, and what was
// used. With beat it asks Redis in any case, else only if that is in doubt.
func (f *fleet) ensure(ctx context.Context, beat bool) error {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	for range attempts + 2 {
		ready, down := f.state()
		switch {
		case beat:
		case ready:
			return nil
		case down:
			return errDown
		}
		if err := f.beat(ctx, false); err != nil {
			return err
		}
		beat = f.reported(ctx)
		if !beat {
			return nil
		}
	}
	return nil
}

func (f *fleet) state() (ready, down bool) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	return f.ready(f.store.now()), f.down
}

// reported reports what has to be in a new epoch. It says whether another beat has to follow.
func (f *fleet) reported(ctx context.Context) bool {
	s := f.store
	s.mu.Lock()
	done, doubtful, down := f.done, f.doubtful, f.down
	s.mu.Unlock()
	if done || doubtful || down {
		return doubtful && !down
	}
	told := f.report(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.done = told && !f.doubtful
	return !f.down
}

// beat says that this replica lives, and takes in what Redis says of the fleet.
func (f *fleet) beat(ctx context.Context, leave bool) error {
	s := f.store
	s.mu.Lock()
	now := s.now()
	if f.began && now-f.tried > s.times.life/2 {
		f.open = false // it stood still: what it knows of the others is too old to be whole
	}
	f.tried = now
	sent := f.prior
	c := &call{script: s.beats, keys: []string{f.key}, args: f.arguments(now, leave)}
	s.mu.Unlock()

	s.run(ctx, []*call{c})
	if c.err == errUnknown {
		c.load = true
		s.run(ctx, []*call{c})
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.announce()
	if c.err == nil {
		c.err = f.take(c.reply, now, sent)
	}
	if c.err != nil {
		f.fail(c.err, s.now())
	}
	return c.err
}

// arguments are in the order in which script_beat.lua names them.
func (f *fleet) arguments(now time.Duration, leave bool) []any {
	t := &f.store.times
	low, high := f.bounds(now)
	heard := int64(-1)
	if f.began {
		heard = micros(now - f.last)
	}
	gone := f.gone()
	args := []any{f.store.id, NewID(), f.epoch, f.store.address, low, high, f.version, flag(f.done),
		flag(f.fresh), flag(f.back), flag(leave), flag(f.prior != nil && f.prior.whole),
		micros(t.window), micros(t.slack), micros(t.lease), micros(t.life), heard, f.most, flag(f.shares), len(gone)}
	for _, id := range gone {
		args = append(args, id)
	}
	if f.prior != nil {
		since := now - f.prior.at
		for _, o := range f.prior.others {
			args = append(args, o.ID, micros(o.age+since), flag(o.age < t.window+t.life+t.lease), micros(o.heard+since), o.most, flag(o.left), o.Address)
		}
	}
	return args
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bounds are the least and most that the fleet's clock can show, in microseconds; the most is negative when nothing
// is known of it.
func (f *fleet) bounds(now time.Duration) (low, high int64) {
	if f.epoch == "" {
		return -1, -1
	}
	return micros(f.low + now), micros(f.high + now)
}

// take takes in the answer to a beat.
func (f *fleet) take(reply []any, sent time.Duration, told *prior) error {
	s := f.store
	in := reader{values: reply}
	clock := time.Duration(in.number()) * time.Microsecond
	epoch := in.text()
	version, seated, closed := in.number(), in.number() == 1, in.number()
	in.number() // replicas that live
	count := in.number()
	shares := in.number() == 1
	others := othersOf(&in)
	if in.err != nil {
		return in.err
	}
	now := s.now()
	if now-sent > max(s.times.slack, 2*callTime) {
		f.doubtful = true // the process stood still: nothing about the clocks can be learnt from this
		return nil
	}
	if clock >= f.beaten+s.times.life {
		f.lapsed = now
	}
	f.beaten = clock
	if f.down {
		s.log.Info("Redis answers again", "key", f.key, "after", now-f.lost)
	}
	if epoch != f.epoch {
		f.adopt(epoch, sent)
	} else if f.prior == told {
		f.prior = nil
	}
	f.learn(clock, sent, now)
	if open := closed == 0; f.open != open || !f.began {
		s.log.Info("limits that replicas share", "key", f.key, "open", open, "in", time.Duration(closed)*time.Microsecond)
	}
	f.down, f.doubtful, f.began, f.fresh = false, false, true, false
	if f.unknown {
		f.unknown, f.load = false, true
	}
	f.version, f.seated, f.shares, f.open, f.last = version, seated, shares, closed == 0, sent
	f.opens = sent + time.Duration(closed)*time.Microsecond
	f.others, f.most = others, max(f.most, count)
	return nil
}

func othersOf(in *reader) (out []other) {
	span := func() time.Duration { return time.Duration(in.number()) * time.Microsecond }
	for in.err == nil && len(in.values) > 0 {
		o := other{Replica: Replica{ID: in.text()}, age: span(), heard: span(), most: in.number(), left: in.number() == 1}
		o.Address = in.text()
		out = append(out, o)
	}
	return out
}

// adopt begins an epoch. The list that this replica has is whole if nobody can have got a seat since its last beat.
func (f *fleet) adopt(epoch string, now time.Duration) {
	if f.epoch != "" && (f.prior == nil || f.open) {
		f.prior = &prior{at: f.last, others: f.others, whole: f.seated && f.open && f.current(now)}
	}
	f.epoch, f.done, f.back, f.high = epoch, false, false, 0
}

// learn narrows down what is known of the fleet's clock, which stood at clock between sent and now.
func (f *fleet) learn(clock, sent, now time.Duration) {
	least, most := clock-now, clock-sent
	slack := f.store.times.slack
	switch {
	case f.high == 0:
		f.low, f.high = least, most
		f.shift = int64((most + f.store.times.bucket - 1) / f.store.times.bucket)
	case least > f.high+slack || most < f.low-slack:
		// Other replicas know better: this one's clock stood still, or it was away.
		f.low, f.high = least, most
		f.back = true
	default:
		f.low, f.high = max(f.low, least), min(f.high, most)
	}
}

// due says whether it is time for a beat.
func (f *fleet) due() bool { return f.pause() <= 0 }

// pause is the time until the next beat.
func (f *fleet) pause() time.Duration {
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	every := s.times.beat
	if f.down || f.doubtful || !f.seated || !f.open || !f.done || f.news {
		every /= 10
	}
	if !f.began && !f.down {
		return 0
	}
	return f.tried + every - s.now()
}

// share is when this replica may begin to use its part of limits, and until when it may. When it begins, everything
// has left the window that others can have used by leases from the time before the part was set aside for it: that
// is a life after its last answer. Redis sets it aside for 11 windows, since what is used to the end counts for one.
func (f *fleet) share() (begins, ends time.Duration) {
	t := &f.store.times
	free := max(f.lost+t.beat, f.last+t.life+2*t.slack)
	return free + t.window + t.lease + 3*t.bucket, f.last + shareLife*t.window - t.margin
}

// shareLife is for how many windows after Redis' last answer a replica uses its part of limits.
const shareLife = 10

// leave gives all leases back, and the seat.
func (f *fleet) leave(ctx context.Context) {
	s := f.store
	s.mu.Lock()
	var all []*entity
	for e := range s.active {
		if e.fleet == f && e.limited && f.done && !f.down {
			e.left, e.wants = [2]int64{}, demand{since: s.now() - 2*s.times.lease}
			all = append(all, e)
		}
	}
	began := f.began && !f.down
	s.mu.Unlock()
	if len(all) > 0 {
		f.refresh(ctx, all)
	}
	if began {
		_ = f.beat(ctx, true)
	}
}
