package retry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBackOffDoublesUpToItsBound(t *testing.T) {
	got := []time.Duration{backOff(1, 0), backOff(2, 0), backOff(4, 0), backOff(9, 0), backOff(1, time.Second), backOff(1, time.Hour)}
	want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 2 * time.Second, time.Second, 2 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
