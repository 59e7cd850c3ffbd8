package redis

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

const none = ratelimit.None

func one(n uint64, entities ...ratelimit.Entity) *ratelimit.Reservation {
	q := &ratelimit.Reservation{Amounts: ratelimit.Amounts{1, 10, 1}, Entities: entities, Life: time.Hour}
	binary.BigEndian.PutUint64(q.ID[:], n)
	return q
}

func realStore(t *testing.T, server *redistest.Server, o Options) *Store {
	t.Helper()
	s := NewStore(server.Client(), o)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRealRedisKeepsALimit(t *testing.T) {
	server := redistest.Single(t)
	s := realStore(t, server, Options{Fresh: true})
	e := s.Declare([]ratelimit.Limit{{Name: "deployment:a", Most: ratelimit.Amounts{20, 1000, 5}}})
	for i := range uint64(30) {
		_, denial := s.Reserve(context.Background(), one(i, e...))
		if admitted := denial == nil; admitted != (i < 20) {
			t.Fatalf("reservation %d: %+v", i, denial)
		}
		if denial == nil && !s.Settle(one(i).ID, ratelimit.Amounts{1, 7}) {
			t.Fatal("not held")
		}
	}
	if u := s.Usage(e[0]).Used; u != (ratelimit.Amounts{20, 140, 0}) {
		t.Fatalf("used %v", u)
	}
}
