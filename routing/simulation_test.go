package routing_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// fleet is deployments of one group, by litellm_params.model, under a strategy.
type fleet struct {
	strategy string
	args     string // of routing_strategy_args
	members  []member
}

// member is a deployment that works on some requests at once while others wait for it.
type member struct {
	model string
	// params are further litellm_params.
	params string
	// seconds is the mean time of an answer.
	seconds float64
}

// five are deployments of which the last is five times slower.
func five() []member {
	var all []member
	for i := range 5 {
		all = append(all, member{model: fmt.Sprint("openai/m", i), seconds: 1})
	}
	all[4].seconds = 5
	return all
}

func (f *fleet) yaml() string {
	var b strings.Builder
	b.WriteString("model_list:\n")
	for _, m := range f.members {
		fmt.Fprintf(&b, "  - {model_name: g, litellm_params: {model: %s%s}}\n", m.model, m.params)
	}
	fmt.Fprintf(&b, "router_settings: {routing_strategy: %s, routing_strategy_args: {%s}}\n", f.strategy, f.args)
	return b.String()
}

// run is a simulation: requests come at random and are answered as the members can.
type run struct {
	*limited
	fleet   *fleet
	rng     *rand.Rand
	rate    float64 // of requests, by second
	servers int     // requests that a member works on at once
	stream  bool
	// beside is called before and after each pick.
	beside func(model string)

	free  map[string][]time.Duration // by model, when each of its servers is free
	ends  endings
	times []float64 // seconds of the answers
	count map[string]int
	used  map[string]int64 // tokens
	now   time.Duration
}

// ending is an answer that is complete at a time.
type ending struct {
	at     time.Duration
	pick   held
	whole  time.Duration
	tokens int64
}

// Requests a second. When all get the same, light leaves the slow one of five just able to answer, and heavy
// is more than twice what it can; without it the others can take both.
const (
	light = 6
	heavy = 20
)

type endings []ending

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].at < e[j].at }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func simulate(t testing.TB, f fleet) *run {
	t.Helper()
	r := &run{limited: limit(snapshot(t, f.yaml())), fleet: &f, rng: rand.New(rand.NewPCG(7, 7)),
		rate: light, servers: 8, beside: func(string) {},
		free: map[string][]time.Duration{}, count: map[string]int{}, used: map[string]int64{}}
	for _, m := range f.members {
		r.free[m.model] = make([]time.Duration, r.servers)
	}
	return r
}

// requests makes n, and waits for their answers.
func (r *run) requests(t testing.TB, n int) *run {
	t.Helper()
	for range n {
		r.advance(r.now + time.Duration(r.rng.ExpFloat64()/r.rate*float64(time.Second)))
		r.request(t)
	}
	for len(r.ends) > 0 {
		r.advance(r.ends[0].at)
	}
	return r
}

func (r *run) request(t testing.TB) {
	t.Helper()
	r.beside("")
	// Most answers are short, some are very long.
	size := int64(20 + r.rng.ExpFloat64()*100)
	if r.rng.IntN(20) == 0 {
		size *= 20
	}
	q := r.query(size)
	q.Stream = r.stream
	h := r.pickBy(t, "g", q)
	r.beside(h.Deployment.Written)
	model := h.Deployment.Written
	r.count[model]++
	r.used[model] += size
	service := r.seconds(model) * (0.5 + r.rng.ExpFloat64()/2)
	slot := 0
	for i, at := range r.free[model] {
		if at < r.free[model][slot] {
			slot = i
		}
	}
	end := max(r.now, r.free[model][slot]) + time.Duration(service*float64(time.Second))
	r.free[model][slot] = end
	heap.Push(&r.ends, ending{end, h, end - r.now, size})
}

func (r *run) seconds(model string) float64 {
	i := slices.IndexFunc(r.fleet.members, func(m member) bool { return m.model == model })
	return r.fleet.members[i].seconds
}

// advance lets all answers end that do until a time.
func (r *run) advance(to time.Duration) {
	for len(r.ends) > 0 && r.ends[0].at <= to {
		e := heap.Pop(&r.ends).(ending)
		r.moveTo(e.at)
		r.times = append(r.times, e.whole.Seconds())
		sample := routing.Sample{Deployment: e.pick.Deployment.ID, Whole: e.whole}
		if r.stream {
			sample.FirstToken = e.whole
			sample.Whole += time.Duration(e.tokens) * 20 * time.Millisecond
		}
		r.Settle(e.pick.Deployment.ID, e.pick.id, ratelimit.Amounts{ratelimit.Requests: 1, ratelimit.Tokens: e.tokens})
		r.Observe(sample)
	}
	r.moveTo(to)
}

func (r *run) moveTo(to time.Duration) {
	r.clock.Add(to - r.now)
	r.now = to
}

// share is the part of the requests that a model got.
func (r *run) share(model string) float64 {
	total := 0
	for _, n := range r.count {
		total += n
	}
	return float64(r.count[model]) / float64(total)
}

// p99 is the time that one answer of a hundred exceeds, in seconds.
func (r *run) p99() float64 {
	slices.Sort(r.times)
	return r.times[len(r.times)*99/100]
}

// inFlight is by model.
func (r *run) inFlight() map[string]int64 {
	all := map[string]int64{}
	for _, d := range r.View().LiveAll().Deployments {
		all[d.Model] = d.InFlight
	}
	return all
}
