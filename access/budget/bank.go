package budget

import (
	"context"
	"errors"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// Terms are what an account may spend in a period. Max is nil where nothing bounds it; Soft only warns.
type Terms struct {
	Max, Soft *record.Nano
	// Duration is how long a period lasts, as NextReset reads it; "" is for ever.
	Duration string
	// ResetAt is the end of the current period; zero when there is none.
	ResetAt time.Time
}

// Bank keeps the accounts of all replicas: what each has spent in its current period, and which replica has leased how
// much of its rest. The database is one; package budgettest has the suite that every bank must pass.
//
// A bank knows each account's Terms itself (they are those of its key, team or user), and every change of them counts
// from the next Exchange on. All time is the bank's own clock.
type Bank interface {
	// Exchange does, in one transaction, in this order:
	//
	//  1. Replicas that were not heard of for the Life of their last call are forgotten, with their leases.
	//  2. A call whose Seq is not above that of the replica's last one is ErrStale and changes nothing more: it is an
	//     earlier call that arrives late, or again. Otherwise Seq, the time and Life are noted. A replica that is not
	//     known (any more) is made, with any Seq, and has no leases.
	//  3. An account of Rows or Claims whose ResetAt has come starts a new period: its spend is 0, ResetAt is NextReset
	//     from now on. Leases stay. One with a Duration and no ResetAt gets one and keeps its spend.
	//  4. Rows whose ID is not in the spend log yet are added to it, and their Cost to the spend of each of their
	//     Accounts, once each. Accounts that don't exist are passed over.
	//  5. Every Claim's lease is set as Grant says, one claim after another, and answered in the order of the claims.
	//
	// Calls of one replica, and calls that touch one account, must come one after another, as if alone. On an error the
	// call may have been done or not. Nothing of it may be done once the replica's next call has been answered.
	Exchange(ctx context.Context, c Call) ([]Lease, error)
}

// ErrStale is the answer to a call that comes after a later one of the same replica.
var ErrStale = errors.New("a later call of this replica has been answered already")

// Call is what a replica tells a bank.
type Call struct {
	// Replica is unique to one run of a process. Seq grows with each of its calls, whether they were answered or not.
	Replica string
	Seq     int64
	// Life is how long the replica's leases count if nothing more is heard of it.
	Life time.Duration
	// Rows are requests that have ended.
	Rows []record.Spend
	// Claims are for different accounts, in the order of their names.
	Claims []Claim
}

// Claim says what a replica uses of an account, and would. Its amounts are absolute: they replace the lease that the
// replica has, so that the same claim again changes nothing. Used <= Keep; Need <= Want. None includes the call's Rows.
type Claim struct {
	Account string
	// Used is held by requests in flight, or was spent and is not in the spend log. The lease is never less.
	Used record.Nano
	// Keep is Used with what the replica may go on to use until it has the answer. The lease is never less, unless
	// the replica was forgotten: then others may have what it had.
	Keep record.Nano
	// Need is Used with what requests wait for: the lease is as much of it as the rest admits.
	Need record.Nano
	// Want is Need with what would spare further calls: the lease has as much of it as others can spare.
	Want record.Nano
}

// Lease is the answer to a claim: how the account stands after the call.
type Lease struct {
	Account string
	// Amount is what the replica may have held, or spent and not written, from now on.
	Amount record.Nano
	// Spend is that of the current period as the spend log has it. It is in no lease.
	Spend record.Nano
	// Others is the sum of the other replicas' leases.
	Others record.Nano
	// Max and ResetAt are the account's terms.
	Max     *record.Nano
	ResetAt time.Time
	// Gone says that there is no such account; all else is zero.
	Gone bool
}

// Rest is what nobody has spent or leased. It is negative when more was spent than was reserved, and after Max was
// lowered.
func (l *Lease) Rest() record.Nano { return *l.Max - l.Spend - l.Others - l.Amount }

// Grant sets the lease that a claim gets, where the other fields of l are filled in already. known says whether the
// replica was known before the call, and live counts the replicas that are, this one included. An account without Max
// leases nothing.
//
// What is beyond Need is at most half of what is left without it, divided by the replicas, so that one never keeps the
// others from going on; to claim again gets no more.
func (l *Lease) Grant(c Claim, known bool, live int) {
	l.Amount = 0
	if l.Max == nil || l.Gone {
		return
	}
	l.Amount = c.Used
	if known {
		l.Amount = max(c.Used, c.Keep)
	}
	l.Amount += max(0, min(c.Need-l.Amount, l.Rest()))
	if l.Amount < c.Need {
		return
	}
	spare := (l.Rest() + l.Amount - c.Need) / record.Nano(2*max(live, 1))
	l.Amount = max(l.Amount, min(c.Want, c.Need+spare))
}
