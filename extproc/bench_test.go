package extproc

import (
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
)

// serialized is a wire whose replies go no further than the codec.
type serialized struct{ *wire }

func (serialized) Send(m *extprocv3.ProcessingResponse) error {
	_, err := proto.Marshal(m)
	return err
}

// BenchmarkDecision is one decision exchange of 1 KB without gRPC's transport; the reply is serialized.
func BenchmarkDecision(b *testing.B) {
	s := fixture(b, oneDeployment)
	headers := requestHeaders(map[string]string{"user-agent": "OpenAI/Python", "x-stainless-lang": "python", "x-request-id": "r"})
	body := requestBody(`{"model":"fast","messages":[{"role":"user","content":"` + strings.Repeat("word ", 200) + `"}]}`)
	b.ReportAllocs()
	for b.Loop() {
		w := &wire{ctx: b.Context(), send: []*extprocv3.ProcessingRequest{headers, body}}
		if err := s.Process(serialized{w}); err != nil {
			b.Fatal(err)
		}
	}
}
