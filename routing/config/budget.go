package config

import (
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/known"
	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// RetryBudget is retry_budget of router_settings, Nestor's own. A nil pointer means that the file does not say.
type RetryBudget struct {
	// Percent of the requests may be retries.
	Percent *float64
	// MinPerSecond retries are allowed however few requests there are.
	MinPerSecond *float64
}

// retryBudget reads {percent: 20, min_per_second: 10}.
func (d *decoder) retryBudget(key string, v *tree.Node) *RetryBudget {
	b, s := &RetryBudget{}, known.Section{Name: key, Names: strings.Fields(known.BudgetKeys)}
	for _, f := range d.fields(key, v) {
		switch f.Key.Text {
		case "percent":
			d.weight(f.Key.Text, f.Value, &b.Percent)
		case "min_per_second":
			d.weight(f.Key.Text, f.Value, &b.MinPerSecond)
		default:
			d.unknown(&s, f.Key)
		}
	}
	return b
}
