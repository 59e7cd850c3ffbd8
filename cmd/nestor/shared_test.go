package main

import (
	"net"
	"testing"

	"github.com/nestor-gateway/nestor/ratelimit/redis"
)

func TestAReplicaOfAnotherMachineIsNotGoneBecauseNobodyListensOnLoopbackHere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	self := redis.Replica{ID: "self." + machine(), Address: "127.0.0.1:1"}
	for id, want := range map[string]bool{"here." + machine(): true, "there.ELSEWHER": false, "old": false} {
		if got := gone(t.Context(), self, redis.Replica{ID: id, Address: address}); got != want {
			t.Errorf("%s: gone %v, want %v", id, got, want)
		}
	}
}
