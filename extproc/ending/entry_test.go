package ending

import (
	"math"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/extproc/entries"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

func TestWhatAnAttemptTellsAboutItsDeployment(t *testing.T) {
	const ms = time.Millisecond
	start := time.UnixMilli(1_700_000_000_000)
	// 100 ms passed before the request went to the upstream, whose headers came after 50 more and whose end after 800.
	line := func(status uint32, flags entries.Flags, firstEvent float64) entries.Entry {
		return entries.Entry{
			Start:         entries.MomentOf(start.Unix(), 0),
			FirstSent:     entries.MomentOf(0, int32(100*ms)),
			FirstReceived: entries.MomentOf(0, int32(150*ms)),
			LastReceived:  entries.MomentOf(0, int32(900*ms)),
			Flags:         flags,
			Usage:         entries.Usage{Completion: 40, FirstEvent: firstEvent},
			Code:          status,
		}
	}
	for name, c := range map[string]struct {
		line   entries.Entry
		stream bool
		want   *routing.Sample // nil: nothing
	}{
		"an answer":                     {line(200, entries.Flags{}, 0), false, &routing.Sample{Whole: 800 * ms, Completion: 40}},
		"a stream":                      {line(200, entries.Flags{}, 1_700_000_000_350), true, &routing.Sample{Whole: 800 * ms, FirstToken: 250 * ms, Completion: 40}},
		"a stream, by its headers":      {line(200, entries.Flags{}, 0), true, &routing.Sample{Whole: 800 * ms, FirstToken: 50 * ms, Completion: 40}},
		"an event before the headers":   {line(200, entries.Flags{}, 1_700_000_000_090), true, &routing.Sample{Whole: 800 * ms, FirstToken: 50 * ms, Completion: 40}},
		"a failure":                     {line(500, entries.Flags{}, 0), false, &routing.Sample{Failed: true}},
		"too many requests":             {line(429, entries.Flags{}, 0), false, nil},
		"a stream that broke off":       {line(200, entries.Flags{UpstreamRemoteReset: true}, 0), true, &routing.Sample{Failed: true}},
		"the request's own fault":       {line(400, entries.Flags{}, 0), false, nil},
		"the client left":               {line(200, entries.Flags{DownstreamRemoteReset: true}, 0), true, nil},
		"nothing went to an upstream":   {entries.Entry{Code: 200}, false, nil},
		"no connection to the upstream": {entries.Entry{Code: 503}, false, &routing.Sample{Failed: true}},
	} {
		got, ok := Read(&c.line, &nestorv1.Decision{Deployment: "d1", Stream: c.stream}).Sample()
		if ok != (c.want != nil) {
			t.Errorf("%s: told %v", name, ok)
			continue
		}
		if c.want != nil {
			if c.want.Deployment = "d1"; got != *c.want {
				t.Errorf("%s: %+v, want %+v", name, got, *c.want)
			}
		}
	}
}

// What providers send is not to be believed without bounds.
func TestCountsOfTokensAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		said entries.Usage
		want int64
	}{
		"negative": {entries.Usage{Total: -5}, 0},
		"huge":     {entries.Usage{Total: 1e300}, mostTokens},
		"no value": {entries.Usage{Total: math.NaN()}, 0},
		"fraction": {entries.Usage{Prompt: 1.5, Completion: 2.5}, 3},
		"nothing":  {entries.Usage{}, 0},
	} {
		if got := ReadUsage(c.said); got.Sum() != c.want || got.Known() != (c.want > 0) {
			t.Errorf("%s: %+v, want %d in all", name, got, c.want)
		}
	}
}
