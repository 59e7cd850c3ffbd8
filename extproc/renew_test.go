package extproc

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
)

const life = 4 * nestorv1.SignInterval

func TestAnEntryThatNeverComesLeavesTheEstimate(t *testing.T) {
	for _, body := range []string{chat, `{"model":"fast","messages":[],"stream":true}`} {
		synctest.Test(t, func(t *testing.T) {
			s, l := limited(t, one("max_parallel_requests: 1"))
			lost := begin(t, s, nil, body)
			time.Sleep(life - time.Second)
			if r := asked(t, s, "r2", chat); r.GetImmediateResponse() == nil {
				t.Error("its slot was free too soon")
			}
			time.Sleep(time.Second) // as long as the refusal said
			a := begin(t, s, map[string]string{nestorv1.HeaderRequest: "r3"}, chat)
			lost.ended(t, s, how{status: 200, usage: tokens(1, 1)})
			a.ended(t, s, how{status: 200, usage: tokens(1, 2)})
			if got := l.used(t, leaf); got != (ratelimit.Amounts{1, 3, 0}) {
				t.Errorf("used %v", got)
			}
			if got := valueOf(t, s.Metrics.expired); got != 1 {
				t.Errorf("%v answers counted that came too late", got)
			}
		})
	}
}

// However long it takes, an answer has its slot as long as it gives signs of life, and is settled with the truth.
func TestAnAttemptHasItsSlotAsLongAsItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := limited(t, one("max_parallel_requests: 1"))
		a := begin(t, s, nil, chat)
		for range 3 * time.Hour / (life / 2) {
			time.Sleep(life / 2) // every other sign is lost
			a.lives(t, s)
		}
		time.Sleep(life - time.Second)
		if r := asked(t, s, "r2", chat); r.GetImmediateResponse() == nil {
			t.Error("its slot is free")
		}
		a.ended(t, s, how{status: 200, usage: tokens(1, 2)})
		if got := l.used(t, leaf); got[ratelimit.Parallel] != 0 || !l.onceEach() || len(l.ended) != 1 {
			t.Errorf("used %v, settled %v", got, l.ended)
		}
	})
}

// What an entry says of an attempt in flight is not final: it counts for nothing.
func TestASignOfLifeIsNoEnd(t *testing.T) {
	s, l := limited(t, oneDeployment)
	a := begin(t, s, nil, chat)
	for range 3 {
		a.lives(t, s)
	}
	attempt{}.lives(t, s) // while it is decided
	if got := l.used(t, leaf); got != (ratelimit.Amounts{1, estimated, 1}) || len(l.ended) != 0 {
		t.Errorf("used %v, settled %v", got, l.ended)
	}
	if got := valueOf(t, s.Metrics.attempts.WithLabelValues("d1", "200", "success")); got != 0 {
		t.Errorf("%v attempts counted", got)
	}
	begin(t, s, map[string]string{nestorv1.HeaderRequest: "r2"}, chat)
	if got := l.used(t, leaf); got != (ratelimit.Amounts{2, 2 * estimated, 2}) {
		t.Errorf("used %v: something was learned", got)
	}
	a.ended(t, s, how{status: 200, usage: tokens(10, 20)})
	a.lives(t, s) // overtaken
	if got := l.used(t, leaf); got != (ratelimit.Amounts{2, 30 + estimated, 1}) {
		t.Errorf("used %v", got)
	}
}

func TestASignOfLifeReachesTheHolderWhereverItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		a, b := f.start(t, "a", oneDeployment), f.start(t, "b", oneDeployment)
		defer a.stop()
		defer b.stop()
		held := begin(t, a.Server, nil, chat)
		for range 10 {
			time.Sleep(life / 2)
			held.lives(t, b.Server)
			synctest.Wait()
		}
		if got := a.ledger.used(t, leaf); got[ratelimit.Parallel] != 1 {
			t.Errorf("used %v", got)
		}
		time.Sleep(life)
		if got := a.ledger.used(t, leaf); got[ratelimit.Parallel] != 0 {
			t.Errorf("used %v without a sign of life", got)
		}
	})
}

// slow is a wire on which time passes before the answer.
type slow struct {
	*wire
	before func()
}

func (s *slow) Recv() (*extprocv3.ProcessingRequest, error) {
	if len(s.replies) == 2 {
		s.before()
	}
	return s.wire.Recv()
}

// In band the exchange itself is the sign of life.
func TestAnExchangeHasItsSlotAsLongAsItLasts(t *testing.T) {
	for _, status := range []uint32{200, 500} {
		synctest.Test(t, func(t *testing.T) {
			s, l := inBand(t, one("max_parallel_requests: 1"))
			w := &slow{&wire{ctx: t.Context(), send: []*extprocv3.ProcessingRequest{requestHeaders(nil), requestBody(chat)}}, func() {
				time.Sleep(3 * time.Hour)
				if got := l.used(t, leaf); got[ratelimit.Parallel] != 1 {
					t.Errorf("used %v after three hours", got)
				}
			}}
			w.send = append(w.send, answerOf(t, false, how{status: status, usage: tokens(1, 2)})...)
			if err := s.Process(w); err != nil {
				t.Fatal(err)
			}
			if got := l.used(t, leaf); got[ratelimit.Parallel] != 0 || len(l.ended) != 1 {
				t.Errorf("used %v, settled %v", got, l.ended)
			}
		})
	}
}

func TestSignsMayComeAtAnotherInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fixture(t, oneDeployment).Options
		o.Signs, o.Metrics = time.Second, nil
		l := newLedger(time.Now)
		o.Router = fixtureWith(t, oneDeployment, time.Now, l).Router
		s := New(o)
		a := begin(t, s, nil, chat)
		for i := range 20 {
			time.Sleep(Life(time.Second) - time.Millisecond)
			if got := l.used(t, leaf); got[ratelimit.Parallel] != 1 {
				t.Fatal(fmt.Sprint("used ", got, " after sign ", i))
			}
			a.lives(t, s)
		}
		time.Sleep(Life(time.Second))
		if got := l.used(t, leaf); got[ratelimit.Parallel] != 0 {
			t.Errorf("used %v", got)
		}
	})
}
