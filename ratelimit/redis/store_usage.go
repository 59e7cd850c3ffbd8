package redis

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// free is when anything is left of what is used up, as far as this replica has heard.
func (e *entity) free(used *ratelimit.Amounts, now time.Duration) (free [ratelimit.Dimensions]time.Duration) {
	for d, most := range e.most {
		switch {
		case most == 0 || most == ratelimit.None || used[d] < most:
		case ratelimit.Dimension(d) == ratelimit.Parallel:
			free[d] = e.fleet.store.times.beat
		default:
			free[d] = max(e.wait(ratelimit.Dimension(d), 1, now), time.Millisecond)
		}
	}
	return free
}

// lacking says that in some dimension of the limit nothing may be used without asking.
func (e *entity) lacking(now time.Duration) bool {
	for d, most := range e.most {
		if most != ratelimit.None && e.room(ratelimit.Dimension(d), now) <= 0 {
			return true
		}
	}
	return false
}

// closed is for how long the limit admits nothing, whatever is used; a life where nobody can tell.
func (e *entity) closed(now time.Duration) time.Duration {
	f, t := e.fleet, &e.fleet.store.times
	switch {
	case !e.lacking(now):
		return 0
	case f.down:
		return e.closedAlone(now)
	case !f.began:
		return t.life
	case !f.open && now < f.opens:
		return f.opens - now
	}
	return 0
}

// closedAlone is closed while Redis is lost.
func (e *entity) closedAlone(now time.Duration) time.Duration {
	f, t := e.fleet, &e.fleet.store.times
	if e.lost == ratelimit.Open {
		return 0
	}
	if e.lost == ratelimit.Closed || f.most == 0 || !f.shares {
		return t.life
	}
	switch begins, ends := f.share(); {
	case now < begins:
		return begins - now
	case now >= ends:
		return t.life
	}
	return 0
}
