package ratelimit

import "github.com/nestor-gateway/nestor/ratelimit/journal"

// A hold is a reservation's part at one entity. While it is held, the entity's lock guards it.
type hold struct {
	of     *reservation
	entity *entity
	bucket int64         // number of the one that its amounts were charged to
	place  int           // in the entity's holds
	record *journal.Hold // what outlives the process; nil where nothing does
}

func (h *hold) keepIn(record *journal.Hold) {
	h.record = record
	record.Put(&journal.Held{ID: h.of.id, Ring: h.entity.window.kept, Bucket: h.bucket, Ends: h.of.ends, Amounts: h.of.amounts})
}

// holds is a heap: the one that ends first is the first.
type holds []*hold

func (q *holds) push(h *hold) {
	*q = append(*q, nil)
	q.up(len(*q)-1, h)
}

func (q *holds) remove(h *hold) {
	last := len(*q) - 1
	moved := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	if moved == h {
		return
	}
	if place := h.place; place > 0 && moved.of.ends < (*q)[(place-1)/2].of.ends {
		q.up(place, moved)
	} else {
		q.down(place, moved)
	}
}

// up puts a hold at the place, or nearer to the first.
func (q holds) up(place int, h *hold) {
	for place > 0 {
		parent := (place - 1) / 2
		if q[parent].of.ends <= h.of.ends {
			break
		}
		q.set(place, q[parent])
		place = parent
	}
	q.set(place, h)
}

// down puts a hold at the place, or further from the first.
func (q holds) down(place int, h *hold) {
	for {
		child := 2*place + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].of.ends < q[child].of.ends {
			child++
		}
		if h.of.ends <= q[child].of.ends {
			break
		}
		q.set(place, q[child])
		place = child
	}
	q.set(place, h)
}

func (q holds) set(place int, h *hold) {
	q[place] = h
	h.place = place
}
