package budget_test

import (
	"context"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// sluggish is a line to a bank that takes its time.
type sluggish struct {
	*replica
	delay time.Duration
}

func (s sluggish) Exchange(ctx context.Context, c budget.Call) ([]budget.Lease, error) {
	time.Sleep(s.delay)
	return s.replica.Exchange(ctx, c)
}

// A bank that is slow, but answers, denies nothing that is there, and what it has not is denied as soon as it has said so.
func TestTheFirstAnswerOfASlowBankIsWaitedFor(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := budget.New(budget.Options{Bank: sluggish{&replica{w: w}, 400 * time.Millisecond}})
		l.Set(l.Account("key:a"), budget.Terms{Max: new(record.Nano(100))}, 0)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		x := &replica{w: w, ledger: l}
		x.admitted(t, 1, 60, 60)
		start := time.Now()
		x.denied(t, 2, 41, 41, held100)
		if waited := time.Since(start); waited > time.Second {
			t.Errorf("it waited %s", waited)
		}
		x.admitted(t, 3, 40, 40)
		stop()
		<-done
	})
}
