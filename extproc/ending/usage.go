package ending

import (
	"google.golang.org/protobuf/types/known/structpb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// Usage is the tokens that a provider reported; 0 where it said nothing.
type Usage struct{ Prompt, Completion, Total, Cached, Reasoning int64 }

// mostTokens bounds what is believed of one answer.
const mostTokens = 1 << 32

// ReadUsage reads what Envoy's filters found in an answer.
func ReadUsage(s *structpb.Struct) Usage {
	fields := s.GetFields()
	if fields == nil {
		return Usage{}
	}
	count := func(key string) int64 {
		n := fields[key].GetNumberValue()
		if !(n > 0) { // NaN is not either
			return 0
		}
		return int64(min(n, mostTokens))
	}
	return Usage{
		Prompt:     count(nestorv1.KeyPromptTokens),
		Completion: count(nestorv1.KeyCompletionTokens),
		Total:      count(nestorv1.KeyTotalTokens),
		Cached:     count(nestorv1.KeyCachedTokens),
		Reasoning:  count(nestorv1.KeyReasoningTokens),
	}
}

// Known reports whether the provider reported anything: some report zeros where they did not count.
func (u Usage) Known() bool { return u.Sum() > 0 }

// Sum is all the tokens. Google's total holds reasoning tokens that are in no other count.
func (u Usage) Sum() int64 { return max(u.Total, u.Prompt+u.Completion) }
