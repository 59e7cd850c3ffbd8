package routing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

func TestWorkedCaseWithLimits(t *testing.T) {
	l := limit(snapshot(t, worked))
	counts, first := map[string]int{}, map[string]time.Duration{}
	start := l.clock.Now()
	for range 40 {
		h := l.pick(t, "fast", 1)
		if counts[h.Deployment.Written]++; counts[h.Deployment.Written] == 1 {
			first[h.Deployment.Written] = l.clock.Now().Sub(start)
		}
		l.clock.Add(time.Second)
	}
	if diff := cmp.Diff(map[string]int{cer: 5, glm: 5, groq: 30}, counts); diff != "" {
		t.Fatal(diff)
	}
	// A and glm are exhausted: the first request of all is over first.
	none := l.refused(t, "fast", 1)
	soonest := min(first[cer], first[glm]) + ratelimit.Window - 40*time.Second
	if none.RetryAfter != soonest || none.Limit == nil {
		t.Fatalf("try again in %v (%+v), want %v", none.RetryAfter, none.Limit, soonest)
	}
	want := ratelimit.Room{Limit: 5, Reset: none.Limit.Room.Reset}
	if diff := cmp.Diff(&routing.Obstacle{Dimension: ratelimit.Requests, Room: want}, none.Limit); diff != "" {
		t.Error(diff)
	}
	l.clock.Add(none.RetryAfter - time.Nanosecond)
	l.refused(t, "fast", 1)
	l.clock.Add(time.Nanosecond)
	l.pick(t, "fast", 1)
}

func TestFullFirstTierLeavesTheSharesOfTheRest(t *testing.T) {
	l := limit(snapshot(t, worked))
	for range 5 {
		l.pick(t, cer, 0) // a direct call reserves too
	}
	l.refused(t, cer, 0)
	got := map[string]float64{}
	for _, d := range l.View().Live(target(t, l.View().Snapshot(), "fast")).Deployments {
		got[d.Model] = *d.Probability
	}
	if diff := cmp.Diff(map[string]float64{cer: 0, groq: 30.0 / 35, glm: 5.0 / 35}, got); diff != "" {
		t.Error(diff)
	}
}

// shared is a sub-group of two parents, with limits on one reference and on a group.
const shared = `
model_list:
  - {model_name: a, litellm_params: {model: sub, rpm: 3, order: 1}}
  - {model_name: a, litellm_params: {model: openai/spare, order: 2}}
  - {model_name: b, litellm_params: {model: sub}}
  - {model_name: sub, litellm_params: {model: openai/x}}
  - {model_name: sub, litellm_params: {model: openai/y}}
model_groups:
  sub: {rpm: 8}
`

func TestFullReferenceLetsThePickGoOn(t *testing.T) {
	l := limit(snapshot(t, shared))
	counts := l.picks(t, "a", 10)
	if counts["openai/x"]+counts["openai/y"] != 3 || counts["openai/spare"] != 7 {
		t.Errorf("got %v, want 3 by the reference and 7 beside it", counts)
	}
	// The other way to the same group is open.
	if counts := l.picks(t, "b", 10); counts[""] != 5 {
		t.Errorf("got %v, want the 5 that are left of the group", counts)
	}
}

func TestGroupsLimitCountsOverAllItsParents(t *testing.T) {
	l := limit(snapshot(t, shared))
	l.picks(t, "b", 4)
	l.picks(t, "sub", 3)
	counts := l.picks(t, "a", 4)
	if counts["openai/x"]+counts["openai/y"] != 1 || counts["openai/spare"] != 3 {
		t.Errorf("got %v, want 1 through the group and 3 beside it", counts)
	}
	none := l.refused(t, "b", 1)
	if none.Limit == nil || none.Limit.Room.Limit != 8 || none.RetryAfter != ratelimit.Window {
		t.Errorf("got %v, %+v, want the group's limit of 8", none, none.Limit)
	}
}

func TestTwoReferencesToOneGroupHaveTheirOwnLimits(t *testing.T) {
	l := limit(snapshot(t, `
model_list:
  - {model_name: a, litellm_params: {model: sub, rpm: 3}}
  - {model_name: a, litellm_params: {model: sub, rpm: 4}}
  - {model_name: sub, litellm_params: {model: openai/x}}
`))
	if diff := cmp.Diff(map[string]int{"openai/x": 7, "": 3}, l.picks(t, "a", 10)); diff != "" {
		t.Error(diff)
	}
}

