package main

import (
	"fmt"
	"slices"
)

// target is a ratio, or a size, that is to be reached.
type target struct {
	what   string
	limit  string
	loads  func(load) bool
	values func(results, load) []float64 // one a round
	of     func([]float64) float64       // what they are judged by
	met    func(float64) bool
	format string
	least  *bound
}

// bound is the same of another subject, where that tells what can be reached at all.
type bound struct {
	who    string
	values func(results, load) []float64
}

// verdict is a target held against one load.
type verdict struct {
	what, limit, load, value string
	met                      bool
	// beyond names the subject with nothing of Nestor's that misses it, too.
	beyond string
}

// targets are those of the project. The numbers of a round are compared within that round.
func targets() []target {
	unary := func(l load) bool { return !l.stream }
	stream := func(l load) bool { return l.stream && !l.idle }
	sixteen := func(l load) bool { return unary(l) && l.connections == 16 }
	afterSmall := func(l load) bool { return sixteen(l) && l.size == kilobyte } // the last of 1 KB
	cpuOver := over("litellm", sample.total)
	rateOver := under("litellm", rateOf)
	floor := func(values func(string) func(results, load) []float64) *bound {
		return &bound{"the floor", values("floor")}
	}
	asking := &bound{"asking", against("asking", "floor", sample.total)}
	return []target{
		{"Nestor's CPU over the no-op processor's", "<= 1.35", unary, beside("floor", partOf(processorPart)), median, atMost(1.35), "%.2f", nil},
		{"Nestor's CPU with limits over the no-op processor's", "<= 1.45", unary, against("limits", "floor", partOf(processorPart)), median, atMost(1.45), "%.2f", nil},
		{"Envoy's CPU over the floor's Envoy", "<= 1.10", unary, beside("floor", partOf(envoyPart)), median, atMost(1.1), "%.2f", nil},
		{"CPU of a streamed event over the floor's", "<= 1.10", stream, beside("floor", sample.total), median, atMost(1.1), "%.2f", asking},
		{"CPU of a streamed event over native metering's", "<= 1.10", stream, beside("native", sample.total), median, atMost(1.1), "%.2f", nil},
		{"Memory of nestor after the loads of 1 KB", "< 60 MB", afterSmall, ofNestor(megabytes(processorPart)), slices.Max[[]float64], below60, "%.0f MB", nil},
		{"LiteLLM's CPU over Nestor's with its Envoy, a request", ">= 15", unary, cpuOver("nestor"), median, atLeast(15), "%.1f", floor(cpuOver)},
		{"LiteLLM's CPU over Nestor's with its Envoy, an event", ">= 30", stream, cpuOver("nestor"), median, atLeast(30), "%.1f", floor(cpuOver)},
		{"Nestor's throughput over LiteLLM's", ">= 12", sixteen, rateOver("nestor"), median, atLeast(12), "%.1f", floor(rateOver)},
	}
}

func atMost(limit float64) func(float64) bool  { return func(v float64) bool { return v <= limit } }
func atLeast(limit float64) func(float64) bool { return func(v float64) bool { return v >= limit } }
func below60(v float64) bool                   { return v < 60 }

func rateOf(s sample) float64 { return s.rate }

// megabytes are a part's memory.
func megabytes(part string) func(sample) float64 {
	return func(s sample) float64 { return float64(s.memory[part]) / 1e6 }
}

func partOf(name string) func(sample) float64 {
	return func(s sample) float64 { return s.cpu[name] }
}

func ofNestor(figure func(sample) float64) func(results, load) []float64 {
	return func(r results, l load) []float64 { return figures(r[l.name]["nestor"], figure) }
}

// beside divides Nestor's figure by another subject's of the same round.
func beside(other string, figure func(sample) float64) func(results, load) []float64 {
	return against("nestor", other, figure)
}

// against divides one subject's figure by another's of the same round.
func against(one, other string, figure func(sample) float64) func(results, load) []float64 {
	return func(r results, l load) []float64 {
		ours, theirs := r[l.name][one], r[l.name][other]
		var ratios []float64
		for i := range min(len(ours), len(theirs)) {
			ratios = append(ratios, figure(ours[i])/figure(theirs[i]))
		}
		return ratios
	}
}

// over divides the other's figures by the median of ours, for they were not measured in turn.
func over(other string, figure func(sample) float64) func(ours string) func(results, load) []float64 {
	return func(ours string) func(results, load) []float64 {
		return func(r results, l load) []float64 {
			below := median(figures(r[l.name][ours], figure))
			if below == 0 {
				return nil
			}
			ratios := figures(r[l.name][other], figure)
			for i := range ratios {
				ratios[i] /= below
			}
			return ratios
		}
	}
}

// under is over with the division turned round.
func under(other string, figure func(sample) float64) func(ours string) func(results, load) []float64 {
	return func(ours string) func(results, load) []float64 {
		return func(r results, l load) []float64 {
			ratios := over(other, figure)(ours)(r, l)
			for i := range ratios {
				ratios[i] = 1 / ratios[i]
			}
			return ratios
		}
	}
}

func figures(samples []sample, figure func(sample) float64) []float64 {
	var v []float64
	for _, s := range samples {
		v = append(v, figure(s))
	}
	return v
}

// judge holds every target against the loads that it speaks of; those without samples are left out.
func (r results) judge() []verdict {
	var verdicts []verdict
	for _, t := range targets() {
		for _, l := range loads() {
			if !t.loads(l) {
				continue
			}
			if values := t.values(r, l); len(values) > 0 {
				verdicts = append(verdicts, t.verdict(r, l, values))
			}
		}
	}
	return verdicts
}

func (t target) verdict(r results, l load, values []float64) verdict {
	judged := t.of(values)
	v := verdict{what: t.what, limit: t.limit, load: l.name, met: t.met(judged), value: fmt.Sprintf(t.format, judged)}
	if len(values) > 1 {
		v.value += fmt.Sprintf(" ("+t.format+" to "+t.format+")", slices.Min(values), slices.Max(values))
	}
	if t.least == nil {
		return v
	}
	if values := t.least.values(r, l); len(values) > 0 {
		least := t.of(values)
		if !v.met && !t.met(least) {
			v.beyond = t.least.who
		}
		v.value += fmt.Sprintf(", %s "+t.format, t.least.who, least)
	}
	return v
}
