package config

import (
	"fmt"
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

// maxFloor is more retries a second than one process makes.
const maxFloor = 100_000

// retryBudget reads {percent: 20, min_per_second: 10}.
func (d *decoder) retryBudget(key string, v *tree.Node) *RetryBudget {
	b, s := &RetryBudget{}, known.Section{Name: key, Names: strings.Fields(known.BudgetKeys)}
	for _, f := range d.fields(key, v) {
		switch f.Key.Text {
		case "percent":
			d.bounded(f.Key.Text, f.Value, 100, &b.Percent)
		case "min_per_second":
			d.bounded(f.Key.Text, f.Value, maxFloor, &b.MinPerSecond)
		default:
			d.unknown(&s, f.Key)
		}
	}
	return b
}

// bounded reads a number from 0 to most.
func (d *decoder) bounded(key string, v *tree.Node, most float64, to **float64) {
	var f *float64
	if d.weight(key, v, &f); f == nil {
		return
	}
	if *f > most {
		d.report.Problem(v.At, fmt.Sprintf("write a number from 0 to %.0f", most), "%s is more than %.0f", key, most)
		return
	}
	*to = f
}
