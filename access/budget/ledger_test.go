package budget_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// inWorld runs a test with one account, key:a, of 100.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.limit("key:a", 100, "")
		defer func() {
			for _, r := range w.replicas {
				r.stop()
			}
		}()
		test(t, w)
	})
}

// reserve reserves on key:a, for a minute.
func (r *replica) reserve(n uint64, amount, least record.Nano) *budget.Denial {
	q := budget.Reservation{ID: id(n), Accounts: []*budget.Account{r.ledger.Account("key:a")}, Amount: amount, Least: least, Life: time.Minute}
	return r.ledger.Reserve(context.Background(), q)
}

func (r *replica) admitted(t *testing.T, n uint64, amount, least record.Nano) {
	t.Helper()
	if d := r.reserve(n, amount, least); d != nil {
		t.Fatalf("denied: %+v", d)
	}
}

func (r *replica) denied(t *testing.T, n uint64, amount, least record.Nano, want budget.Denial) {
	t.Helper()
	want.Account = "key:a"
	if diff := cmp.Diff(&want, r.reserve(n, amount, least)); diff != "" {
		t.Fatalf("-want +got\n%s", diff)
	}
}

func (r *replica) line(m mode) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.mode = m
}

// held100 is that of a budget of 100 which others hold; of free100 there is too little for the request.
var (
	held100 = budget.Denial{Max: 100, RetryAfter: time.Second, InFlight: true}
	free100 = budget.Denial{Max: 100}
)

func unsure(spend record.Nano) budget.Denial {
	return budget.Denial{Spend: spend, Max: 100, RetryAfter: time.Second, Unsure: true}
}

// stock gives a replica a lease with more than is used: 20 that are held and free at once.
func (r *replica) stock(t *testing.T) {
	t.Helper()
	r.admitted(t, 1000, 20, 20)
	r.ledger.Refund(id(1000))
}

func TestWhatIsHeldTogetherNeverPassesTheBudget(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		x.admitted(t, 1, 60, 60)
		y.denied(t, 2, 41, 41, held100)
		time.Sleep(time.Millisecond)
		y.admitted(t, 3, 40, 40)
		x.denied(t, 4, 1, 0, held100)
	})
}

func TestADenialKeepsNothingFromOthers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		x.admitted(t, 1, 60, 60)
		for n := range uint64(5) {
			y.denied(t, 2+n, 41+record.Nano(n), 41, held100)
			x.admitted(t, 100+n, 39, 39)
			x.ledger.Refund(id(100 + n))
			time.Sleep(time.Second)
			y.admitted(t, 200+n, 40, 40)
			y.ledger.Refund(id(200 + n))
			time.Sleep(time.Second)
		}
	})
}

func TestALargeGuessGetsAllThatIsLeftWhenItIsAlone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		x.denied(t, 1, 500, 100, free100)
		time.Sleep(time.Second)
		x.admitted(t, 2, 500, 99)
		x.denied(t, 3, 1, 0, held100)
		x.ledger.Settle(id(2), 130)
		x.denied(t, 4, 1, 0, budget.Denial{Spend: 130, Max: 100})
	})
}

func TestWhatCostsNothingIsNeverDenied(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		x.ledger.Charge([]string{"key:a"}, 500)
		x.line(hangs)
		x.admitted(t, 1, 0, 0)
		if !x.ledger.Refund(id(1)) {
			t.Error("it was not held")
		}
	})
}

func TestAReservationIsMadeAndSettledOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		for range 3 {
			x.admitted(t, 1, 60, 60)
		}
		got := []bool{x.ledger.Settle(id(1), 10), x.ledger.Settle(id(1), 10), x.ledger.Refund(id(1)), x.ledger.Renew(id(1), time.Hour)}
		if diff := cmp.Diff([]bool{true, false, false, false}, got); diff != "" {
			t.Error(diff)
		}
		if spent := x.ledger.Spent(x.ledger.Account("key:a")); spent != 10 {
			t.Errorf("spent are %d, want 10", spent)
		}
	})
}

func TestAReservationThatOutlivesItsLifeIsTold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var told []budget.Expired
		l := budget.New(budget.Options{Bank: w.bank, Expired: func(e budget.Expired) { told = append(told, e) }})
		x := &replica{w: w, ledger: l}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		l.Set(l.Account("key:a"), budget.Terms{Max: new(record.Nano(100))}, 0)
		x.admitted(t, 1, 30, 30)
		x.admitted(t, 2, 20, 20)
		time.Sleep(50 * time.Second)
		l.Renew(id(2), time.Minute)
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]budget.Expired{{ID: id(1), Cost: 30, Accounts: []string{"key:a"}}}, told); diff != "" {
			t.Error(diff)
		}
		if spent := l.Spent(l.Account("key:a")); spent != 30 || l.Settle(id(1), 5) {
			t.Errorf("spent are %d, want 30, and it was settled again", spent)
		}
		stop()
		<-done
	})
}

