package strategy

import (
	"math"
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
	mu     sync.Mutex
	answer record // of every answer
	first  record // of the first token of streams
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
		for _, r := range []*record{&s.answer, &s.first} {
			r.add(now, failed, true, keep)
			r.peak.fail(now)
		}
		return
	}
	s.answer.add(now, x.Whole.Seconds()/float64(max(x.Completion, 1)), false, keep)
	s.answer.peak.add(now, x.Whole.Seconds())
	if x.FirstToken > 0 {
		s.first.add(now, x.FirstToken.Seconds(), false, keep)
		s.first.peak.add(now, x.FirstToken.Seconds())
	}
}

// Mean is the mean of what is kept and not older than ttl: for streams the seconds to the first token, for others
// those for a token of the answer, or for the answer where its tokens are not known. ok is false when nothing is.
func (s *Speed) Mean(now, ttl time.Duration, stream bool) (seconds float64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of(stream).mean(now, ttl)
}

// Load is what one more request adds to at a deployment with some in flight: their number, times an average of the
// times that rises to every peak at once and falls slowly. The times are those to the first token for streams, to the
// whole answer for others. A deployment that has nothing to do is tried again as time passes, and one that
// has never answered at once: in both cases by one request at a time.
func (s *Speed) Load(now time.Duration, inFlight int64, stream bool) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.of(stream).peak
	switch {
	case inFlight <= 0:
		return p.at(now)
	case !p.seen:
		return failed * float64(inFlight+1)
	}
	return p.seconds * float64(inFlight+1)
}

func (s *Speed) of(stream bool) *record {
	if stream {
		return &s.first
	}
	return &s.answer
}

// record is the latest samples of one kind.
type record struct {
	samples []sample
	next    int
	peak    peak
}

type sample struct {
	at      time.Duration
	seconds float64
	failed  bool
}

func (r *record) add(now time.Duration, seconds float64, failed bool, keep int) {
	x := sample{now, seconds, failed}
	switch {
	case len(r.samples) > keep:
		r.samples, r.next = nil, 0
		fallthrough
	case len(r.samples) < keep:
		r.samples = append(r.samples, x)
		return
	}
	r.samples[r.next%keep] = x
	r.next = (r.next + 1) % keep
}

func (r *record) mean(now, ttl time.Duration) (seconds float64, ok bool) {
	sum, n := 0.0, 0
	for _, x := range r.samples {
		if age := now - x.at; age > ttl || x.failed && age > failedFor {
			continue
		}
		sum, n = sum+x.seconds, n+1
	}
	return sum / float64(max(n, 1)), n > 0
}

// peak is an average that rises at once and falls slowly.
type peak struct {
	seconds float64
	seen    bool
	last    time.Duration
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
