package extproc

import (
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
)

// BenchmarkDecision is one decision exchange without gRPC's transport: 1 KB in, the reply serialized.
func BenchmarkDecision(b *testing.B) {
	s := fixture(b, oneDeployment)
	headers := requestHeaders(map[string]string{"user-agent": "OpenAI/Python", "x-stainless-lang": "python", "x-request-id": "r"})
	body := requestBody(`{"model":"fast","messages":[{"role":"user","content":"` + strings.Repeat("word ", 200) + `"}]}`)
	b.ReportAllocs()
	for b.Loop() {
		w := &wire{ctx: b.Context(), send: []*extprocv3.ProcessingRequest{headers, body}}
		if err := s.Process(w); err != nil {
			b.Fatal(err)
		}
		if _, err := proto.Marshal(w.last()); err != nil {
			b.Fatal(err)
		}
	}
}
