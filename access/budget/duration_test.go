package budget_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/access/budget"
)

// The times are what LiteLLM 1.106.2 says.
func TestPeriodsEndAsInLiteLLM(t *testing.T) {
	for at, resets := range map[string]map[string]string{
		"2026-03-04T10:20:37Z": {
			"30s":     "2026-03-04T10:21:00Z",
			"45s":     "2026-03-04T10:20:45Z",
			"90s":     "2026-03-04T10:21:30Z",
			"30m":     "2026-03-04T10:30:00Z",
			"90m":     "2026-03-04T11:30:00Z",
			"1h":      "2026-03-04T11:00:00Z",
			"5h":      "2026-03-04T15:00:00Z",
			"24h":     "2026-03-05T00:00:00Z",
			"30h":     "2026-03-05T06:00:00Z",
			"1d":      "2026-03-05T00:00:00Z",
			"2d":      "2026-03-06T00:00:00Z",
			"7d":      "2026-03-09T00:00:00Z",
			"30d":     "2026-04-01T00:00:00Z",
			"1w":      "2026-03-09T00:00:00Z",
			"2w":      "2026-03-18T00:00:00Z",
			"1mo":     "2026-04-01T00:00:00Z",
			"daily":   "2026-03-05T00:00:00Z",
			"monthly": "2026-04-01T00:00:00Z",
			"hourly":  "2026-03-04T11:00:00Z",
			"weekly":  "2026-03-09T00:00:00Z",
		},
		"2026-12-31T23:59:59Z": {
			"30s":     "2027-01-01T00:00:00Z",
			"45s":     "2027-01-01T00:00:30Z",
			"90s":     "2027-01-01T00:00:30Z",
			"30m":     "2027-01-01T00:00:00Z",
			"90m":     "2027-01-01T00:30:00Z",
			"1h":      "2027-01-01T00:00:00Z",
			"5h":      "2027-01-01T01:00:00Z",
			"24h":     "2027-01-01T00:00:00Z",
			"30h":     "2027-01-01T06:00:00Z",
			"1d":      "2027-01-01T00:00:00Z",
			"2d":      "2027-01-02T00:00:00Z",
			"7d":      "2027-01-04T00:00:00Z",
			"30d":     "2027-01-01T00:00:00Z",
			"1w":      "2027-01-04T00:00:00Z",
			"2w":      "2027-01-14T00:00:00Z",
			"1mo":     "2027-01-01T00:00:00Z",
			"daily":   "2027-01-01T00:00:00Z",
			"monthly": "2027-01-01T00:00:00Z",
			"hourly":  "2027-01-01T00:00:00Z",
			"weekly":  "2027-01-04T00:00:00Z",
		},
		"2024-02-26T00:00:00Z": {
			"30s":     "2024-02-26T00:00:30Z",
			"45s":     "2024-02-26T00:00:45Z",
			"90s":     "2024-02-26T00:01:30Z",
			"30m":     "2024-02-26T00:30:00Z",
			"90m":     "2024-02-26T01:30:00Z",
			"1h":      "2024-02-26T01:00:00Z",
			"5h":      "2024-02-26T05:00:00Z",
			"24h":     "2024-02-27T00:00:00Z",
			"30h":     "2024-02-27T06:00:00Z",
			"1d":      "2024-02-27T00:00:00Z",
			"2d":      "2024-02-28T00:00:00Z",
			"7d":      "2024-03-04T00:00:00Z",
			"30d":     "2024-03-01T00:00:00Z",
			"1w":      "2024-03-04T00:00:00Z",
			"2w":      "2024-03-11T00:00:00Z",
			"1mo":     "2024-03-01T00:00:00Z",
			"daily":   "2024-02-27T00:00:00Z",
			"monthly": "2024-03-01T00:00:00Z",
			"hourly":  "2024-02-26T01:00:00Z",
			"weekly":  "2024-03-04T00:00:00Z",
		},
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for duration := range resets {
			next, err := budget.NextReset(duration, now)
			if err != nil {
				t.Fatal(err)
			}
			got[duration] = next.Format(time.RFC3339)
		}
		if diff := cmp.Diff(resets, got); diff != "" {
			t.Errorf("from %s: -want +got\n%s", at, diff)
		}
	}
}

func TestPeriodsEndAfterAllOfTheirLength(t *testing.T) {
	now := time.Date(2026, 3, 4, 10, 20, 37, 0, time.UTC)
	for duration, want := range map[string]string{
		"100h": "2026-03-08T04:00:00Z", "3mo": "2026-06-01T00:00:00Z", "2000m": "2026-03-05T19:20:00Z",
	} {
		if got, err := budget.NextReset(duration, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v; want %s", duration, got, err, want)
		}
	}
}

func TestDurationsEndAtTheirLength(t *testing.T) {
	from := time.Date(2026, 1, 31, 10, 20, 37, 5, time.UTC)
	for text, want := range map[string]time.Time{
		"30s": from.Add(30 * time.Second), "90m": from.Add(90 * time.Minute), "30h": from.Add(30 * time.Hour), "30d": from.AddDate(0, 0, 30),
		"2w": from.AddDate(0, 0, 14), "1mo": time.Date(2026, 2, 28, 10, 20, 37, 5, time.UTC), "13mo": time.Date(2027, 2, 28, 10, 20, 37, 5, time.UTC),
	} {
		d, err := budget.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.After(from); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestOtherTextIsNoDuration(t *testing.T) {
	for _, text := range []string{
		"", "s", "30", "0s", "-1d", "1.5h", "30 d", "30D", "d30", "30dd", "1y", "30mos", "om", "1o", "1wd", "99999999999s", "1201mo", "40000d", "+1d", "1_0d",
	} {
		if d, err := budget.ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
}

func TestAPeriodEndsAfterNow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "now"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanos"))
		text := rapid.StringMatching(`[1-9][0-9]{0,2}(s|m|h|d|w|mo)`).Draw(t, "duration")
		end, err := budget.NextReset(text, now)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := budget.ParseDuration(text)
		if !end.After(now) || end.After(d.After(now).AddDate(0, 0, 7)) {
			t.Fatalf("%s from %s ends %s", text, now, end)
		}
	})
}
