package routing_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

func TestWhatAProviderAnnouncesClosesOnlyUntilThen(t *testing.T) {
	l := limit(snapshot(t, pair("", "")))
	l.Exhausted("a", ratelimit.Tokens, 30*time.Second)
	l.Exhausted("a", ratelimit.Requests, 10*time.Second)
	l.Exhausted("a", ratelimit.Tokens, time.Second) // an earlier time opens nothing
	l.Exhausted("unknown", ratelimit.Tokens, time.Second)
	if _, cooling := l.CoolingUntil("a"); cooling {
		t.Error("it counts as a cooldown")
	}
	for _, step := range []struct {
		wait time.Duration
		want string
	}{{10 * time.Second, "b"}, {20*time.Second - 1, "b"}, {1, "a"}} {
		l.clock.Add(step.wait)
		if h := l.pick(t, "g", 1); h.Deployment.ID != step.want {
			t.Errorf("after %v more: %s, want %s", step.wait, h.Deployment.ID, step.want)
		}
	}
}

func TestWhatAProviderAnnouncesNeverBends(t *testing.T) {
	l := limit(snapshot(t, pair("", ", rpm: 0")))
	l.Exhausted("a", ratelimit.Tokens, 30*time.Second)
	d, _ := l.View().Snapshot().Deployment("a")
	l.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429})
	for _, name := range []string{"g", "a"} {
		want := &routing.NoneError{Model: name, RetryAfter: 30 * time.Second, Limit: &routing.Obstacle{
			Dimension: ratelimit.Tokens, Room: ratelimit.Room{Limit: ratelimit.None, Reset: 30 * time.Second}}}
		if diff := cmp.Diff(want, l.refused(t, name, 1)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWhatAProviderAnnouncesOutlivesTheSnapshot(t *testing.T) {
	l := limit(snapshot(t, pair("", "")))
	l.Exhausted("a", ratelimit.Requests, 30*time.Second)
	l.Swap(snapshot(t, pair(", timeout: 9", "")))
	if h := l.pick(t, "g", 1); h.Deployment.ID != "b" {
		t.Error("forgotten after a reload")
	}
	l.Swap(snapshot(t, "model_list:\n  - {model_name: g, litellm_params: {model: openai/b}, model_info: {id: b}}\n"))
	l.Swap(snapshot(t, pair("", "")))
	if h := l.pick(t, "g", 1); h.Deployment.ID != "a" {
		t.Error("kept although the deployment was gone")
	}
}

// TestReplicasTellEachOther: two routers, each of which gets the notices of the other.
func TestReplicasTellEachOther(t *testing.T) {
	config := pair("", "")
	one, two := limit(snapshot(t, config)), limit(snapshot(t, config))
	var told []routing.Notice
	one.Notify(func(n routing.Notice) {
		told = append(told, n)
		two.Noticed(n)
	})
	two.Notify(func(n routing.Notice) { t.Errorf("told on what it was told: %+v", n) })
	d, _ := one.View().Snapshot().Deployment("a")
	one.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429})
	if until, cooling := two.CoolingUntil("a"); !cooling || !until.Equal(two.clock.Now().Add(90*time.Second)) {
		t.Errorf("cooling until %v, %v", until, cooling)
	}
	if h := two.pick(t, "g", 1); h.Deployment.ID != "b" {
		t.Error("the other replica has not heard of the cooldown")
	}
	one.Exhausted("b", ratelimit.Requests, 20*time.Second)
	if h := two.pick(t, "g", 1); h.Deployment.ID != "a" {
		t.Error("the other replica has not heard that b is exhausted, so that a bends")
	}
	want := []routing.Notice{{Deployment: "a", Cooldown: true, Wait: 90 * time.Second}, {Deployment: "b", Dimension: ratelimit.Requests, Wait: 20 * time.Second}}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	for _, n := range []routing.Notice{{Deployment: "z", Cooldown: true, Wait: time.Hour}, {Deployment: "a", Dimension: 9, Wait: time.Hour}, {Deployment: "a", Wait: -1}} {
		two.Noticed(n)
	}
	two.clock.Add(90 * time.Second)
	if h := two.pick(t, "g", 1); h.Deployment.ID != "a" {
		t.Error("a notice that means nothing had an effect")
	}
}