func TestReferenceToADeploymentIsLimited(t *testing.T) {
	l := limit(snapshot(t, `
model_list:
  - {model_name: a, litellm_params: {model: by-id, max_parallel_requests: 2}}
  - {model_name: b, litellm_params: {model: openai/x}, model_info: {id: x}}
router_settings: {model_group_alias: {by-id: x}}
`))
	if diff := cmp.Diff(map[string]int{"openai/x": 2, "": 3}, l.picks(t, "a", 5)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"openai/x": 5}, l.picks(t, "b", 5)); diff != "" {
		t.Error(diff)
	}
}

// pair is two deployments, of which a is preferred.
func pair(a, b string) string {
	return fmt.Sprintf(`
model_list:
  - {model_name: g, litellm_params: {model: openai/a, order: 1, cooldown_time: 90%s}, model_info: {id: a}}
  - {model_name: g, litellm_params: {model: openai/b, order: 2%s}, model_info: {id: b}}
`, a, b)
}

func TestSettlingOpensAtOnce(t *testing.T) {
	l := limit(snapshot(t, pair(", max_parallel_requests: 1", "")))
	first := l.pick(t, "g", 1)
	if second := l.pick(t, "g", 1); first.Deployment.ID != "a" || second.Deployment.ID != "b" {
		t.Fatalf("got %s and %s, want a and b", first.Deployment.ID, second.Deployment.ID)
	}
	if !l.Settle("a", first.id, ratelimit.Amounts{ratelimit.Requests: 1}) || l.Settle("a", first.id, ratelimit.Amounts{}) {
		t.Error("a settlement counts once")
	}
	if third := l.pick(t, "g", 1); third.Deployment.ID != "a" {
		t.Errorf("got %s, want a again", third.Deployment.ID)
	}
}

func TestTokensGivenBackOpenAtOnce(t *testing.T) {
	l := limit(snapshot(t, pair(", tpm: 100", "")))
	first := l.pick(t, "g", 100)
	if second := l.pick(t, "g", 100); second.Deployment.ID != "b" {
		t.Fatal("a took more than its tpm")
	}
	l.Settle("a", first.id, ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: 40})
	if third := l.pick(t, "g", 60); third.Deployment.ID != "a" {
		t.Errorf("got %s, want a again", third.Deployment.ID)
	}
}

func TestRequestTooLargeForWhatIsLeftGoesOn(t *testing.T) {
	l := limit(snapshot(t, pair(", tpm: 100", "")))
	l.pick(t, "g", 50)
	if large := l.pick(t, "g", 80); large.Deployment.ID != "b" {
		t.Error("80 tokens fitted into the 50 that are left")
	}
	if small := l.pick(t, "g", 50); small.Deployment.ID != "a" {
		t.Error("what was too little for one request was kept from the next")
	}
}

func TestRequestLargerThanEveryLimit(t *testing.T) {
	l := limit(snapshot(t, pair(", tpm: 100", ", tpm: 300")))
	none := l.refused(t, "g", 301)
	want := &routing.Obstacle{Dimension: ratelimit.Tokens, Never: true, Room: ratelimit.Room{Limit: 300, Remaining: 300}}
	if diff := cmp.Diff(want, none.Limit); diff != "" {
		t.Error(diff)
	}
	l.pick(t, "g", 300)
	if none := l.refused(t, "g", 200); none.Limit.Never || none.RetryAfter != ratelimit.Window || none.Limit.Room.Limit != 300 {
		t.Errorf("got %v, %+v: it fits into b in a minute", none, none.Limit)
	}
}

