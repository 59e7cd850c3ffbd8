package config

import (
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/known"
	"github.com/nestor-gateway/nestor/routing/config/tree"
)

func (d *decoder) strategy(v *tree.Node, to *string) {
	var name string
	if d.text("routing_strategy", v, &name); slices.Contains(strings.Fields(known.OtherStrategies), name) {
		d.report.Warn(v.At, "", "routing_strategy %s is not supported: simple-shuffle is used", name)
		return
	}
	if name != "" {
		d.choice("routing_strategy", v, known.Strategies, to)
	}
}

// maxLatencies bounds what is kept of every deployment.
const maxLatencies = 1000

func (d *decoder) strategyArgs(v *tree.Node, a *StrategyArgs) {
	for _, f := range d.fields("routing_strategy_args", v) {
		switch key, v := f.Key.Text, f.Value; key {
		case "ttl":
			d.seconds(key, v, &a.TTL)
		case "lowest_latency_buffer":
			d.weight(key, v, &a.LowestLatencyBuffer)
		case "max_latency_list_size":
			whole(d, key, v, 0, &a.MaxLatencyListSize)
			if n := a.MaxLatencyListSize; n != nil && (*n < 1 || *n > maxLatencies) {
				d.report.Problem(v.At, "write a number from 1 to 1000", "%s is not from 1 to %d", key, maxLatencies)
			}
		default:
			d.unsupported(&d.known.StrategyArgs, f)
		}
	}
}
