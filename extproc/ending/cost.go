package ending

import (
	"strings"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing/deployment"
)

// Prices are a tariff as it rides in a Decision; nil for one by which nothing costs anything.
func Prices(t deployment.Tariff) []int64 {
	if t == (deployment.Tariff{}) {
		return nil
	}
	return []int64{t.Input, t.Output, t.CacheRead, t.CacheCreation, t.Reasoning, t.Request}
}

// tariff is what Prices were made of. Those of another version of Nestor may be fewer.
func tariff(prices []int64) (t deployment.Tariff) {
	for i, to := range []*int64{&t.Input, &t.Output, &t.CacheRead, &t.CacheCreation, &t.Reasoning, &t.Request} {
		if i < len(prices) {
			*to = max(0, prices[i])
		}
	}
	return t
}

// Cost is what the attempt cost, in nano-dollars, where Spent says that it used so many tokens: by what the provider
// reported, else by the tokens, of which the request's own are known. What used nothing cost nothing.
func (e Entry) Cost(tokens int64) int64 {
	d := e.Decision
	good := e.Status >= 200 && e.Status < 300
	switch {
	case len(d.Prices) == 0:
		return 0
	case !good:
		return CostOfFailure(d, e.Details, tokens)
	case e.Usage.Known() || tokens == 0: // an image has no tokens, but a price
		return tariff(d.Prices).Cost(deployment.Usage(e.Usage))
	}
	return costOfTokens(d, tokens)
}

// CostOfFailure is the same where there was no good answer. Who got no byte of one, since the connection could not be made
// or was reset, pays nothing, though the provider may have counted the tokens: LiteLLM charges none either.
func CostOfFailure(d *nestorv1.Decision, details string, tokens int64) int64 {
	if strings.HasPrefix(details, resetBeforeHeaders) {
		return 0
	}
	return costOfTokens(d, tokens)
}

// costOfTokens is what tokens cost of which it is not known what they are, but for the request's own.
func costOfTokens(d *nestorv1.Decision, tokens int64) int64 {
	if len(d.Prices) == 0 || tokens == 0 {
		return 0
	}
	prompt := min(d.InputTokens, tokens)
	return tariff(d.Prices).Cost(deployment.Usage{Prompt: prompt, Completion: tokens - prompt, Total: tokens})
}
