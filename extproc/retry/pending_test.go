package retry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/extproc/openai"
)

func TestAPlanStaysAndItsFailureDoesNot(t *testing.T) {
	now := time.Unix(0, 0)
	p := NewPending(func() time.Time { return now })
	plan := Plan{Attempt: 1, Group: "fast", Counted: []string{"fast"}}
	failed := plan
	failed.Failure = &openai.Error{Status: 500, Text: []byte("out of order")}
	for name, wait := range map[string]time.Duration{"at once": 0, "a generation later": planLife + 1} {
		p.Put(name, failed)
		now = now.Add(wait)
		p.Put("another", Plan{})
		var got []Plan
		for range 2 {
			next, ok := p.Get(name)
			if !ok {
				t.Fatalf("%s: forgotten", name)
			}
			got = append(got, next)
		}
		if diff := cmp.Diff([]Plan{failed, plan}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
