package extproc

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Whatever a client writes, no tokens that a provider would charge for are left out of what is reserved.
func TestWhatARequestReserves(t *testing.T) {
	png := base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n" + strings.Repeat("\x00\xff\x10\x83", 10_000)))
	words := strings.Repeat("a", 512) + strings.Repeat(" word", 80_000)
	for name, c := range map[string]struct {
		body        string
		least, most int64
	}{
		"an image": {`{"model":"fast","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` +
			png + `"}}]}]}`, 1000, 1050},
		"words behind a long one":  {`{"model":"fast","max_tokens":1,"messages":[{"role":"user","content":"` + words + `"}]}`, 100_000, 100_250},
		"a small and a large most": {`{"model":"fast","max_tokens":100000,"max_completion_tokens":1,"messages":[]}`, 1024, 1060},
		"a most of zero":           {`{"model":"fast","max_tokens":0,"messages":[]}`, 1024, 1060},
	} {
		s, l := limited(t, oneDeployment)
		d := decisionIn(t, decideFor(t, s, nil, c.body))
		if held := l.used(t, leaf)[ratelimit.Tokens]; held < c.least || held > c.most || held != d.ReservedTokens {
			t.Errorf("%s: held %d and told %d, want from %d to %d", name, held, d.ReservedTokens, c.least, c.most)
		}
		if learns := d.InputBytes > 0; learns == (name == "an image") {
			t.Errorf("%s: %d bytes teach how many a token has", name, d.InputBytes)
		}
	}
}