func TestQuotaNeverBends(t *testing.T) {
	for name, c := range map[string]struct {
		cooling []string
		want    string
	}{
		"b full, a cooling: a bends":     {[]string{"a"}, "a"},
		"b full and cooling, a cooling":  {[]string{"a", "b"}, "a"},
		"b full and cooling, a is there": {[]string{"b"}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			l := limit(snapshot(t, pair("", ", rpm: 1")))
			l.pick(t, "b", 1)
			l.refused(t, "b", 1)
			for _, id := range c.cooling {
				d, _ := l.View().Snapshot().Deployment(id)
				l.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429})
			}
			if h := l.pick(t, "g", 1); h.Deployment.ID != c.want {
				t.Errorf("got %s, want %s", h.Deployment.ID, c.want)
			}
		})
	}
	t.Run("a full and cooling, b full", func(t *testing.T) {
		l := limit(snapshot(t, pair(", rpm: 1", ", rpm: 1")))
		l.pick(t, "g", 1)
		l.clock.Add(time.Second)
		l.pick(t, "g", 1)
		d, _ := l.View().Snapshot().Deployment("a")
		l.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429})
		if none := l.refused(t, "g", 1); none.RetryAfter != 59*time.Second {
			t.Errorf("try again in %v: when its quota is back, a bends though it cools longer", none.RetryAfter)
		}
		l.clock.Add(59 * time.Second)
		if h := l.pick(t, "g", 1); h.Deployment.ID != "a" {
			t.Errorf("got %s, want a", h.Deployment.ID)
		}
	})
}

func TestNothingStaysReservedAfterAPickThatFails(t *testing.T) {
	l := limit(snapshot(t, shared))
	l.picks(t, "sub", 8)
	before := l.ledger()
	l.refused(t, "b", 1)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	q := l.query(1)
	if _, err := l.View().Pick(over, target(t, l.View().Snapshot(), "a"), q); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if diff := cmp.Diff(before, l.ledger()); diff != "" {
		t.Error(diff)
	}
}

func TestSkippedDrawsReserveNothing(t *testing.T) {
	l := limit(snapshot(t, trio))
	q := l.query(7)
	q.Skip = 2
	p, err := l.View().Pick(context.Background(), target(t, l.View().Snapshot(), "g"), q)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]ratelimit.Amounts{"deployment a": {}, "deployment b": {}, "deployment c": {}}
	want["deployment "+p.Deployment.ID] = ratelimit.Amounts{1, 7, 1}
	if diff := cmp.Diff(want, l.ledger()); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsChangeAndWhatWasUsedStays(t *testing.T) {
	config := func(rpm int) string { return pair(fmt.Sprintf(", rpm: %d", rpm), ", rpm: 0") }
	l := limit(snapshot(t, config(3)))
	old := l.View()
	l.picks(t, "g", 4)
	l.Swap(snapshot(t, config(5)))
	if diff := cmp.Diff(map[string]int{"openai/a": 2, "": 2}, l.picks(t, "g", 4)); diff != "" {
		t.Errorf("raised from 3 to 5: %s", diff)
	}
	if _, err := old.Pick(context.Background(), target(t, old.Snapshot(), "g"), l.query(1)); err == nil {
		t.Error("a view of before admits more than the limit in force")
	}
	l.clock.Add(ratelimit.Window)
	l.Swap(snapshot(t, config(1)))
	if _, err := old.Pick(context.Background(), target(t, old.Snapshot(), "g"), l.query(1)); err != nil {
		t.Errorf("a view of before goes on: %v", err)
	}
	if diff := cmp.Diff(map[string]int{"": 3}, l.picks(t, "g", 3)); diff != "" {
		t.Errorf("lowered to 1, used by a view of before: %s", diff)
	}
}

func TestViewOfBeforeGoesOnWithWhatIsNoLongerThere(t *testing.T) {
	l := limit(snapshot(t, pair(", rpm: 1", ", rpm: 1")))
	old := l.View()
	for range 3 {
		l.Swap(snapshot(t, strings.ReplaceAll(trio, "id: a}", "id: z}")))
	}
	counts := map[string]int{}
	for range 3 {
		p, err := old.Pick(context.Background(), target(t, old.Snapshot(), "g"), l.query(1))
		if err == nil {
			counts[p.Deployment.ID]++
		}
	}
	// b is still there, and has no limit any more.
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 2}, counts); diff != "" {
		t.Error(diff)
	}
}

func TestFullDeploymentsAreKnownAfterAReload(t *testing.T) {
	g := &gatekeeper{full: map[string]bool{"deployment:a": true}}
	s := snapshot(t, pair(", rpm: 1", ""))
	r := routing.NewRouter(routing.NewTracker(newClock().Now), g, s)
	for i := range uint64(3) {
		if _, err := r.View().Pick(context.Background(), target(t, r.View().Snapshot(), "g"), hold(i, 1)); err != nil {
			t.Fatal(err)
		}
		r.Swap(snapshot(t, pair(", rpm: 1", "")))
	}
	if g.asked != 4 {
		t.Errorf("the store was asked %d times, want a denial and three reservations", g.asked)
	}
}

