package extproc

import (
	"google.golang.org/protobuf/types/known/structpb"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// usage is the tokens that a provider reported; 0 where it said nothing.
type usage struct{ prompt, completion, total, cached, reasoning int64 }

// mostTokens bounds what is believed of one answer.
const mostTokens = 1 << 32

func readUsage(s *structpb.Struct) usage {
	fields := s.GetFields()
	if fields == nil {
		return usage{}
	}
	count := func(key string) int64 { return int64(min(max(fields[key].GetNumberValue(), 0), mostTokens)) }
	return usage{
		prompt:     count(nestorv1.KeyPromptTokens),
		completion: count(nestorv1.KeyCompletionTokens),
		total:      count(nestorv1.KeyTotalTokens),
		cached:     count(nestorv1.KeyCachedTokens),
		reasoning:  count(nestorv1.KeyReasoningTokens),
	}
}

// known reports whether the provider reported anything: some report zeros where they did not count.
func (u usage) known() bool { return u.sum() > 0 }

// sum is all the tokens. Google's total holds reasoning tokens that are in no other count.
func (u usage) sum() int64 { return max(u.total, u.prompt+u.completion) }
