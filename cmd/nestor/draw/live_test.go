package draw

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nestor-gateway/nestor/routing/live"
)

func TestLiveTellsUsedUpFromClosed(t *testing.T) {
	ten := int64(10)
	requests := []live.Use{{Dimension: "requests", Limit: &ten}}
	var out bytes.Buffer
	Live(&out, &live.Status{
		Deployments: []live.Deployment{
			{ID: "a", Limits: requests, WhyNot: []live.Reason{{Why: live.Full, Limit: "deployment:a", Dimension: "requests", Seconds: 30}}},
			{ID: "b", Limits: requests, WhyNot: []live.Reason{{Why: live.Closed, Limit: "deployment:b", Seconds: 40}}},
		},
		References: []live.Reference{{Group: "g", To: "h", Limits: requests, Closed: 40}},
		Groups:     []live.Group{{Group: "h", Limits: requests, Full: &live.Until{Dimension: "requests", Seconds: 30}}},
	})
	var ends []string
	for line := range strings.Lines(out.String()) {
		if _, end, found := strings.Cut(line, "0/10"); found {
			ends = append(ends, strings.TrimSpace(end))
		}
	}
	want := []string{
		"requests of deployment:a used up for 30s", "deployment:b closed for 40s: what was used is not known",
		"closed for 40s: what was used is not known", "requests used up for 30s",
	}
	if got := strings.Join(ends, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", out.String())
	}
}
