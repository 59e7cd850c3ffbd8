package attempts

const (
	// defaultRetryPercent and defaultRetryFloor are those of Finagle's retry budgets.
	defaultRetryPercent = 20
	defaultRetryFloor   = 10
)

// RetryBudget returns how many retries there may be: in percent of the requests, and how many
// a second however few requests there are.
func (s *Settings) RetryBudget() (percent, perSecond float64) {
	percent, perSecond = defaultRetryPercent, defaultRetryFloor
	if b := s.config.Router.RetryBudget; b != nil {
		percent, perSecond = orDefault(b.Percent, percent), orDefault(b.MinPerSecond, perSecond)
	}
	return percent, perSecond
}

func orDefault(value *float64, otherwise float64) float64 {
	if value != nil {
		return *value
	}
	return otherwise
}
