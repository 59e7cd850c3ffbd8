package message

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/routing/config"
)

func TestIdleRouteIsTheNextAbove(t *testing.T) {
	for silence, want := range map[time.Duration]int{
		time.Millisecond: 1, time.Second: 2, 1500 * time.Millisecond: 2, 61 * time.Second: 120, time.Hour: int(config.LongestSilence.Seconds()),
	} {
		if got := idleSeconds(silence); got != want {
			t.Errorf("%v: %d s, want %d", silence, got, want)
		}
	}
}
