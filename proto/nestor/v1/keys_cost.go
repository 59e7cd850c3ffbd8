package nestorv1

const (
	// KeyPrices, in Namespace, is what the deployment's answers cost: whole pico-dollars (1e-12 USD) for a token of input,
	// of output, of input from a cache and into it, of reasoning, and for a request; with commas between.
	// Where it is there, JSON answers get HeaderResponseCost.
	KeyPrices = "prices"
	// KeyCacheCreationTokens is a count in UsageNamespace.
	KeyCacheCreationTokens = "cache_creation_tokens"
	// HeaderResponseCost is what an answer costs in USD: a decimal number without exponent.
	HeaderResponseCost = "x-litellm-response-cost"
)
