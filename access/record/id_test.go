package record_test

import (
	"fmt"
	"testing"

	"github.com/nestor-gateway/nestor/access/record"
)

func TestEveryReplicaComputesTheSameID(t *testing.T) {
	// The first half of the SHA-256 of the request's id and the attempt as four bytes, big end first.
	if got := record.SpendID("4f6f7a6e-0000-0000-0000-000000000001", 2); got != "d0451e6877333f353bd3b8a4c518f1a2" {
		t.Errorf("id %s", got)
	}
	seen := map[[16]byte]string{}
	for _, request := range []string{"a", "b", "a\x00\x00\x00\x01"} {
		for attempt := range uint32(300) {
			id, name := record.AttemptID(request, attempt), fmt.Sprintf("%q %d", request, attempt)
			if seen[id] != "" {
				t.Fatalf("%s and %s have one id", seen[id], name)
			}
			seen[id] = name
		}
	}
}

// BenchmarkAttemptID is for a request id as long as Envoy's.
func BenchmarkAttemptID(b *testing.B) {
	id := fmt.Sprintf("%036d", 1)
	b.ReportAllocs()
	for b.Loop() {
		record.AttemptID(id, 1)
	}
}