func TestAReplicaThatIsCutOffUsesItsLeaseForTheMargin(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		x.stock(t)
		x.line(hangs)
		time.Sleep(budget.Margin - time.Second)
		x.admitted(t, 1, 20, 20)
		time.Sleep(2 * time.Second)
		start := time.Now()
		x.denied(t, 2, 20, 20, unsure(0))
		if waited := time.Since(start); waited != 100*time.Millisecond {
			t.Errorf("it waited %s", waited)
		}
	})
}

func TestWhatAReplicaThatIsCutOffHoldsCountsUntilItsLifeEnds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		x.stock(t)
		x.line(hangs)
		time.Sleep(budget.Margin - time.Second)
		x.admitted(t, 1, 20, 20)
		time.Sleep(budget.Shortest - time.Second)
		y.denied(t, 2, 81, 81, held100)
		time.Sleep(5 * time.Second)
		y.admitted(t, 3, 100, 100)
	})
}

func TestAReplicaThatWasForgottenHasNoLeaseAnyMore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		x.stock(t)
		x.line(refused)
		time.Sleep(3 * time.Minute)
		y.admitted(t, 1, 100, 100)
		x.line(well)
		time.Sleep(2 * time.Second)
		x.denied(t, 2, 1, 1, held100)
	})
}

func TestAReplicaThatComesBackSaysWhatItUses(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		x.admitted(t, 1, 30, 30)
		x.ledger.Renew(id(1), time.Hour)
		x.line(refused)
		x.ledger.Charge([]string{"key:a"}, 10)
		time.Sleep(3 * time.Minute)
		x.line(well)
		time.Sleep(2 * time.Second)
		y.denied(t, 2, 61, 61, held100)
		y.admitted(t, 3, 60, 60)
	})
}

func TestAReplicaThatComesBackSaysWhatItHolds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		x.admitted(t, 1, 30, 30)
		time.Sleep(6 * time.Second)
		x.line(refused)
		x.ledger.Renew(id(1), time.Hour) // which the bank isn't told
		time.Sleep(3 * time.Minute)
		x.line(well)
		time.Sleep(2 * time.Second)
		y.denied(t, 2, 71, 71, held100)
		y.admitted(t, 3, 70, 70)
	})
}

func TestADebtIsToldAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		x.admitted(t, 1, 40, 40)
		time.Sleep(200 * time.Millisecond)
		x.ledger.Settle(id(1), 90)
		synctest.Wait()
		y.denied(t, 2, 11, 11, held100)
		y.admitted(t, 3, 10, 10)
	})
}

func TestALeaseThatIsGivenBackIsNotUsedWhileTheAnswerIsOut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		x.stock(t)
		time.Sleep(18 * time.Second)
		x.line(lost) // the call that gives back goes through
		time.Sleep(10 * time.Second)
		y.admitted(t, 1, 100, 100)
		x.denied(t, 2, 1, 1, unsure(0))
	})
}

func TestARaisedBudgetCountsAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		x.admitted(t, 1, 100, 100)
		x.denied(t, 2, 50, 50, held100)
		w.limit("key:a", 150, "")
		x.admitted(t, 3, 50, 50)
	})
}

func TestALoweredBudgetCountsAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		x.stock(t)
		w.limit("key:a", 10, "")
		x.denied(t, 1, 11, 11, budget.Denial{Max: 10})
		time.Sleep(2 * time.Second)
		if got := w.bank.Leased("key:a"); got != 0 {
			t.Errorf("leased are %d of 10, want 0", got)
		}
	})
}

func TestADenialSaysWhenThePeriodEnds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.limit("key:a", 100, "1h")
		x := w.start()
		x.admitted(t, 1, 100, 100)
		x.ledger.Settle(id(1), 100)
		x.flush(0)
		time.Sleep(10 * time.Minute)
		x.denied(t, 2, 1, 1, budget.Denial{Spend: 100, Max: 100, RetryAfter: 50 * time.Minute})
	})
}

func TestWhatWasHeldAcrossAResetCountsInTheNewPeriod(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.limit("key:a", 100, "1m")
		x, y := w.start(), w.start()
		w.reserve(x, []string{"key:a"}, 60, 60, 10*time.Minute)
		w.reserve(x, []string{"key:a"}, 40, 40, 10*time.Minute)
		w.settle(w.requests[0], nil, 60)
		x.flush(1)
		time.Sleep(time.Minute)
		y.admitted(t, 100, 60, 60)
		w.settle(w.requests[1], nil, 40)
		x.flush(1)
		time.Sleep(time.Second)
		if got := w.bank.Spend("key:a"); got != 40 {
			t.Errorf("the new period has spent %d, want 40", got)
		}
		y.denied(t, 101, 1, 0, budget.Denial{Spend: 40, Max: 100, RetryAfter: time.Second, InFlight: true})
	})
}

