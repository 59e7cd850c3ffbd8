// Package ratelimit keeps limits: how many requests and tokens a minute an entity may use, and how many
// requests may be at it at once. What is to be used is reserved before it is used, and settled with the
// truth afterwards, so that no limit is ever exceeded.
package ratelimit

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Window is the interval that limits are about: in every (s, s+Window] at most the limit is admitted.
const Window = time.Minute

// Dimension is what a limit counts.
type Dimension uint8

// Requests and Tokens are counted over a Window, Parallel at every moment.
const (
	Requests Dimension = iota
	Tokens
	Parallel

	Dimensions = 3
)

func (d Dimension) String() string { return [...]string{"requests", "tokens", "parallel"}[d] }

// None is a limit that is not there.
const None int64 = math.MaxInt64

// Amounts has a number for each Dimension: none is negative.
type Amounts [Dimensions]int64

// Unlimited is the limits of an entity that has none.
func Unlimited() Amounts { return Amounts{None, None, None} }

// Limit is what an entity may use.
type Limit struct {
	// Name is the entity's, the same at every replica and in every snapshot: "deployment:ID", "group:NAME", ...
	Name string
	// Most is the limit in each dimension; None where there is none, 0 admits nothing.
	Most Amounts
	// Lost says what holds while the replicas' store can't be reached.
	Lost Policy
}

// Policy says what a limit that replicas share admits while their store can't be reached.
type Policy uint8

// Share goes on with this replica's part of the limit, Closed admits nothing, and Open everything:
// it is the one policy by which a limit can be exceeded.
const (
	Share Policy = iota
	Closed
	Open
)

// Entity is a handle for something that is limited, given by the store that it is used with.
type Entity uint32

// ID names a reservation, for ever: an attempt at a request makes the same one at every replica.
type ID [16]byte

// Reservation is what an attempt is going to use.
type Reservation struct {
	ID ID
	// Amounts is held of every entity. In Requests and Tokens it is the estimate, in Parallel 1.
	Amounts Amounts
	// Entities are each there once. The store keeps no reference to the slice.
	Entities []Entity
	// Again is how many of the last Entities have counted the request already, for an attempt before this one: of them
	// no Requests are held, and when it is settled none are counted. Of one that is named before, too, they are.
	Again int
	// Life is when the reservation settles by itself, at its Amounts, unless it has been settled before.
	Life time.Duration
}

// HasCounted reports whether the i-th entity has counted the request already.
func (r *Reservation) HasCounted(i int) bool { return i >= len(r.Entities)-r.Again }

// Limiter is the contract of every store; package limitertest holds the suite for it.
// It is safe for concurrent use.
type Limiter interface {
	// Reserve holds the amounts of all entities, or of none: then the denial says why.
	// The same ID again, while the first is held, holds nothing more and is no denial.
	Reserve(ctx context.Context, r *Reservation) (Standing, *Denial)
	// Settle replaces what a reservation holds by what was used, and gives its Parallel back; used[Parallel]
	// does not matter. More than was reserved counts from now on, for a whole Window. It reports whether
	// the reservation was held here: of several calls for one ID the first alone counts.
	Settle(id ID, used Amounts) bool
	// Refund gives a reservation back whole: nothing was used.
	Refund(id ID) bool
}

// Standing is how much the tightest of the entities admits after a reservation, by dimension.
type Standing [Dimensions]Room

// Room is what a limit still admits.
type Room struct {
	// Limit is None where no entity has one; then the rest means nothing.
	Limit, Remaining int64
	// Reset is when the whole limit is there again if nothing more is used.
	Reset time.Duration
}

// Denial says which limit stands in the way.
type Denial struct {
	Entity    Entity
	Dimension Dimension
	// RetryAfter is the soonest that the same reservation can succeed: when nobody else uses anything, it
	// does. Of several limits in the way the one that takes longest counts. For Parallel it is a guess.
	RetryAfter time.Duration
	// Full says that nothing at all is left in the dimension, so that until then every reservation
	// fails that needs any of it.
	Full bool
	// Never says that the reservation is larger than the limit.
	Never bool
}

func (d *Denial) Error() string {
	if d.Never {
		return fmt.Sprintf("more %s than the limit admits", d.Dimension)
	}
	return fmt.Sprintf("limit of %s reached: free in %s", d.Dimension, d.RetryAfter)
}

// Usage is how a limit stands, for display and for strategies that look at it.
type Usage struct {
	// Used is over the Window that ends now, reservations included; in Parallel what is held now.
	Used Amounts
	// Most is the limit in force.
	Most Amounts
	// Reset is when Used will be 0 if nothing more is used; 0 for Parallel.
	Reset [Dimensions]time.Duration
	// Free is when anything is left again, where nothing is; 0 elsewhere. For Parallel it is a guess.
	Free [Dimensions]time.Duration
	// Closed is for how long the store admits nothing of the limit, whatever is used: it does not know what
	// was. Where nobody can tell for how long it is a guess. 0: the store is open, or there is no limit.
	Closed time.Duration
}
