package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// page is docs/benchmarks.md. Tables are written by code, for their columns differ.
const page = `# Benchmarks

{{.Summary}}

    make bench

runs this again (` + "`go run ./test/bench -quick`" + ` in about seven minutes instead of an hour, with coarser figures). It needs an Envoy, wrk and,
for the comparison, LiteLLM from PyPI, all of which it can get; nothing of it is part of the tests.

| | |
|---|---|
| Command | ` + "`{{.Command}}`" + ` |
| Day | {{.Day}} |
| Machine | {{.Machine}} |
| Versions | {{.Versions}} |
| Runs | {{.Runs}} |

## What is compared

- **plain**: an Envoy that only forwards.
- **floor**: the Envoy configuration of Nestor to the letter, with a processor that does nothing, on a gRPC server with the
  options of Nestor's. It answers the same messages of the decision exchange (and sends the body back, as it must be to name
  another model), without reading the body, authentication, picking or metering. What lies above it is Nestor's own doing;
  what lies below it is the price of ext_proc and of the second connection manager. The rest is as Go and gRPC come: lines of
  the access log are decoded whole, and its few megabytes are collected more often than Nestor's many.
- **native**: the floor with Envoy's own filter for the usage of streams, sse_to_metadata, instead of Nestor's Lua filter.
- **asking**: the floor with a processor that asks the provider for the usage of streams, as a gateway must that counts them. The
  provider then sends more (` + "`\"usage\":null`" + ` in each event, and an event with the usage), which Envoy passes on and reads;
  nothing is taken out.
- **nestor**: ` + "`nestor run`" + ` with a master key and a group made of two groups, three deployments in all.
- **limits**: the same with limits of requests, tokens and parallel requests on the group, on both references and on
  every deployment, kept in memory: three of each kind for a request.
- **keys**: limits, with a virtual key of a team for a client: it has limits of its own, as has the team, both have a
  budget, the deployments have prices, and every request has a row in the spend log, in SQLite. The others, LiteLLM among
  them, keep no spend log.
- **litellm**: LiteLLM with the same master key and deployments, in one flat group, {{.Workers}} worker processes,
  measured after the others and on its own.

The load generator, the gateway and the mock provider share the machine and speak over the loopback interface. The
mock answers at once with 99 words, or with a stream of 100 events that begins at once. Each Envoy has {{.Workers}} threads.
Times are those of whole answers as wrk sees them; the time of a stream is that of its last byte. CPU is user and
system time of all processes of a subject over the run. Answers that are not 200 and complete end the benchmark.

## Targets

Ratios with the floor are taken within a round and are the median of the rounds (the least and the greatest in
brackets). All but LiteLLM start anew for each round, as two processes of the very same program and configuration differ in
what they cost for as long as they run. Ratios with LiteLLM are taken against the median of Nestor's rounds, and beside them
stands what the floor has: where the floor misses a target as well, what lies below Nestor is too dear for it. Beside a
streamed event stands what asking alone costs over the floor: a gateway that counts the tokens of streams can't do without.
Memory is judged by the round in which it was greatest: what is resident when the process, new in that round, has had the
load of 1 KB on one connection and then on 16. Streams with an event every 10 ms on one connection are left out: a hundred
events a second weigh less than what runs anyway, as health checks.

{{.Targets}}
{{if .Shared}}## Limits in Redis

One deployment with a limit, and a load of nine tenths of it at fixed times: on one connection for 6,000 requests a
minute, on eight for 60,000. p50 is the median of the rounds. Commands are those that Nestor gave to Redis, heartbeats
included, by INFO commandstats, {{.Counted}}.

| limit a minute | p50, in memory | p50, in Redis | requests | commands | commands a request |
|--:|--:|--:|--:|--:|--:|
{{.Shared}}
{{end}}## Figures

Medians of the rounds. CPU in microseconds, memory resident after the load; a round's loads follow each other in this order.

{{.Tables}}`

