package ratelimit

import (
	"sync"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit/journal"
)

// largest is more than anybody uses at once. What is larger can't be reserved where there is a limit, and counts
// as this much where there is none: so sums of it can't overflow.
const largest = 1 << 40

// guess is when somebody who found no free slot of a Parallel limit may come again.
const guess = time.Second

// An entity is what has limits, or is only counted.
type entity struct {
	handle Entity
	order  uint64      // in which the locks of entities are taken
	key    journal.Key // of its name; only where there is a file
	apart  bool        // in force by Put; guarded by Memory.declaring

	mu      sync.Mutex
	most    Amounts
	limited bool
	dropped time.Duration // when it was no longer declared; 0 while it is
	gone    bool          // forgotten: nothing of it may be used any more
	seen    time.Duration // the latest time it was used at: it never goes back
	window  window
	held    int64
	holds   holds
}

// limit puts limits in force. What had limits once is counted finely from then on.
func (e *entity) limit(most Amounts) {
	e.most = most
	e.limited = most != Unlimited()
	if e.limited || e.window.kept != nil {
		e.window.grain = fine()
	}
	e.dropped = 0
}

// advance lets go of everything that has ended by now.
func (e *entity) advance(now time.Duration) {
	e.seen = now
	e.window.advance(now)
	for len(e.holds) > 0 && e.holds[0].at <= now {
		e.release(e.holds[0].hold)
	}
}

// idle says that nothing counts.
func (e *entity) idle() bool { return e.window.first == e.window.next && len(e.holds) == 0 }

func (e *entity) used() Amounts {
	return Amounts{e.window.used[Requests], e.window.used[Tokens], e.held}
}

// free is when anything is left of what is used up.
func (e *entity) free(used *Amounts, now time.Duration) (free [Dimensions]time.Duration) {
	for d, most := range e.most {
		switch {
		case most == 0 || most == None || used[d] < most:
		case Dimension(d) == Parallel:
			free[d] = guess
		default:
			free[d] = e.window.wait(Dimension(d), used[d]+1-most, now)
		}
	}
	return free
}

// deny says whether amounts are more than is left, and until when.
func (e *entity) deny(amounts *Amounts, now, opens time.Duration) (Denial, bool) {
	if e.gone {
		return Denial{Entity: e.handle, Never: true}, true
	}
	var worst Denial
	denied := false
	used := e.used()
	for d := range Dimension(Dimensions) {
		denial, no := e.denyOne(d, amounts[d], used[d], now, opens)
		if no && (!denied || denial.after(&worst)) {
			worst, denied = denial, true
		}
	}
	return worst, denied
}

func (e *entity) denyOne(d Dimension, amount, used int64, now, opens time.Duration) (Denial, bool) {
	most := e.most[d]
	free := amount == 0 || amount <= min(most-used, largest)
	if most == None || free && most > 0 && now >= opens {
		return Denial{}, false
	}
	denial := Denial{Entity: e.handle, Dimension: d, Full: used >= most}
	switch {
	case most == 0 || amount > min(most, largest):
		denial.Never = true
	case now < opens:
		denial.RetryAfter, denial.Full = opens-now, true
	case d == Parallel:
		denial.RetryAfter = guess
	default:
		denial.RetryAfter = e.window.wait(d, used+amount-most, now)
	}
	return denial, true
}

// after says whether a denial lasts longer than another.
func (d *Denial) after(o *Denial) bool {
	if d.Never != o.Never {
		return d.Never
	}
	return d.RetryAfter > o.RetryAfter
}

// charge takes a reservation's amounts into the window.
func (e *entity) charge(h *hold, now time.Duration) {
	a := h.share(h.of.amounts)
	h.bucket = e.window.charge(a[Requests], a[Tokens], now)
}

// register makes a hold count in the gauge, until it is released.
func (e *entity) register(h *hold) {
	e.held += h.of.amounts[Parallel]
	e.holds.push(h)
}

// release ends a hold. In the file this comes before anything is given back: who dies in between gives nothing.
func (e *entity) release(h *hold) {
	if h.record != nil {
		h.record.Clear()
		h.record = nil
	}
	e.held -= h.of.amounts[Parallel]
	e.holds.remove(h)
}

// settle replaces what is held by what the reservation has used.
func (e *entity) settle(h *hold, used *Amounts, now time.Duration) {
	var more, less Amounts
	held, truth := h.share(h.of.amounts), h.share(*used)
	for d := range held {
		more[d] = max(0, truth[d]-held[d])
		less[d] = max(0, held[d]-truth[d])
	}
	if more[Requests]|more[Tokens] != 0 {
		e.window.charge(more[Requests], more[Tokens], now)
	}
	e.release(h)
	if less[Requests]|less[Tokens] != 0 {
		e.window.giveBack(h.bucket, less[Requests], less[Tokens])
	}
}

// narrow makes the standing's rooms as small as what the entity has left.
func (e *entity) narrow(s *Standing, now time.Duration) {
	used := e.used()
	for d := range s {
		left := max(0, e.most[d]-used[d])
		if e.most[d] == None || s[d].Limit != None && left >= s[d].Remaining {
			continue
		}
		s[d] = Room{Limit: e.most[d], Remaining: left}
		if d != int(Parallel) {
			s[d].Reset = e.window.reset(Dimension(d), now)
		}
	}
}
