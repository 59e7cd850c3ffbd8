// Package announced reads what providers say about their own limits in the headers of an answer, and
// writes Nestor's own in the same form, that of OpenAI.
package announced

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Longest bounds how long a provider can close itself.
const Longest = time.Hour

// Waits is for how long a provider admits nothing more, by dimension; 0 where it says nothing.
type Waits [ratelimit.Dimensions]time.Duration

// Longest is the longest of the waits; 0 when there is none.
func (w Waits) Longest() (longest time.Duration) {
	for _, wait := range w {
		longest = max(longest, wait)
	}
	return longest
}

// counter is the headers of one of a provider's limits.
type counter struct {
	dimension        ratelimit.Dimension
	remaining, reset string
}

// counters gives the names that providers use. OpenAI, Azure, Groq, Cerebras, Fireworks and Together have
// -requests and -tokens, some of them with a period or a kind of tokens; OpenRouter counts requests and names
// nothing; Anthropic has its own prefix and the words the other way round.
func counters() [11]counter {
	return [...]counter{
		{ratelimit.Requests, "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
		{ratelimit.Requests, "x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day"},
		{ratelimit.Requests, "x-ratelimit-remaining", "x-ratelimit-reset"},
		{ratelimit.Tokens, "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
		{ratelimit.Tokens, "x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"},
		{ratelimit.Tokens, "x-ratelimit-remaining-tokens-prompt", "x-ratelimit-reset-tokens-prompt"},
		{ratelimit.Tokens, "x-ratelimit-remaining-tokens-generated", "x-ratelimit-reset-tokens-generated"},
		{ratelimit.Requests, "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
		{ratelimit.Tokens, "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
		{ratelimit.Tokens, "anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
		{ratelimit.Tokens, "anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
	}
}

// Read finds the dimensions in which a provider that answered 429 has nothing left. tokens is what was asked for,
// and retryAfter what Retry-After says, 0 when it is not there: it goes before the resets, which say when
// the whole limit is back. Where no dimension can be told it closes Requests, of which everything needs one.
// All zero: the answer says nothing about limits.
func Read(header func(name string) string, tokens int64, retryAfter time.Duration, now time.Time) (w Waits) {
	for _, c := range counters() {
		left, err := strconv.ParseFloat(strings.TrimSpace(header(c.remaining)), 64)
		if err != nil || !spent(c.dimension, left, tokens) {
			continue
		}
		wait := retryAfter
		if wait <= 0 {
			wait = Until(header(c.reset), now)
		}
		w[c.dimension] = max(w[c.dimension], min(wait, Longest))
	}
	if w == (Waits{}) {
		w[ratelimit.Requests] = min(max(retryAfter, 0), Longest)
	}
	return w
}

// spent reports whether so little is left that it is what the request was refused for. Azure writes -1
// where it does not know.
func spent(d ratelimit.Dimension, left float64, tokens int64) bool {
	needed := 1.0
	if d == ratelimit.Tokens {
		needed = float64(max(tokens, 1))
	}
	return left >= 0 && left < needed
}

// Until reads when a limit is back: a duration in Go's form ("6m0s", "20ms"; OpenAI, Groq), seconds ("1.5"; Cerebras,
// Azure), a time of RFC 3339 (Anthropic), or Unix seconds or milliseconds (OpenRouter). The result is
// from 0 to Longest; 0 for what can't be read.
func Until(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if d, err := time.ParseDuration(text); err == nil {
		return clamp(d)
	}
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		return number(x, now)
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return clamp(t.Sub(now))
	}
	return 0
}

// number tells seconds from points in time: no limit takes thirty years to come back.
func number(x float64, now time.Time) time.Duration {
	const aTime, inMilliseconds = 1e9, 1e11
	switch {
	case math.IsNaN(x) || x <= 0 || x > 1e15:
		return 0
	case x >= inMilliseconds:
		return clamp(time.UnixMilli(int64(x)).Sub(now))
	case x >= aTime:
		return clamp(time.UnixMilli(int64(x * 1000)).Sub(now))
	}
	return clamp(time.Duration(min(x, Longest.Seconds()) * float64(time.Second)))
}

func clamp(d time.Duration) time.Duration { return min(max(d, 0), Longest) }

// Format writes a time as OpenAI does: "6m0s", "1s" or "20ms"; rounded up to what is shown.
func Format(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(roundUp(max(d, 0), time.Millisecond).Milliseconds(), 10) + "ms"
	}
	return roundUp(d, time.Second).String()
}

func roundUp(d, unit time.Duration) time.Duration { return (d + unit - 1) / unit * unit }
