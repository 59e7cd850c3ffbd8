package extproc

import (
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/access/record"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// serialized is a wire whose replies go no further than the codec.
type serialized struct{ *wire }

func (serialized) Send(m *extprocv3.ProcessingResponse) error {
	_, err := proto.Marshal(m)
	return err
}

// BenchmarkDecision is one decision exchange of 1 KB without gRPC's transport; the reply is serialized. With limits, the
// attempt is refunded.
func BenchmarkDecision(b *testing.B) {
	body := requestBody(`{"model":"fast","messages":[{"role":"user","content":"` + strings.Repeat("word ", 200) + `"}]}`)
	for name, yaml := range map[string]string{"without limits": oneDeployment, "rpm and tpm": one("rpm: 1000000000, tpm: 1000000000000")} {
		b.Run(name, func(b *testing.B) {
			s := fixture(b, yaml)
			headers := requestHeaders(map[string]string{"user-agent": "OpenAI/Python", "x-stainless-lang": "python", "x-request-id": "r"})
			id := record.AttemptID("request-1", 1)
			b.ReportAllocs()
			for b.Loop() {
				w := &wire{ctx: b.Context(), send: []*extprocv3.ProcessingRequest{headers, body}}
				if err := s.Process(serialized{w}); err != nil {
					b.Fatal(err)
				}
				s.Router.Refund("d1", id)
			}
		})
	}
}

// BenchmarkEntry is what an access log entry of a success costs, read from its bytes.
func BenchmarkEntry(b *testing.B) {
	s := fixture(b, oneDeployment)
	w := &wire{ctx: b.Context(), send: []*extprocv3.ProcessingRequest{requestHeaders(nil), requestBody(chat)}}
	if err := s.Process(w); err != nil {
		b.Fatal(err)
	}
	usage, err := structpb.NewStruct(map[string]any{"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30})
	if err != nil {
		b.Fatal(err)
	}
	line := &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
				nestorv1.UsageNamespace: usage,
				nestorv1.Namespace:      w.last().DynamicMetadata.Fields[nestorv1.Namespace].GetStructValue(),
			}},
			Duration:                  durationpb.New(time.Second),
			TimeToFirstUpstreamTxByte: durationpb.New(time.Millisecond),
			TimeToLastUpstreamRxByte:  durationpb.New(time.Second),
		},
		Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(200), ResponseCodeDetails: "via_upstream"},
	}
	raw := messageOf(b, line)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.readLog(raw); err != nil {
			b.Fatal(err)
		}
	}
}
