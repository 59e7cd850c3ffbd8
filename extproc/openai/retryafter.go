package openai

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter bounds what an upstream may ask for.
const MaxRetryAfter = time.Hour

// RetryAfter reads an upstream's retry-after-ms (OpenAI) and retry-after (RFC 9110: seconds, or an HTTP date)
// headers. The first that can be read counts; the result is from 0 to MaxRetryAfter, 0 when there is none.
func RetryAfter(milliseconds, seconds string, now time.Time) time.Duration {
	if d, ok := number(milliseconds, time.Millisecond); ok {
		return d
	}
	if d, ok := number(seconds, time.Second); ok {
		return d
	}
	date, err := http.ParseTime(strings.TrimSpace(seconds))
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), MaxRetryAfter)
}

// number reads a count of units, which providers write with decimals too.
func number(text string, unit time.Duration) (time.Duration, bool) {
	x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(x) {
		return 0, false
	}
	x = min(max(x, 0), float64(MaxRetryAfter/unit))
	return time.Duration(x * float64(unit)), true
}
