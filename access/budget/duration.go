package budget

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a count of seconds, minutes, hours, days, weeks or calendar months: see ParseDuration.
type Duration struct {
	count int
	unit  unit
}

type unit string

const (
	second unit = "s"
	minute unit = "m"
	hour   unit = "h"
	day    unit = "d"
	week   unit = "w"
	month  unit = "mo"
)

// length is 0 for what has none: a month, and what is no unit.
func (u unit) length() time.Duration {
	return map[unit]time.Duration{
		second: time.Second, minute: time.Minute, hour: time.Hour, day: 24 * time.Hour, week: 7 * 24 * time.Hour,
	}[u]
}

// longest is a hundred years: every time that comes of it can be written.
const (
	longest       = 36_500 * 24 * time.Hour
	longestMonths = 1_200
)

// words are LiteLLM's for common durations.
func words() map[string]string {
	return map[string]string{"hourly": "1h", "daily": "24h", "weekly": "7d", "monthly": "30d"}
}

// ParseDuration reads a duration as LiteLLM writes them: "30s", "30m", "30h", "30d", "1w", "1mo", or one of its words
// hourly, daily, weekly and monthly.
func ParseDuration(text string) (Duration, error) {
	plain := text
	if word, ok := words()[strings.ToLower(strings.TrimSpace(text))]; ok {
		plain = word
	}
	digits := strings.TrimRight(plain, "smhdwo")
	count, err := strconv.ParseUint(digits, 10, 31)
	d := Duration{count: int(count), unit: unit(plain[len(digits):])}
	switch {
	case err != nil, count == 0, d.unit != month && d.unit.length() == 0:
		return Duration{}, fmt.Errorf("%q is no duration: write a number above 0 and s, m, h, d, w or mo, for example 30d", text)
	case d.tooLong():
		return Duration{}, fmt.Errorf("duration %q is longer than a hundred years", text)
	}
	return d, nil
}

func (d Duration) tooLong() bool {
	if d.unit == month {
		return d.count > longestMonths
	}
	return d.count > int(longest/d.unit.length())
}

// After is a time that lies the duration behind another: when a key expires that is made then. A month goes to the same
// day of a later month, or to its last one.
func (d Duration) After(t time.Time) time.Time {
	if d.unit != month {
		return t.Add(time.Duration(d.count) * d.unit.length())
	}
	first := t.AddDate(0, d.count, 1-t.Day())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

// NextReset is the end of the budget period of a duration that now lies in, by LiteLLM's rules, in UTC and always after
// now: hours, minutes and seconds end at multiples of theirs within the day, the hour and the minute; one day at
// midnight, 7 days and one week on Monday, 30 days and months on the first; other days and weeks at the midnight
// that many days from today's. It differs where LiteLLM 1.106 goes wrong: more hours than a day has end after all
// of them, and several months may be asked for.
func NextReset(duration string, now time.Time) (time.Time, error) {
	d, err := ParseDuration(duration)
	if err != nil {
		return time.Time{}, err
	}
	return d.next(now.UTC()), nil
}

func (d Duration) next(now time.Time) time.Time {
	midnight := now.Truncate(day.length())
	switch d.unit {
	case hour:
		return d.multiple(midnight, now)
	case minute:
		return d.multiple(now.Truncate(time.Hour), now)
	case second:
		return d.multiple(now.Truncate(time.Minute), now)
	case week:
		return Duration{7 * d.count, day}.next(now)
	case month:
		return midnight.AddDate(0, d.count, 1-now.Day())
	}
	return d.nextDay(midnight)
}

func (d Duration) nextDay(midnight time.Time) time.Time {
	switch d.count {
	case 7:
		return midnight.AddDate(0, 0, 7-int(midnight.Weekday()+6)%7)
	case 30:
		return Duration{1, month}.next(midnight)
	}
	return midnight.AddDate(0, 0, d.count)
}

// multiple is the first after now that lies a multiple of the duration behind a start.
func (d Duration) multiple(start, now time.Time) time.Time {
	step := time.Duration(d.count) * d.unit.length()
	return start.Add((now.Sub(start)/step + 1) * step)
}