// save writes the page of what is measured.
func (b *bench) save() error {
	report, err := b.report()
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.options.part(), []byte(report), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// report is the page.
func (b *bench) report() (string, error) {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	verdicts := append(b.results.judge(), judgeShared(b.shared)...)
	err = t.Execute(&out, map[string]any{
		"Summary": summary(verdicts), "Command": b.command(), "Day": time.Now().UTC().Format(time.DateOnly),
		"Machine": machine(), "Versions": b.versions(), "Runs": b.runs(), "Workers": b.options.workers,
		"Targets": targetTable(verdicts), "Tables": b.tables(),
		"Shared": sharedTable(b.shared), "Counted": fmt.Sprintf("for %v after a load of %v", b.pace.shared.run, b.pace.shared.warm),
	})
	return strings.TrimSpace(out.String()) + "\n", err
}

func summary(verdicts []verdict) string {
	reached, beyond := 0, 0
	for _, v := range verdicts {
		switch {
		case v.met:
			reached++
		case v.beyond != "":
			beyond++
		}
	}
	text := fmt.Sprintf("What Nestor costs beside a plain Envoy, beside a processor that does nothing, and beside LiteLLM.\n"+
		"Of %d targets, each on each load that it speaks of, %d are reached", len(verdicts), reached)
	if beyond > 0 {
		text += fmt.Sprintf(";\na processor that does nothing, or asks for the usage of streams alone, misses %d of the others, too", beyond)
	}
	return text + "."
}

// command is what was run, without the paths of this machine.
func (b *bench) command() string {
	if !b.options.quick && b.options.skip == "" && b.options.loads == "" {
		return "make bench"
	}
	command := "go run ./test/bench"
	if b.options.quick {
		command += " -quick"
	}
	if b.options.loads != "" {
		command += " -loads " + strconv.Quote(b.options.loads)
	}
	if b.options.skip != "" {
		command += " -skip " + b.options.skip
	}
	return command
}

func (b *bench) versions() string {
	versions := []string{runtime.Version()}
	for _, name := range []string{"Envoy", "LiteLLM", "Redis", "wrk"} {
		if v := b.tools.versions[name]; v != "" {
			versions = append(versions, name+" "+v)
		}
	}
	return strings.Join(versions, ", ")
}

func (b *bench) runs() string {
	p := b.pace
	text := fmt.Sprintf("%d rounds of %v for each load, cut into %d slices in which the subjects take turns", p.light.rounds, p.light.run, p.light.slices)
	if b.tools.litellm != "" {
		text += fmt.Sprintf("; LiteLLM %d of %v", p.litellm.rounds, p.litellm.run)
	}
	return text + fmt.Sprintf("; streams every 10 ms at least %v", load{gap: 10 * time.Millisecond}.atLeast(0))
}

func targetTable(verdicts []verdict) string {
	var b strings.Builder
	b.WriteString("| target | wanted | load | measured | |\n|---|---|---|---|---|\n")
	for _, v := range verdicts {
		word := "reached"
		switch {
		case v.beyond != "":
			word = "beyond " + v.beyond
		case !v.met:
			word = "**not reached**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", v.what, v.limit, v.load, v.value, word)
	}
	return b.String()
}

func (b *bench) tables() string {
	var out strings.Builder
	for _, l := range loads() {
		fmt.Fprintf(&out, "### %s\n\n%s\n", l.title(), b.table(l))
	}
	return out.String()
}

func (l load) title() string {
	if l.stream {
		return fmt.Sprintf("S%s, %d events each", l.name[1:], events)
	}
	return "Requests of " + l.name
}

func (b *bench) table(l load) string {
	var out strings.Builder
	fmt.Fprintf(&out, "| | %ss/s | p50 | p99 | CPU Envoy | CPU processor | CPU a%s %s in all | memory Envoy | memory processor |\n", l.unit(), n(l), l.unit())
	out.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, name := range []string{"plain", "floor", "native", "asking", "nestor", "limits", "keys", "litellm"} {
		if samples := b.results[l.name][name]; len(samples) > 0 {
			out.WriteString(row(name, samples))
		}
	}
	return out.String()
}

func n(l load) string {
	if l.stream {
		return "n"
	}
	return ""
}
