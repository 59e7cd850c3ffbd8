package record

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// MostAttempts is how many attempts one request has at most, by Envoy's count: more than its retries allow.
const MostAttempts = 32

// AttemptID is what an attempt, counted from 1, is called wherever something is held for it. Every replica computes the
// same one.
func AttemptID(request string, attempt uint32) [16]byte {
	var room [64]byte
	text := binary.BigEndian.AppendUint32(append(room[:0], request...), attempt)
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16])
}

// SpendID is the ID of an attempt's row in the spend log: AttemptID in hex.
func SpendID(request string, attempt uint32) string {
	id := AttemptID(request, attempt)
	return hex.EncodeToString(id[:])
}
