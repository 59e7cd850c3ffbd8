package ratelimit

import (
	"time"

	"github.com/nestor-gateway/nestor/ratelimit/journal"
)

// A hold is a reservation's part at one entity. While it is held, the entity's lock guards it.
type hold struct {
	of     *reservation
	entity *entity
	bucket int64         // number of the one that its amounts were charged to
	place  int           // in the entity's holds
	again  bool          // the request counts already: see Reservation.Again
	record *journal.Hold // what outlives the process; nil where nothing does
}

// share is what the entity holds, or has used, of a reservation's amounts.
func (h *hold) share(a Amounts) Amounts {
	if h.again {
		a[Requests] = 0
	}
	return a
}

func (h *hold) keepIn(record *journal.Hold) {
	h.record = record
	record.Put(&journal.Held{
		ID: h.of.id, Ring: h.entity.window.kept, Bucket: h.bucket, Ends: h.of.ends, Amounts: h.of.amounts, Again: h.again,
	})
}

// holds is a heap of four children each: the hold that ends first is the first.
type holds []ending

// An ending is a hold and its end.
type ending struct {
	at   time.Duration
	hold *hold
}

func (q *holds) push(h *hold) {
	e := ending{h.of.ends, h}
	*q = append(*q, e)
	q.up(len(*q)-1, e)
}

func (q *holds) remove(h *hold) {
	last := len(*q) - 1
	moved := (*q)[last]
	(*q)[last] = ending{}
	*q = (*q)[:last]
	if moved.hold == h {
		return
	}
	if place := h.place; place > 0 && moved.at < (*q)[(place-1)/4].at {
		q.up(place, moved)
	} else {
		q.down(place, moved)
	}
}

// postpone puts a hold, which ends later than it did, in its place.
func (q holds) postpone(h *hold) { q.down(h.place, ending{h.of.ends, h}) }

// up puts a hold at the place, or nearer to the first.
func (q holds) up(place int, e ending) {
	for place > 0 {
		parent := (place - 1) / 4
		if q[parent].at <= e.at {
			break
		}
		q.set(place, q[parent])
		place = parent
	}
	q.set(place, e)
}

// down puts a hold at the place, or further from the first.
func (q holds) down(place int, e ending) {
	for {
		child := q.soonest(4*place+1, e)
		if child < 0 {
			break
		}
		q.set(place, q[child])
		place = child
	}
	q.set(place, e)
}

// soonest returns which of four children from one on ends first, if that is before another hold; else -1.
func (q holds) soonest(child int, e ending) int {
	best, at := -1, e.at
	for i := child; i < min(child+4, len(q)); i++ {
		if q[i].at < at {
			best, at = i, q[i].at
		}
	}
	return best
}

func (q holds) set(place int, e ending) {
	q[place] = e
	e.hold.place = place
}
