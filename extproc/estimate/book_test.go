package estimate

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestNothingLearnedYet(t *testing.T) {
	most := int64(100)
	for name, c := range map[string]struct {
		request Request
		want    Tokens
	}{
		"no bound":       {Request{Bytes: 401, Completions: 1}, Tokens{101, 1024}},
		"bound":          {Request{Bytes: 400, Completions: 1, Most: &most}, Tokens{100, 100}},
		"bound, 3 times": {Request{Bytes: 400, Completions: 3, Most: &most}, Tokens{100, 300}},
		"embeddings":     {Request{Bytes: 400}, Tokens{100, 0}},
		"two images":     {Request{Bytes: 400, BlobTokens: 2000, Completions: 1, Most: &most}, Tokens{2100, 100}},
	} {
		if got := New().Guess("g", c.request); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// samples teaches n answers whose completions are spread evenly over 1 to 1,000 tokens and whose requests have
// 2 bytes a token.
func samples(b *Book, group, model string, n int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range n {
		b.Learn(group, model, Truth{Prompt: 1000, Bytes: 2000, Completion: 1 + rng.Int64N(1000), Completions: 1, Sent: 0})
	}
}

func TestGuessesAreWhatNineInTenStayUnder(t *testing.T) {
	b := New()
	samples(b, "g", "m", 1000)
	got := b.Guess("g", Request{Bytes: 2000, Completions: 1})
	if got.Input < 1000 || got.Input > 1100 {
		t.Errorf("input %d of 2,000 bytes, want 1,000 and no more than a bucket above", got.Input)
	}
	if got.Output < 850 || got.Output > 1050 {
		t.Errorf("output %d, want the 90th percentile of 1 to 1,000", got.Output)
	}
	most := int64(50)
	if got := b.Guess("g", Request{Completions: 2, Most: &most}); got.Output != 100 {
		t.Errorf("output %d, want twice the request's own bound", got.Output)
	}
}

// Otherwise who asks for one token at a time would have everybody's next answer guessed to be that short.
func TestAnAnswerThatWasCutOffSaysNothingOfOthers(t *testing.T) {
	b := New()
	for range 200 {
		b.Learn("g", "m", Truth{Caller: "a", Completion: 2, Completions: 2, Most: 2})
		b.Learn("g", "m", Truth{Caller: "a", Completion: 3, Completions: 2, Most: 2})
	}
	for name, caller := range map[string]string{"everybody": "", "the one who asked": "a"} {
		if got := b.Guess("g", Request{Caller: caller, Completions: 1}); got.Output < 1024 {
			t.Errorf("%s: %d, want what is assumed before anything is known", name, got.Output)
		}
	}
	for range 200 {
		b.Learn("g", "m", Truth{Completion: 1, Completions: 1, Most: 2})
	}
	if got := b.Guess("g", Request{Completions: 1}); got.Output > 2 {
		t.Errorf("%d, want 1: those were whole", got.Output)
	}
}

// One caller's long answers take nothing from another's limits, and one long answer of a caller's own is enough to know.
func TestEachCallersAnswersAreGuessedByTheirOwn(t *testing.T) {
	b := New()
	for range 20 {
		b.Learn("g", "m", Truth{Caller: "short", Completion: 16, Completions: 1})
	}
	for range 200 {
		b.Learn("g", "m", Truth{Caller: "long", Completion: 20_000, Completions: 1})
	}
	guess := func(caller string) int64 { return b.Guess("g", Request{Caller: caller, Completions: 1}).Output }
	if got := guess("short"); got > 18 {
		t.Errorf("%d for who gets 16 tokens", got)
	}
	if guess("long") < 20_000 || guess("new") < 20_000 {
		t.Errorf("%d and %d for who gets 20,000, and who is new", guess("long"), guess("new"))
	}
	b.Learn("g", "m", Truth{Caller: "new", Completion: 16, Completions: 1})
	if got := guess("new"); got > 1200 {
		t.Errorf("%d after the first answer, want what is assumed at the start", got)
	}
	b.Learn("g", "m", Truth{Caller: "new", Completion: 5000, Completions: 1})
	if got := guess("new"); got < 5000 {
		t.Errorf("%d after an answer of 5,000", got)
	}
}

func TestOldAnswersFade(t *testing.T) {
	b := New()
	samples(b, "g", "m", 2000)
	for range 1000 {
		b.Learn("g", "m", Truth{Prompt: 1000, Bytes: 8000, Completion: 10, Completions: 1})
	}
	got := b.Guess("g", Request{Bytes: 8000, Completions: 1})
	if got.Output > 12 || got.Input > 1100 {
		t.Errorf("%v, want what the last 1,000 used: 1,000 and 10", got)
	}
}

func TestWeightsStayInBounds(t *testing.T) {
	h := startAt(1024, priors)
	for range 100_000 {
		h.add(64)
	}
	if got := h.above(0.9); got < 64 || got > 71 {
		t.Errorf("%f after many samples of 64", got)
	}
	if h.next > heaviest || h.total > 3e8 {
		t.Errorf("weights grew to %g of %g", h.next, h.total)
	}
}

func TestAGroupIsGuessedByItsHighestModel(t *testing.T) {
	b := New()
	for range 100 {
		b.Learn("g", "terse", Truth{Prompt: 500, Bytes: 2000, Completion: 20, Completions: 1})
		b.Learn("g", "long", Truth{Prompt: 1000, Bytes: 2000, Completion: 900, Completions: 3})
		b.Learn("other", "terse", Truth{Prompt: 500, Bytes: 2000, Completion: 20, Completions: 1})
	}
	if got := b.Guess("g", Request{Bytes: 2000, Completions: 1}); got.Output < 300 || got.Output > 340 || got.Input < 1000 {
		t.Errorf("%v, want the long model's 1,000 and 300", got)
	}
	if got := b.Guess("other", Request{Bytes: 2000, Completions: 1}); got.Output > 25 || got.Input > 600 {
		t.Errorf("%v, want the terse model's 500 and 20", got)
	}
}

func TestAGroupForgetsModelsThatItNoLongerHas(t *testing.T) {
	b := New()
	for range 100 {
		b.Learn("g", "long", Truth{Completion: 9000, Completions: 1})
	}
	for range stale + pace {
		b.Learn("g", "terse", Truth{Completion: 20, Completions: 1})
	}
	if got := b.Guess("g", Request{Completions: 1}); got.Output > 25 {
		t.Errorf("%v, want the terse model's 20", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	b := New()
	for n := range mostModels + 10 {
		b.Learn("g", fmt.Sprint("model-", n), Truth{Completion: 10, Completions: 1})
	}
	for n := range mostCallers + 10 {
		b.Learn("g", "m", Truth{Caller: fmt.Sprint(n), Completion: 10, Completions: 1})
	}
	if len(b.models) != mostModels || len(b.groups["g"].models) > mostMixed || len(b.callers) != mostCallers {
		t.Errorf("%d models, %d in a group, %d callers", len(b.models), len(b.groups["g"].models), len(b.callers))
	}
}

func TestStreamedBytes(t *testing.T) {
	b := New()
	if got := b.Streamed("m", 640); got != 10 {
		t.Errorf("%d tokens, want 10 of 64 bytes", got)
	}
	for range 100 {
		b.Learn("g", "m", Truth{Completion: 100, Completions: 1, Sent: 25_600})
	}
	if got := b.Streamed("m", 2560); got < 10 || got > 11 {
		t.Errorf("%d tokens, want 10 of 256 bytes", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	b := New()
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 500 {
				b.Learn(fmt.Sprint(i%3), fmt.Sprint(n%4), Truth{Prompt: 10, Bytes: 2000, Completion: 5, Completions: 1, Sent: 100})
				if got := b.Guess(fmt.Sprint(i%3), Request{Bytes: 100, Completions: 1}); got.Input <= 0 || got.Output <= 0 {
					t.Errorf("guessed %v", got)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkGuess(b *testing.B) {
	book := New()
	samples(book, "g", "m", 10)
	b.ReportAllocs()
	for b.Loop() {
		book.Guess("g", Request{Bytes: 1000, Completions: 1})
	}
}

func BenchmarkLearn(b *testing.B) {
	book := New()
	b.ReportAllocs()
	for b.Loop() {
		book.Learn("g", "m", Truth{Prompt: 1000, Bytes: 2000, Completion: 100, Completions: 1, Sent: 2000})
	}
}
