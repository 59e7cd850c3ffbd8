package ending

import (
	"math"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

func TestWhatAnAttemptTellsAboutItsDeployment(t *testing.T) {
	const ms = time.Millisecond
	start := time.UnixMilli(1_700_000_000_000)
	// 100 ms passed before the request went to the upstream, whose headers came after 50 more and whose end after 800.
	line := func(status uint32, flags *datav3.ResponseFlags, firstEvent float64) *datav3.HTTPAccessLogEntry {
		usage := &structpb.Struct{Fields: map[string]*structpb.Value{
			nestorv1.KeyCompletionTokens: structpb.NewNumberValue(40),
			nestorv1.KeyFirstEvent:       structpb.NewNumberValue(firstEvent),
		}}
		return &datav3.HTTPAccessLogEntry{
			CommonProperties: &datav3.AccessLogCommon{
				StartTime:                 timestamppb.New(start),
				TimeToFirstUpstreamTxByte: durationpb.New(100 * ms),
				TimeToFirstUpstreamRxByte: durationpb.New(150 * ms),
				TimeToLastUpstreamRxByte:  durationpb.New(900 * ms),
				ResponseFlags:             flags,
				Metadata:                  &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{nestorv1.UsageNamespace: usage}},
			},
			Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(status)},
		}
	}
	for name, c := range map[string]struct {
		line   *datav3.HTTPAccessLogEntry
		stream bool
		want   *routing.Sample // nil: nothing
	}{
		"an answer":                     {line(200, nil, 0), false, &routing.Sample{Whole: 800 * ms, Completion: 40}},
		"a stream":                      {line(200, nil, 1_700_000_000_350), true, &routing.Sample{Whole: 800 * ms, FirstToken: 250 * ms, Completion: 40}},
		"a stream, by its headers":      {line(200, nil, 0), true, &routing.Sample{Whole: 800 * ms, FirstToken: 50 * ms, Completion: 40}},
		"an event before the headers":   {line(200, nil, 1_700_000_000_090), true, &routing.Sample{Whole: 800 * ms, FirstToken: 50 * ms, Completion: 40}},
		"a failure":                     {line(500, nil, 0), false, &routing.Sample{Failed: true}},
		"too many requests":             {line(429, nil, 0), false, nil},
		"a stream that broke off":       {line(200, &datav3.ResponseFlags{UpstreamRemoteReset: true}, 0), true, &routing.Sample{Failed: true}},
		"the request's own fault":       {line(400, nil, 0), false, nil},
		"the client left":               {line(200, &datav3.ResponseFlags{DownstreamRemoteReset: true}, 0), true, nil},
		"nothing went to an upstream":   {&datav3.HTTPAccessLogEntry{Response: line(200, nil, 0).Response}, false, nil},
		"no connection to the upstream": {&datav3.HTTPAccessLogEntry{Response: line(503, nil, 0).Response}, false, &routing.Sample{Failed: true}},
	} {
		got, ok := Read(c.line, &nestorv1.Decision{Deployment: "d1", Stream: c.stream}).Sample()
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
		fields map[string]any
		want   int64
	}{
		"negative": {map[string]any{"total_tokens": -5}, 0},
		"huge":     {map[string]any{"total_tokens": 1e300}, mostTokens},
		"text":     {map[string]any{"total_tokens": "12"}, 0},
		"no value": {map[string]any{"total_tokens": math.NaN()}, 0},
		"fraction": {map[string]any{"prompt_tokens": 1.5, "completion_tokens": 2.5}, 3},
		"nothing":  {nil, 0},
	} {
		s, err := structpb.NewStruct(c.fields)
		if err != nil {
			t.Fatal(err)
		}
		if got := ReadUsage(s); got.Sum() != c.want || got.Known() != (c.want > 0) {
			t.Errorf("%s: %+v, want %d in all", name, got, c.want)
		}
	}
}
