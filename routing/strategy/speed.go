package strategy

import (
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// failed is what an attempt that failed counts as, in seconds. LiteLLM's for a timeout.
	failed = 1000
	// failedFor is how long it counts. In LiteLLM it does until ten newer samples, which an avoided
	// deployment never gets.
	failedFor = time.Minute
	// settling is the time in which a peak falls to 1/e of itself when nothing else is seen.
	settling = 10 * time.Second
)

// Speed is what is known of how fast a deployment answers. It is safe for concurrent use.
type Speed struct {
	mu sync.Mutex
	// token is the seconds for a token of an answer, or for an answer whose tokens are not known; whole those of answers,
	// and first those to the first token of streams.
	token, whole, first record
	// busiest and soonest are averages of the last two.
	busiest, soonest peak
}

// Sample is what one attempt teaches about the speed of a deployment.
type Sample struct {
	// Failed attempts have no times.
	Failed bool
	// Whole is the time of the whole answer; FirstToken that of the first byte of a stream, 0 for others.
	Whole, FirstToken time.Duration
	// Completion is the tokens of the answer; 0 when they are not known.
	Completion int64
}

// Observe takes a sample into account. keep is how many are kept.
func (s *Speed) Observe(now time.Duration, x Sample, keep int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.Failed {
		s.token.add(sample{now, failed, true}, keep)
		s.first.add(sample{now, failed, true}, keep)
		s.busiest.fail(now)
		s.soonest.fail(now)
		return
	}
	whole := x.Whole.Seconds()
	s.token.add(sample{at: now, seconds: whole / float64(max(x.Completion, 1))}, keep)
	s.whole.add(sample{at: now, seconds: whole}, keep)
	s.busiest.add(now, whole)
	if x.FirstToken > 0 {
		s.first.add(sample{at: now, seconds: x.FirstToken.Seconds()}, keep)
		s.soonest.add(now, x.FirstToken.Seconds())
	}
}

// Means are of what is kept and not older than ttl: the seconds of answers, and those to the first token of streams;
// 0 where nothing is known.
func (s *Speed) Means(now, ttl time.Duration) (whole, first float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	whole, _ = s.whole.mean(now, ttl, 0)
	first, _ = s.first.mean(now, ttl, 0)
	return whole, first
}

// Latency is the mean of what is kept and not older than ttl: for streams of the seconds to the first token, for others
// of those for a token of the answer. A deployment of which nothing is known is tried before all others, but by
// one request at a time.
func (s *Speed) Latency(now, ttl time.Duration, inFlight int64, stream bool) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.token
	if stream {
		r = &s.first
	}
	seconds, known := r.mean(now, ttl, failedFor)
	if !known && inFlight > 0 {
		return failed
	}
	return seconds
}

// Load is what one more request adds to at a deployment with some in flight: their number, times an average of the
// times that rises to every peak at once and falls slowly. The times are those to the first token for streams, to the
// whole answer for others. A deployment that has nothing to do is tried again as time passes, and one that
// has never answered at once: in both cases by one request at a time.
func (s *Speed) Load(now time.Duration, inFlight int64, stream bool) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.busiest
	if stream {
		p = &s.soonest
	}
	switch {
	case inFlight <= 0:
		return p.at(now)
	case !p.seen:
		return failed * float64(inFlight+1)
	}
	return p.seconds * float64(inFlight+1)
}

// record is the latest samples of one kind, the oldest first.
type record []sample

type sample struct {
	at      time.Duration
	seconds float64
	failed  bool
}

func (r *record) add(x sample, keep int) {
	if over := len(*r) - keep + 1; over > 0 {
		*r = slices.Delete(*r, 0, over)
	}
	*r = append(*r, x)
}

// mean is that of the samples that are not older than ttl, of failures not older than fails either.
func (r *record) mean(now, ttl, fails time.Duration) (seconds float64, known bool) {
	sum, n := 0.0, 0
	for _, x := range *r {
		if age := now - x.at; age <= ttl && (!x.failed || age < fails) {
			sum, n = sum+x.seconds, n+1
		}
	}
	return sum / float64(max(n, 1)), n > 0
}

// peak is an average that rises at once and falls slowly.
type peak struct {
	seconds float64
	seen    bool
	last    time.Duration // when it was changed
}

func (p *peak) add(now time.Duration, seconds float64) {
	old := p.at(now)
	if p.seen && seconds < p.seconds {
		keep := p.kept(now)
		seconds = max(p.seconds*keep+seconds*(1-keep), old)
	}
	p.seconds, p.seen, p.last = seconds, true, now
}

// fail doubles the average: one failure among many answers is soon forgotten, many in a row are not.
func (p *peak) fail(now time.Duration) {
	double := min(2*p.at(now), failed)
	if !p.seen {
		double = 1
	}
	p.seconds, p.seen, p.last = double, true, now
}

// at is the average now: it falls while nothing is seen, so that what was slow is tried again.
func (p *peak) at(now time.Duration) float64 { return p.seconds * p.kept(now) }

func (p *peak) kept(now time.Duration) float64 {
	return math.Exp(-max(now-p.last, 0).Seconds() / settling.Seconds())
}
