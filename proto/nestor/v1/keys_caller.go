package nestorv1

const (
	// KeyKeySpend, in Namespace, is what the key had spent before the request, in USD; HeaderKeySpend tells it the client.
	KeyKeySpend    = "key_spend"
	HeaderKeySpend = "x-litellm-key-spend"
)
