package ending

import "github.com/nestor-gateway/nestor/extproc/entries"

// Usage is the tokens that a provider reported; 0 where it said nothing.
type Usage struct{ Prompt, Completion, Total, Cached, CacheCreation, Reasoning int64 }

// mostTokens bounds what is believed of one answer.
const mostTokens = 1 << 32

// ReadUsage reads what Envoy's filters found in an answer.
func ReadUsage(u entries.Usage) Usage {
	return Usage{
		Prompt:        count(u.Prompt),
		Completion:    count(u.Completion),
		Total:         count(u.Total),
		Cached:        count(u.Cached),
		CacheCreation: count(u.CacheCreation),
		Reasoning:     count(u.Reasoning),
	}
}

func count(n float64) int64 {
	if !(n > 0) { // NaN is not either
		return 0
	}
	return int64(min(n, mostTokens))
}

// Known reports whether the provider reported anything: some report zeros where they did not count.
func (u Usage) Known() bool { return u.Sum() > 0 }

// Sum is all the tokens. Google's total holds reasoning tokens that are in no other count.
func (u Usage) Sum() int64 { return max(u.Total, u.Prompt+u.Completion) }
