package redis

import (
	"cmp"
	"fmt"
	"regexp"
)

// DefaultPrefix is what all keys and channels begin with where nothing else is said.
const DefaultPrefix = "nestor"

// CheckPrefix refuses what can't begin a key: of a key with braces a cluster looks at what is in the first ones
// alone, and what is longer only makes every call longer.
func CheckPrefix(prefix string) error {
	if !regexp.MustCompile(`^[!-z|~]{1,100}$`).MatchString(prefix) {
		return fmt.Errorf("%q can't begin a key in Redis: use 1 to 100 printable ASCII characters, no space, { or }", prefix)
	}
	return nil
}

// keyOf is the key, or the channel, of the fleet with that prefix. Fleets with different ones have nothing in common.
func keyOf(prefix, name string) string { return cmp.Or(prefix, DefaultPrefix) + ":" + name }
