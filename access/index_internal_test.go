package access

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

// BenchmarkLookup is that of a key's hash among 100,000.
func BenchmarkLookup(b *testing.B) {
	const many = 100_000
	var s shards
	hashes := make([]hash, many)
	for i := range hashes {
		hashes[i] = sha256.Sum256(binary.AppendUvarint(nil, uint64(i)))
		s.put(&hashes[i], &Key{})
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if s.find(&hashes[i*23%many]) == nil {
			b.Fatal("a key is not found")
		}
		i++
	}
}
