package routing_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

var update = flag.Bool("update", false, "rewrite the scenario files with what comes out")

// fakeProviders is a provider table of three rows; azure has no address of its own.
type fakeProviders struct{}

func (fakeProviders) IsPrefix(word string) bool {
	return slices.Contains([]string{"openai", "groq", "cerebras", "azure"}, word)
}

func (p fakeProviders) Split(written, custom string) (provider, model string, err error) {
	if custom != "" {
		return custom, strings.TrimPrefix(written, custom+"/"), nil
	}
	if prefix, rest, ok := strings.Cut(written, "/"); ok && p.IsPrefix(prefix) {
		return prefix, rest, nil
	}
	if strings.HasPrefix(written, "gpt-") {
		return "openai", written, nil
	}
	return "", "", fmt.Errorf("no provider for %q", written)
}

func (fakeProviders) Base(provider, apiBase string) (*url.URL, error) {
	switch {
	case apiBase != "":
		return url.Parse(apiBase)
	case provider == "azure":
		return nil, errors.New("azure needs api_base")
	}
	return url.Parse("https://api." + provider + ".example/v1")
}

// groqLacks is the one endpoint that there is and groq lacks.
const groqLacks = 1

func (fakeProviders) Lacks(provider string) uint8 {
	if provider == "groq" {
		return 1 << groqLacks
	}
	return 0
}

// decode reads a config that has no references to the environment.
func decode(t testing.TB, yaml string) *config.Config {
	t.Helper()
	cfg, err := config.Decode("config.yaml", []byte(yaml), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func compile(t testing.TB, cfg *config.Config) *routing.Snapshot {
	t.Helper()
	s, _, err := routing.Compile(cfg, fakeProviders{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func snapshot(t testing.TB, yaml string) *routing.Snapshot {
	t.Helper()
	return compile(t, decode(t, yaml))
}

// target resolves a name that is known.
func target(t testing.TB, s *routing.Snapshot, name string) routing.Target {
	t.Helper()
	found, ok := s.Resolve(name)
	if !ok {
		t.Fatalf("%q means nothing", name)
	}
	return found
}

// probabilities are by litellm_params.model, without those that get nothing.
func probabilities(t testing.TB, s *routing.Snapshot, model string, without ...string) map[string]float64 {
	t.Helper()
	e, err := s.Explain(model, without)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, d := range e.Deployments {
		if d.Probability > 0 {
			got[d.Model] += d.Probability
		}
	}
	return got
}

// clock is a time that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// server is a router on a clock.
type server struct {
	*routing.Router
	clock *clock
}

func serve(s *routing.Snapshot) server {
	c := newClock()
	return server{routing.NewRouter(routing.NewTracker(c.Now), nil, s), c}
}

// cool takes a deployment out for the time that its config says.
func (s server) cool(d *routing.Deployment) {
	s.Failed(d, routing.Failure{Class: routing.RateLimit, Status: 429})
}

// unfit measures how far counts are from what probabilities make one expect: chi-square, divided by what
// it exceeds once in a million honest samples. Above 1 the counts don't come from the probabilities.
func unfit(counts map[string]int, expected map[string]float64) float64 {
	total := 0
	for id, n := range counts {
		if total += n; expected[id] == 0 {
			return math.Inf(1)
		}
	}
	chi, freedom := 0.0, -1
	rest, restCount := 0.0, 0
	for id, p := range expected {
		// What is expected less than 10 times is counted together.
		if e := p * float64(total); e >= 10 {
			gap := float64(counts[id]) - e
			chi, freedom = chi+gap*gap/e, freedom+1
			continue
		}
		rest, restCount = rest+p*float64(total), restCount+counts[id]
	}
	if rest > 0 {
		gap := float64(restCount) - rest
		chi, freedom = chi+gap*gap/max(rest, 1), freedom+1
	}
	return chi / chiLimit(freedom)
}

// chiLimit is the chi-square that is exceeded once in a million times (Wilson and Hilferty's approximation).
func chiLimit(freedom int) float64 {
	if freedom < 1 {
		return 1e-6
	}
	k, z := float64(freedom), 4.7534
	root := 1 - 2/(9*k) + z*math.Sqrt(2/(9*k))
	// Counts that were put together are few; the approximation is a little low for them.
	return 1.2 * k * root * root * root
}

// sample draws n times and counts by id.
func sample(t testing.TB, v *routing.View, to routing.Target, n int, q routing.Query) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for i := range n {
		q.Seed = uint64(i)
		p, err := v.Pick(context.Background(), to, q)
		if err != nil {
			t.Fatal(err)
		}
		counts[p.Deployment.ID]++
	}
	return counts
}

// byID are the exact probabilities.
func byID(t testing.TB, s *routing.Snapshot, model string, without ...string) map[string]float64 {
	t.Helper()
	e, err := s.Explain(model, without)
	if err != nil {
		t.Fatal(err)
	}
	p := map[string]float64{}
	for _, d := range e.Deployments {
		p[d.ID] = d.Probability
	}
	return p
}
