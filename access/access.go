// Package access says who asks: which key a request carries, and whether it is good.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
)

// Principal is who asks.
type Principal struct {
	// Anonymous is set when no key is configured: everybody is let in.
	Anonymous bool
	// Master is set for the holder of the master key.
	Master bool
}

// Master lets in whoever presents the master key.
// It never changes and may be used by many goroutines.
type Master struct {
	open bool
	hash [sha256.Size]byte
}

// NewMaster returns the check against one key. An empty key lets everybody in, as Anonymous;
// to refuse that where it is unsafe is the caller's part.
func NewMaster(key config.Secret) *Master {
	return &Master{open: key == "", hash: sha256.Sum256([]byte(key.Reveal()))}
}

// Authenticate checks the key of a request; header returns the value of a request header by its
// lower-case name, or "". It reports false when the key is absent or wrong.
//
// Where several headers carry a key, the first that is not empty decides, in LiteLLM's order:
// authorization, api-key, x-api-key. An authorization header that is not "Bearer KEY" (the word in
// any case) is a wrong key. Hashes are compared, so the time taken says nothing about the key,
// its length included.
func (m *Master) Authenticate(header func(name string) string) (Principal, bool) {
	if m.open {
		return Principal{Anonymous: true}, true
	}
	var buf [256]byte // on the stack: a request costs no allocation unless its key is longer
	hash := sha256.Sum256(append(buf[:0], presented(header)...))
	if subtle.ConstantTimeCompare(hash[:], m.hash[:]) != 1 {
		return Principal{}, false
	}
	return Principal{Master: true}, true
}

// presented returns the key that a request carries, or "" when there is none.
func presented(header func(string) string) string {
	if v := header("authorization"); v != "" {
		return bearer(v)
	}
	if v := header("api-key"); v != "" {
		return v
	}
	return header("x-api-key")
}

func bearer(authorization string) string {
	scheme, key, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}
