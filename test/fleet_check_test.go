package test

import (
	"cmp"
	"slices"
	"testing"
	"time"
)

// certain is the most attempts that were certainly admitted in one interval of that length: those that were sent
// after it began and had come to the provider before it ended. However long requests are on their way,
// none is counted in an interval where it was not admitted.
func certain(seen []sighting, window time.Duration) (most int, from time.Time) {
	bySent := slices.SortedFunc(slices.Values(seen), func(a, b sighting) int { return a.sent.Compare(b.sent) })
	for i, first := range bySent {
		n, end := 0, first.sent.Add(window)
		for _, s := range bySent[i:] {
			if !s.sent.Before(end) {
				break
			}
			if s.at.Before(end) {
				n++
			}
		}
		if n > most {
			most, from = n, first.sent
		}
	}
	return most, from
}

// arrived is the most attempts that came to the provider in one interval of that length. It can be more than were
// admitted in it, when those before were longer on their way.
func arrived(seen []sighting, window time.Duration) (most int) {
	first := 0
	for i, s := range seen {
		for !seen[first].at.Add(window).After(s.at) {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// between counts the arrivals in an interval.
func between(seen []sighting, from, to time.Time) (n int) {
	for _, s := range seen {
		if !s.at.Before(from) && s.at.Before(to) {
			n++
		}
	}
	return n
}

// onTheWay are the times that so many per cent of attempts took at most from the client to the provider.
func onTheWay(seen []sighting, percent ...int) []time.Duration {
	took := make([]time.Duration, len(seen))
	for i, s := range seen {
		took[i] = s.at.Sub(s.sent)
	}
	slices.SortFunc(took, cmp.Compare[time.Duration])
	out := make([]time.Duration, len(percent))
	for i, p := range percent {
		out[i] = took[(len(took)-1)*p/100].Round(10 * time.Microsecond)
	}
	return out
}

// within fails the test where more was certainly admitted in a minute than the limit.
func (r *rush) within(limit int) {
	r.t.Helper()
	seen := r.sightings()
	if len(seen) == 0 {
		r.t.Fatal("nothing came to the provider")
	}
	most, from := certain(seen, time.Minute)
	r.t.Logf("%d requests at the provider, %d refused, %d failed; at most %d certainly admitted in a minute, %d arrived; on the way (50, 99, 100 %%): %v",
		len(seen), r.refused, r.failed, most, arrived(seen, time.Minute), onTheWay(seen, 50, 99, 100))
	if most > limit {
		r.t.Errorf("%d requests were admitted in the minute after %v, want at most %d", most, from.Sub(seen[0].sent), limit)
	}
}

// The check of the other tests: it finds one request too many, and does not take for one what was late.
func TestCertainFindsWhatIsTooMuch(t *testing.T) {
	begin := time.Now()
	// Ten are admitted every minute, in its first second; on the way each takes up to a second.
	honest := func(minutes int) (seen []sighting) {
		for m := range minutes {
			for i := range 10 {
				admitted := begin.Add(time.Duration(m)*(time.Minute+time.Millisecond) + time.Duration(i)*100*time.Millisecond)
				early, late := time.Duration(i%3)*500*time.Millisecond, time.Duration((m*7+i)%5)*250*time.Millisecond
				if m == 1 {
					late = 0
				}
				seen = append(seen, sighting{sent: admitted.Add(-early), at: admitted.Add(late)})
			}
		}
		return seen
	}
	seen := honest(4)
	if most, _ := certain(seen, time.Minute); most > 10 {
		t.Errorf("%d in a minute where there were 10", most)
	}
	slices.SortFunc(seen, func(a, b sighting) int { return a.at.Compare(b.at) })
	if most := arrived(seen, time.Minute); most <= 10 {
		t.Errorf("%d arrived in a minute: the example shows nothing", most)
	}
	one := begin.Add(30 * time.Second)
	if most, _ := certain(append(honest(4), sighting{sent: one, at: one.Add(time.Millisecond)}), time.Minute); most != 11 {
		t.Errorf("%d in a minute where there were 11", most)
	}
}
