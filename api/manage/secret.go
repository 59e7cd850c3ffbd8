package manage

import (
	"crypto/rand"
	"encoding/base64"
	"strings"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

const keyPrefix = "sk-"

// newSecret makes a key of 192 random bits: "sk-" and 32 characters.
func newSecret() string {
	var random [24]byte
	_, _ = rand.Read(random[:]) // never fails, by its contract
	return keyPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// newID makes an id for what got none.
func newID() string { return rand.Text() }

// tokenOf is the token of a key, or of what is a token already, as LiteLLM tells them apart.
func tokenOf(key string) string {
	if strings.HasPrefix(key, keyPrefix) {
		return record.TokenOf(key)
	}
	return key
}

// nameOf shows the end of a key, for people.
func nameOf(secret string) string { return keyPrefix + "..." + secret[len(secret)-4:] }

// shortestSecret and longestSecret bound keys that somebody else made; the first is LiteLLM's.
const (
	shortestSecret = 16
	longestSecret  = 256
)

// checkSecret is for keys that the caller made. Errors don't show them.
func (c *call) checkSecret(param, secret string) error {
	switch {
	case !strings.HasPrefix(secret, keyPrefix):
		return reply.Bad(param, "Invalid key format. A virtual key must start with 'sk-'.")
	case len(secret) < shortestSecret || len(secret) > longestSecret:
		return reply.Bad(param, "Invalid key format. A virtual key must be %d to %d characters long.", shortestSecret, longestSecret)
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return reply.Bad(param, "Invalid key format. A virtual key must be of visible ASCII characters.")
	case c.presents(secret):
		return reply.Bad(param, "the new key is the one that this request is made with")
	}
	return nil
}

// presents reports whether the call itself is made with a key.
func (c *call) presents(secret string) bool {
	for _, name := range []string{"Authorization", "Api-Key", "X-Api-Key"} {
		given := c.header.Get(name)
		if fields := strings.Fields(given); len(fields) > 0 && fields[len(fields)-1] == secret {
			return true
		}
	}
	return false
}