// TestLimitsHoldUnderConcurrency: picks, settlements and reloads at once, with the memory store.
func TestLimitsHoldUnderConcurrency(t *testing.T) {
	l := limit(snapshot(t, shared+"  b: {max_parallel_requests: 2}\n"))
	var admitted, attempts atomic.Int64
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range 200 {
				v := l.View()
				to, _ := v.Snapshot().Resolve([]string{"a", "b"}[(g+i)%2])
				q := hold(uint64(attempts.Add(1)), 1)
				p, err := v.Pick(context.Background(), to, q)
				if err != nil {
					continue
				}
				if i%2 == 0 {
					l.Refund(p.Deployment.ID, q.Hold.ID)
					continue
				}
				if p.Deployment.Written != "openai/spare" {
					admitted.Add(1)
				}
				l.Settle(p.Deployment.ID, q.Hold.ID, ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: 1})
			}
		})
	}
	wait.Go(func() {
		for range 20 {
			l.Swap(snapshot(t, shared+"  b: {max_parallel_requests: 2}\n"))
			l.View().LiveAll()
		}
	})
	wait.Wait()
	if admitted.Load() != 8 {
		t.Errorf("%d passed a group with rpm 8", admitted.Load())
	}
	for name, used := range l.ledger() {
		if used[ratelimit.Parallel] != 0 {
			t.Errorf("%s: %d in flight when all is over", name, used[ratelimit.Parallel])
		}
	}
}

// leaver is a store at which the client leaves while it is asked.
type leaver struct {
	gatekeeper
	leave context.CancelFunc
}

func (l *leaver) Reserve(ctx context.Context, r *ratelimit.Reservation) (ratelimit.Standing, *ratelimit.Denial) {
	defer l.leave()
	return l.gatekeeper.Reserve(ctx, r)
}

