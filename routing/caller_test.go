package routing_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// askAs picks for somebody with limits of their own.
func (l *limited) askAs(t testing.TB, name string, who ...ratelimit.Entity) (held, *routing.NoneError) {
	t.Helper()
	q := l.query(1)
	q.Also = who
	p, err := l.View().Pick(context.Background(), target(t, l.View().Snapshot(), name), q)
	none, _ := errors.AsType[*routing.NoneError](err)
	if none == nil && err != nil {
		t.Fatal(err)
	}
	return held{p, q.Hold.ID}, none
}

// A limit of who asks keeps them out, whatever else could be picked, and closes nothing to others.
func TestLimitsOfWhoAsksHoldTogetherWithTheOthers(t *testing.T) {
	l := limit(snapshot(t, shared))
	most := func(requests int64) ratelimit.Amounts {
		return ratelimit.Amounts{requests, ratelimit.None, ratelimit.None}
	}
	key, team := l.store.Put(ratelimit.Limit{Name: "key:k", Most: most(2)}), l.store.Put(ratelimit.Limit{Name: "team:t", Most: most(9)})
	first, none := l.askAs(t, "a", key, team)
	if none != nil {
		t.Fatal(none)
	}
	if room := first.Standing[ratelimit.Requests]; room.Limit != 2 || room.Remaining != 1 {
		t.Errorf("the client is told %+v, not of the key's limit", room)
	}
	if _, none = l.askAs(t, "a", key, team); none != nil {
		t.Fatal(none)
	}
	before := l.ledger()
	_, none = l.askAs(t, "a", team, key)
	if none == nil || !none.Caller || none.Entity != key {
		t.Fatalf("the third is told %+v, want that the key is full", none)
	}
	want := &routing.Obstacle{Room: ratelimit.Room{Limit: 2, Reset: ratelimit.Window}}
	if diff := cmp.Diff(want, none.Limit); diff != "" || none.RetryAfter != ratelimit.Window {
		t.Errorf("%v, and to come back in %v", diff, none.RetryAfter)
	}
	if diff := cmp.Diff(before, l.ledger()); diff != "" {
		t.Errorf("a refusal changed the ledger: %s", diff)
	}
	if used := l.store.Usage(team).Used; used != (ratelimit.Amounts{2, 2, 2}) {
		t.Errorf("the team has used %v", used)
	}
	if counts := l.picks(t, "a", 5); counts[""] != 0 {
		t.Errorf("others are refused: %v", counts)
	}
	if !l.Refund(first.Deployment.ID, first.id) {
		t.Fatal("nothing was held")
	}
	if _, none = l.askAs(t, "a", key, team); none != nil {
		t.Errorf("a refund did not give the key its request back: %v", none)
	}
}

// Another attempt counts on everything on its way, but not again on who asks.
func TestAnotherAttemptCountsNoRequestOfWhoAsks(t *testing.T) {
	l := limit(snapshot(t, shared))
	key := l.store.Put(ratelimit.Limit{Name: "key:k", Most: ratelimit.Amounts{1, 5, ratelimit.None}})
	first, none := l.askAs(t, "a", key)
	if none != nil {
		t.Fatal(none)
	}
	l.Settle(first.Deployment.ID, first.id, ratelimit.Amounts{1, 0})
	q := l.query(1)
	q.Counted = []ratelimit.Entity{key}
	p, err := l.View().Pick(t.Context(), target(t, l.View().Snapshot(), "a"), q)
	if err != nil {
		t.Fatal(err)
	}
	l.Settle(p.Deployment.ID, q.Hold.ID, ratelimit.Amounts{1, 4})
	if used := l.ledger()["group sub"]; used != (ratelimit.Amounts{2, 4, 0}) {
		t.Errorf("the group has used %v, want both attempts", used)
	}
	if used := l.store.Usage(key).Used; used != (ratelimit.Amounts{1, 4, 0}) {
		t.Errorf("the key has used %v, want one request and the tokens of both attempts", used)
	}
	q = l.query(2)
	q.Counted = []ratelimit.Entity{key}
	_, err = l.View().Pick(t.Context(), target(t, l.View().Snapshot(), "a"), q)
	if none, ok := errors.AsType[*routing.NoneError](err); !ok || !none.Caller || none.Entity != key || none.Limit.Dimension != ratelimit.Tokens {
		t.Errorf("beyond the key's tokens: %v, want that the key is full", err)
	}
}

// What the way to a deployment lacks is no fault of who asks: the pick goes on, and takes nothing of theirs.
func TestADenialOnTheWayLeavesNothingOfWhoAsks(t *testing.T) {
	l := limit(snapshot(t, worked))
	key := l.store.Put(ratelimit.Limit{Name: "key:k", Most: ratelimit.Amounts{100, ratelimit.None, ratelimit.None}})
	for range 40 {
		if _, none := l.askAs(t, "fast", key); none != nil {
			t.Fatal(none)
		}
	}
	if _, none := l.askAs(t, "fast", key); none == nil || none.Caller {
		t.Fatalf("got %+v, want the deployments' limits", none)
	}
	if used := l.store.Usage(key).Used; used != (ratelimit.Amounts{40, 40, 40}) {
		t.Errorf("the key has used %v, want 40", used)
	}
}
