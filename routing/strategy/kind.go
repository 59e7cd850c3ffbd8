// Package strategy chooses among the live deployments of a pool by what is known of them: how busy, how much used,
// how fast, how dear they are. It knows numbers only, as package share does: what they mean is up to its caller.
//
// A pool is all that a called group can send a request to without drawing by weights: the live leaves of its active
// tier, and of those of the groups in it, and of theirs. A tier that is weighted, inside a pool, is one entry of it:
// it counts as the mean of its members by weight, which is what a request that goes there meets on average, and the
// draw inside it does not look at anything else than the weights.
package strategy

// Kind is a strategy.
type Kind uint8

// The strategies, by LiteLLM's names but for the last.
const (
	// SimpleShuffle draws by shares: package share.
	SimpleShuffle Kind = iota
	// LeastBusy takes what has the fewest requests in flight.
	LeastBusy
	// UsageBased takes what has used the fewest tokens of late, reservations included.
	UsageBased
	// LatencyBased takes what answers fastest, or one of those that are nearly as fast.
	LatencyBased
	// CostBased takes what costs least.
	CostBased
	// Balanced draws two by their shares, and takes the one with less load for its share.
	Balanced
)

// Parse finds a strategy by its name in a config file; "" is simple-shuffle, as in LiteLLM.
func Parse(name string) (k Kind, ok bool) {
	switch name {
	case "", "simple-shuffle":
		return SimpleShuffle, true
	case "least-busy":
		return LeastBusy, true
	case "usage-based-routing", "usage-based-routing-v2":
		return UsageBased, true
	case "latency-based-routing":
		return LatencyBased, true
	case "cost-based-routing":
		return CostBased, true
	case "balanced":
		return Balanced, true
	}
	return SimpleShuffle, false
}
