package pattern

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestPatternsMatchAsGreedyExpressions: LiteLLM makes a regular expression of a pattern, with (.*) for each *.
func TestPatternsMatchAsGreedyExpressions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab*/")), 1, 8, -1).Draw(t, "text")
		if !strings.Contains(text, "*") {
			return
		}
		name := rapid.StringOfN(rapid.SampledFrom([]rune("ab/")), 0, 10, -1).Draw(t, "name")
		expr := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(text), `\*`, "(.*)") + "$")
		var want []string
		if found := expr.FindStringSubmatch(name); found != nil {
			want = found[1:]
		}
		p := New(text)
		got, ok := p.Match(name)
		if diff := cmp.Diff(want, got); diff != "" || ok != (want != nil) {
			t.Fatalf("%q on %q: %v %s", text, name, ok, diff)
		}
		if p.Matches(name) != ok {
			t.Fatalf("%q on %q: Match says %v, Matches does not", text, name, ok)
		}
	})
}