func TestReservationOfAClientThatLeftIsGivenBack(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	store := &leaver{leave: cancel}
	s := snapshot(t, trio)
	r := routing.NewRouter(routing.NewTracker(newClock().Now), store, s)
	if _, err := r.View().Pick(ctx, target(t, s, "g"), hold(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if store.asked != 1 || len(store.held) > 0 {
		t.Errorf("asked %d times, %d held", store.asked, len(store.held))
	}
}

// TestOnePickDoesNotAskForEver: where hundreds of limits deny it gives up, and the next ones know what it has learned.
func TestOnePickDoesNotAskForEver(t *testing.T) {
	s := compile(t, flatGroup(250))
	denied := map[string]bool{}
	for _, d := range s.Deployments() {
		denied["deployment:"+d.ID] = true
	}
	for name, g := range map[string]*gatekeeper{"full": {full: denied}, "too small": {small: denied, wait: time.Second}} {
		clock := newClock()
		g.onAsk = func() { clock.Add(time.Millisecond) }
		r := routing.NewRouter(routing.NewTracker(clock.Now), g, s)
		asked := []int{}
		for i := range uint64(4) {
			if p, err := r.View().Pick(context.Background(), target(t, s, "g"), hold(i, 1)); err == nil {
				t.Errorf("picked %s", p.Deployment.Written)
			}
			asked = append(asked, g.asked)
		}
		if diff := cmp.Diff([]int{100, 200, 250, 250}, asked); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWhatWasTooLittleIsAskedAgainWhenItHasGrown(t *testing.T) {
	l := limit(snapshot(t, pair(", tpm: 100", ", rpm: 0")))
	first := l.pick(t, "g", 70)
	if none := l.refused(t, "g", 50); none.RetryAfter != ratelimit.Window {
		t.Errorf("try again in %v", none.RetryAfter)
	}
	if none := l.refused(t, "a", 60); none.RetryAfter != ratelimit.Window || none.Limit == nil || none.Limit.Room.Remaining != 30 {
		t.Errorf("what is known of 50 tokens holds for 60: %v, %+v", none, none.Limit)
	}
	l.Settle("a", first.id, ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: 40})
	l.pick(t, "g", 50)
	l.refused(t, "g", 50)
	l.clock.Add(ratelimit.Window)
	l.pick(t, "g", 50)
}

// TestZeroAtOnceAdmitsNothing: LiteLLM takes 0 for no limit at all; a limit that was written is kept here.
func TestZeroAtOnceAdmitsNothing(t *testing.T) {
	l := limit(snapshot(t, `
model_list:
  - {model_name: g, litellm_params: {model: openai/a, max_parallel_requests: 0}}
  - {model_name: h, litellm_params: {model: openai/b}}
  - {model_name: i, litellm_params: {model: h, max_parallel_requests: 0}}
model_groups: {h: {max_parallel_requests: 0}}
`))
	for _, name := range []string{"g", "openai/a", "h", "i"} {
		want := &routing.NoneError{Model: name, RetryAfter: 5 * time.Second, Limit: &routing.Obstacle{Dimension: ratelimit.Parallel, Never: true}}
		if diff := cmp.Diff(want, l.refused(t, name, 1)); diff != "" {
			t.Error(diff)
		}
	}
}

// TestTheOneWithRoomIsFoundAmongHundreds: what is full in Parallel is tried again every second, all at once.
func TestTheOneWithRoomIsFoundAmongHundreds(t *testing.T) {
	cfg, one := flatGroup(500), int64(1)
	for i := range cfg.Entries[1:] {
		cfg.Entries[1+i].Params.MaxParallel = &one
	}
	*cfg.Entries[0].Params.RPM = 1000
	l := limit(compile(t, cfg))
	for _, d := range l.View().Snapshot().Deployments()[1:] {
		l.pick(t, d.Written, 1)
	}
	for range 5 {
		l.clock.Add(time.Second)
		for range 20 {
			if h := l.pick(t, "g", 1); h.Deployment.Written != "openai/m0" {
				t.Fatalf("got %s, which is full", h.Deployment.Written)
			}
		}
	}
}

func TestRefusalByAReferenceOrAGroupLastsAsLongAsItIsFull(t *testing.T) {
	for name, text := range map[string]string{
		"reference": `
model_list:
  - {model_name: a, litellm_params: {model: sub, rpm: 2}}
  - {model_name: sub, litellm_params: {model: openai/x}}
`,
		"group": `
model_list:
  - {model_name: a, litellm_params: {model: openai/x}}
model_groups: {a: {rpm: 2}}
`,
	} {
		t.Run(name, func(t *testing.T) {
			l := limit(snapshot(t, text))
			l.picks(t, "a", 2)
			// In the end it is less than the time that is named where nothing is known.
			for _, wait := range []time.Duration{ratelimit.Window, time.Second} {
				l.clock.Add(ratelimit.Window - wait)
				if none := l.refused(t, "a", 1); none.RetryAfter != wait || none.Limit == nil {
					t.Errorf("try again in %v (%+v), want %v", none.RetryAfter, none.Limit, wait)
				}
				l.clock.Add(wait - ratelimit.Window)
			}
		})
	}
}

// Who is refused learns of the limit that stood in the way, though it may be open again by then.
func TestEveryRefusalNamesItsLimit(t *testing.T) {
	s := compile(t, flatGroup(1))
	g := &fleeting{full: time.Microsecond}
	r := routing.NewRouter(routing.NewTracker(time.Now), g, s)
	to := target(t, s, "g")
	var wait sync.WaitGroup
	var nameless atomic.Int64
	for range 8 {
		wait.Go(func() {
			for i := range uint64(20_000) {
				_, err := r.View().Pick(context.Background(), to, hold(i, 1))
				if none, ok := errors.AsType[*routing.NoneError](err); !ok || none.Limit == nil {
					nameless.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if n := nameless.Load(); n > 0 {
		t.Errorf("%d refusals don't say by what limit", n)
	}
}

// fleeting is a store that is full whenever it is asked, and not for long.
type fleeting struct {
	gatekeeper
	full time.Duration
}

func (f *fleeting) Reserve(_ context.Context, r *ratelimit.Reservation) (ratelimit.Standing, *ratelimit.Denial) {
	return ratelimit.Standing{}, &ratelimit.Denial{Entity: r.Entities[0], Dimension: ratelimit.Requests, RetryAfter: f.full, Full: true}
}