// What was denied just before the end of a period says nothing of the next one.
func TestWhoComesBackAtTheEndOfThePeriodIsAdmitted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.limit("key:a", 100, "1h")
		x := w.start()
		w.reserve(x, []string{"key:a"}, 100, 100, time.Minute)
		w.settle(w.requests[0], nil, 100)
		x.flush(1)
		const before = 50 * time.Millisecond
		time.Sleep(time.Hour - before)
		x.denied(t, 2, 1, 1, budget.Denial{Spend: 100, Max: 100, RetryAfter: before})
		time.Sleep(before)
		x.admitted(t, 3, 100, 100)
	})
}

func TestSpentKnowsThatAPeriodHasEnded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		a := x.ledger.Account("team:b")
		x.ledger.Set(a, budget.Terms{Duration: "1h", ResetAt: time.Now().Add(time.Minute)}, 70)
		x.ledger.Charge([]string{"team:b", "team:b"}, 5)
		before := x.ledger.Spent(a)
		time.Sleep(time.Minute)
		if after := x.ledger.Spent(a); before != 75 || after != 5 {
			t.Errorf("spent are %d and then %d, want 75 and 5", before, after)
		}
	})
}

func TestPeopleAreTold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		x.stop()
		var told []budget.Notice
		l := budget.New(budget.Options{Bank: x, Warn: func(n budget.Notice) { told = append(told, n) }})
		l.Set(l.Account("team:b"), budget.Terms{Soft: new(record.Nano(50))}, 0)
		for range 4 {
			l.Charge([]string{"team:b"}, 20)
		}
		for _, m := range []mode{refused, refused, well, well} {
			x.line(m)
			_ = l.WriteSpend(t.Context(), nil)
		}
		for i := range told {
			told[i].Err = nil
		}
		want := []budget.Notice{{Event: budget.Soft, Account: "team:b", Spend: 60, Limit: 50}, {Event: budget.Lost}, {Event: budget.Found}}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnExclusiveProcessGoesOnWithoutItsBank(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		line := &replica{w: w}
		l := budget.New(budget.Options{Bank: line, Exclusive: true})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		x := &replica{w: w, ledger: l}
		l.Set(l.Account("key:a"), budget.Terms{Max: new(record.Nano(100))}, 0)
		x.admitted(t, 1, 10, 10)
		line.line(refused)
		time.Sleep(5 * time.Minute)
		x.admitted(t, 2, 60, 60) // 10 were settled by themselves
		x.denied(t, 3, 31, 31, budget.Denial{Spend: 10, Max: 100, RetryAfter: time.Second, InFlight: true})
		x.admitted(t, 4, 30, 30)
		line.line(well)
		time.Sleep(2 * time.Second)
		x.denied(t, 5, 1, 0, budget.Denial{Spend: 10, Max: 100, RetryAfter: time.Second, InFlight: true})
		l.Refund(id(4))
		x.admitted(t, 6, 30, 30)
		stop()
		<-done
	})
}

func TestAReplicaThatStopsGivesBackWhatItDoesNotUse(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		x.stock(t)
		x.admitted(t, 1, 10, 10)
		w.kill(x, w.start(), true)
		if got := w.bank.Leased("key:a"); got != 10 {
			t.Errorf("leased are %d, want 10", got)
		}
	})
}

func TestAnAccountThatWasDeletedAdmitsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		w.bank.Delete("key:a")
		x.denied(t, 1, 1, 0, free100)
	})
}

func TestCostsOfWhatIsGoneAreNotKeptForEver(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x := w.start()
		x.admitted(t, 1, 1, 1)
		for _, name := range []string{"key:gone", "user:nobody", "key:a"} {
			x.ledger.Charge([]string{name}, 1)
			if err := x.ledger.WriteSpend(t.Context(), []record.Spend{{ID: name, Cost: 1, Accounts: []string{name}}}); err != nil {
				t.Fatal(err)
			}
		}
		if n := x.ledger.Known(); n != 1 {
			t.Errorf("%d accounts are kept, want 1", n)
		}
	})
}

func TestALongLifeIsToldBeforeTheLeaseIsUsed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		x, y := w.start(), w.start()
		q := budget.Reservation{ID: id(1), Accounts: []*budget.Account{x.ledger.Account("key:a")}, Amount: 100, Least: 100, Life: time.Hour}
		if d := x.ledger.Reserve(t.Context(), q); d != nil {
			t.Fatalf("%+v", d)
		}
		x.line(refused)
		time.Sleep(59 * time.Minute)
		y.denied(t, 2, 1, 0, held100)
	})
}
