package redis

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// nagging is how often the log says that Redis is still of no use.
const nagging = time.Minute

// fail notes that a beat had no answer, or none of use. The store's mutex must be held.
func (f *fleet) fail(err error, now time.Duration) {
	if !f.down {
		f.down, f.lost = true, now
	} else if now-f.told < nagging {
		return
	}
	f.told = now
	level, text := slog.LevelWarn, "Redis does not answer"
	var refusal redis.Error
	if errors.As(err, &refusal) {
		level, text = slog.LevelError, "Redis refuses what replicas share limits by"
	}
	if f != f.store.fleets[0] {
		level = slog.LevelDebug // one of many slots speaks for all
	}
	effect := "limits go on with what is leased, then as limits_without_redis says"
	if !f.began {
		effect = "it never has: what has limits admits nothing, unless limits_without_redis is open"
	}
	f.store.log.Log(context.Background(), level, text+": "+effect, "key", f.key, "error", err)
}

// Down is for how long Redis has been of no use; 0 while it is.
func (s *Store) Down() (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fleets {
		if f.down {
			longest = max(longest, s.now()-f.lost)
		}
	}
	return longest
}
