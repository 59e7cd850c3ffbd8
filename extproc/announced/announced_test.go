package announced

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
)

func now() time.Time { return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }

func TestUntilReadsWhatProvidersWrite(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"6m0s": 6 * time.Minute, "1s": time.Second, "20ms": 20 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "7.66s": 7660 * time.Millisecond,
		"2m59.56s": 2*time.Minute + 59560*time.Millisecond, "1h0m0s": time.Hour, "24h0m0s": Longest, // OpenAI, Groq
		"60": time.Minute, "1.5": 1500 * time.Millisecond, "33011.382867": Longest, " 3 ": 3 * time.Second, // Azure, Cerebras
		"2026-11-21T10:00:30Z": 30 * time.Second, "2026-11-21T11:00:30.5+01:00": 30500 * time.Millisecond, // Anthropic
		"1795255230": 30 * time.Second, "1795255230500": 30500 * time.Millisecond, // OpenRouter and others, Unix time
		"": 0, "0": 0, "-1": 0, "-5s": 0, "soon": 0, "NaN": 0, "Inf": 0, "1e300": 0, "2020-01-01T00:00:00Z": 0, "1600000000": 0,
		"2026-13-45T99:00:00Z": 0, "9999-01-01T00:00:00Z": Longest, "99999999999h": 0,
	} {
		if got := Until(text, now()); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestReadTellsTheDimension(t *testing.T) {
	const minute = time.Minute
	requests, tokens := Waits{ratelimit.Requests: minute}, Waits{ratelimit.Tokens: minute}
	for name, c := range map[string]struct {
		headers    map[string]string
		retryAfter time.Duration
		want       Waits
	}{
		"nothing":            {nil, 0, Waits{}},
		"retry-after alone":  {nil, minute, requests},
		"OpenAI, requests":   {map[string]string{"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s", "x-ratelimit-remaining-tokens": "900", "x-ratelimit-reset-tokens": "5s"}, 0, requests},
		"OpenAI, tokens":     {map[string]string{"x-ratelimit-remaining-requests": "10", "x-ratelimit-reset-requests": "5s", "x-ratelimit-remaining-tokens": "99", "x-ratelimit-reset-tokens": "1m0s"}, 0, tokens},
		"both":               {map[string]string{"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "5s", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m0s"}, 0, Waits{5 * time.Second, minute, 0}},
		"Cerebras, the day":  {map[string]string{"x-ratelimit-remaining-requests-day": "0", "x-ratelimit-reset-requests-day": "60.0"}, 0, requests},
		"Cerebras, a minute": {map[string]string{"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "60"}, 0, tokens},
		"Fireworks":          {map[string]string{"x-ratelimit-remaining-tokens-generated": "0", "x-ratelimit-reset-tokens-generated": "60"}, 0, tokens},
		"OpenRouter":         {map[string]string{"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795255260000"}, 0, requests},
		"Anthropic":          {map[string]string{"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2026-11-21T10:01:00Z"}, 0, tokens},
		"both say when":      {map[string]string{"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, minute, tokens},
		"the longer of two":  {map[string]string{"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests-day": "0", "x-ratelimit-reset-requests-day": "60"}, 0, requests},
		"enough of all":      {map[string]string{"x-ratelimit-remaining-requests": "10", "x-ratelimit-remaining-tokens": "1000", "x-ratelimit-reset-tokens": "60"}, 0, Waits{}},
		"enough of all, and when": {map[string]string{"x-ratelimit-remaining-requests": "10", "x-ratelimit-reset-requests": "5s"},
			minute, requests},
		"no reset":        {map[string]string{"x-ratelimit-remaining-requests": "0"}, 0, Waits{}},
		"Azure knows not": {map[string]string{"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "60"}, 0, Waits{}},
		"no number":       {map[string]string{"x-ratelimit-remaining-tokens": "none", "x-ratelimit-reset-tokens": "60"}, 0, Waits{}},
		"a negative wait": {nil, -minute, Waits{}},
		"longer than an hour": {map[string]string{"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "24h0m0s"}, 0,
			Waits{ratelimit.Requests: Longest}},
	} {
		header := func(name string) string { return c.headers[name] }
		if got := Read(header, 100, c.retryAfter, now()); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestFormatIsOpenAIs(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", -time.Second: "0ms", time.Nanosecond: "1ms", 20 * time.Millisecond: "20ms", 999*time.Millisecond + 1: "1000ms",
		time.Second: "1s", 1001 * time.Millisecond: "2s", 59 * time.Second: "59s", time.Minute: "1m0s", 6 * time.Minute: "6m0s", time.Hour: "1h0m0s",
	} {
		if got := Format(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{"", "0", "6m0s", "1.5", "2026-11-21T10:00:30Z", "1795255230500", "-1", "1e309", "0x1p-2", "+Inf", "9223372036854775807ns"} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, remaining, reset string) {
		if d := Until(reset, now()); d < 0 || d > Longest {
			t.Errorf("%q is %v", reset, d)
		}
		for _, c := range counters() {
			header := func(name string) string {
				switch name {
				case c.remaining:
					return remaining
				case c.reset:
					return reset
				}
				return ""
			}
			for d, wait := range Read(header, 100, 0, now()) {
				if wait < 0 || wait > Longest || wait > 0 && ratelimit.Dimension(d) != c.dimension {
					t.Errorf("%s %q, %s %q: %v of %v", c.remaining, remaining, c.reset, reset, wait, ratelimit.Dimension(d))
				}
			}
		}
	})
}

func FuzzFormatCanBeRead(f *testing.F) {
	f.Add(int64(time.Second))
	f.Fuzz(func(t *testing.T, n int64) {
		d := time.Duration(n).Abs() % Longest
		got := Until(Format(d), now())
		if got < d || got > d+time.Second {
			t.Errorf("%v is written %q and read %v", d, Format(d), got)
		}
	})
}
