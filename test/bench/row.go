package main

import (
	"fmt"
	"time"
)

// row is a subject's line in the table of a load.
func row(name string, samples []sample) string {
	return fmt.Sprintf("| %s | %.0f | %s | %s | %s | %s | %s | %s | %s |\n", name,
		median(figures(samples, rateOf)), millis(samples, p50), millis(samples, p99),
		micros(samples, envoyPart), micros(samples, processorPart), short(median(figures(samples, sample.total))),
		memoryIn(samples, envoyPart), memoryIn(samples, processorPart))
}

// line is one sample for the terminal.
func line(l load, name string, one sample) string {
	samples := []sample{one}
	return fmt.Sprintf("%-36s %-8s %8.0f %ss/s  p50 %s  p99 %s  CPU us: Envoy %s, processor %s, in all %s  RSS: Envoy %s, processor %s",
		l.name, name, median(figures(samples, rateOf)), l.unit(), millis(samples, p50), millis(samples, p99),
		micros(samples, envoyPart), micros(samples, processorPart), short(median(figures(samples, sample.total))),
		memoryIn(samples, envoyPart), memoryIn(samples, processorPart))
}

func p50(s sample) float64 { return float64(s.p50) / float64(time.Millisecond) }
func p99(s sample) float64 { return float64(s.p99) / float64(time.Millisecond) }

func millis(samples []sample, figure func(sample) float64) string {
	return short(median(figures(samples, figure))) + " ms"
}

// micros is the CPU of a part. What LiteLLM does is all its processor's.
func micros(samples []sample, part string) string {
	if !has(samples, part) {
		return "-"
	}
	return short(median(figures(samples, partOf(part))))
}

func memoryIn(samples []sample, part string) string {
	if !has(samples, part) {
		return "-"
	}
	return fmt.Sprintf("%.0f MB", median(figures(samples, megabytes(part))))
}

func has(samples []sample, part string) bool {
	_, ok := samples[0].cpu[part]
	return ok
}

// short writes a number with three digits that count.
func short(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
