package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nestor-gateway/nestor/test/bench/crew"
)

// bench is one measurement.
type bench struct {
	options options
	tools   *tools
	crew    *crew.Crew
	dir     string
	pace    pace
	results results
	shared  []shared
}

// sample is what a run of one load has measured, or a slice of it.
type sample struct {
	units    float64            // requests (events)
	rate     float64            // requests (events) a second
	p50, p99 time.Duration      // of whole answers
	cpu      map[string]float64 // of each part, in microseconds a request (event)
	memory   map[string]int64   // of each part after the run, in resident bytes
}

// results are the samples of each load's name and subject's name, in the order of the rounds.
type results map[string]map[string][]sample

func (r results) add(l load, s *subject, one sample) {
	if r[l.name] == nil {
		r[l.name] = map[string][]sample{}
	}
	r[l.name][s.name] = append(r[l.name][s.name], one)
}

// measureAll measures the light subjects in turn, and then LiteLLM on its own: idle or not, its
// workers would take time from the others.
func (b *bench) measureAll(ctx context.Context) error {
	mock, err := b.startMock(ctx)
	if err != nil {
		return fmt.Errorf("the mock provider: %w", err)
	}
	for i := range b.pace.light.rounds {
		fmt.Printf("round %d of %d\n", i+1, b.pace.light.rounds)
		if err := b.round(ctx, mock); err != nil {
			return err
		}
		b.crew.Stop(1) // the mock stays
	}
	if b.tools.redis != "" {
		if err := b.measureShared(ctx, mock); err != nil {
			return err
		}
		b.crew.Stop(1)
	}
	if b.tools.litellm == "" {
		return nil
	}
	return b.measureLiteLLM(ctx, mock)
}

// round starts the light subjects and gives them all loads. They are started anew for each round, as two processes of the
// very same program and configuration differ in what they cost for as long as they run.
func (b *bench) round(ctx context.Context, mock string) error {
	subjects, err := b.startAll(ctx, mock)
	if err != nil {
		return err
	}
	for _, l := range b.options.chosen() {
		if err := b.measure(ctx, l, meant(l, subjects), b.pace.light); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

func (b *bench) startAll(ctx context.Context, mock string) ([]*subject, error) {
	var subjects []*subject
	for _, s := range b.light(ctx) {
		if b.options.skips(s.name) {
			continue
		}
		one, err := s.start(mock)
		if err == nil {
			err = b.ready(ctx, one.address, b.pace.startup)
		}
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", s.name, err)
		}
		subjects = append(subjects, one)
	}
	return subjects, nil
}

func (b *bench) measureLiteLLM(ctx context.Context, mock string) error {
	s, err := b.litellm(mock)
	if err == nil {
		err = b.ready(ctx, s.address, b.pace.litellmStartup)
	}
	if err == nil {
		// One worker answers; the others may still be starting.
		err = crew.Pause(ctx, b.pace.litellmSettle)
	}
	if err != nil {
		return fmt.Errorf("start litellm: %w", err)
	}
	for _, l := range b.options.chosen() {
		for range b.pace.litellm.rounds {
			if err := b.measure(ctx, l, []*subject{s}, b.pace.litellm); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
	}
	return nil
}

// meant leaves out who has nothing new to say: of streams, limits and keys cost the same once for each; native and
// asking differ from the floor in streams alone.
func meant(l load, subjects []*subject) []*subject {
	idle := []string{"native", "asking"}
	if l.stream {
		idle = []string{"limits", "keys"}
	}
	return slices.DeleteFunc(slices.Clone(subjects), func(s *subject) bool { return slices.Contains(idle, s.name) })
}

// measure gives every subject the load, slice by slice in turn, and adds one sample of each.
func (b *bench) measure(ctx context.Context, l load, subjects []*subject, t series) error {
	wire, parts := map[*subject]int64{}, map[*subject][]sample{}
	for _, s := range subjects {
		size, err := b.warm(ctx, l, s, t)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		wire[s] = size
	}
	for range l.slices(t.slices) {
		for _, s := range subjects {
			one, err := b.sample(ctx, l, s, wire[s], l.atLeast(t.run/time.Duration(t.slices)))
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			parts[s] = append(parts[s], one)
		}
	}
	for _, s := range subjects {
		one := together(parts[s])
		b.results.add(l, s, one)
		fmt.Println(line(l, s.name, one))
	}
	return b.save()
}

// together is one sample of its slices: by all that was done, and the medians of times.
func together(parts []sample) sample {
	all := sample{cpu: map[string]float64{}, memory: parts[len(parts)-1].memory}
	var p50, p99 []float64
	for _, s := range parts {
		all.units += s.units
		all.rate += s.rate / float64(len(parts))
		p50, p99 = append(p50, float64(s.p50)), append(p99, float64(s.p99))
	}
	for _, s := range parts {
		for name, used := range s.cpu {
			all.cpu[name] += used * s.units / all.units
		}
	}
	all.p50, all.p99 = time.Duration(median(p50)), time.Duration(median(p99))
	return all
}

// warm asks once, and then for a time that is not counted. It returns the size of one answer on the wire.
func (b *bench) warm(ctx context.Context, l load, s *subject, t series) (wire int64, err error) {
	l = l.of(s)
	wire, err = ask(ctx, s.address, l)
	if err != nil {
		return 0, err
	}
	_, err = b.tools.wrk.run(ctx, s.address, l, max(t.warm, l.one()))
	if errors.Is(err, errNoAnswer) {
		err = nil // a slow one is warm all the same
	}
	return wire, err
}

// sample measures a slice of a run. wire is the size of one answer.
func (b *bench) sample(ctx context.Context, l load, s *subject, wire int64, run time.Duration) (sample, error) {
	l = l.of(s)
	before, err := crew.Read(s.parts)
	if err != nil {
		return sample{}, err
	}
	t, err := b.tools.wrk.run(ctx, s.address, l, run)
	if err != nil {
		return sample{}, err
	}
	// What is done after the answers, as reading the access log, belongs to them.
	if err := crew.Pause(ctx, b.pace.settle); err != nil {
		return sample{}, err
	}
	after, err := crew.Read(s.parts)
	if err != nil {
		return sample{}, err
	}
	used, err := after.Since(before)
	if err != nil {
		return sample{}, err
	}
	memory, err := after.Memory()
	return newSample(t, l.units(t, wire), used, memory), err
}

// units is what the CPU time is divided by: answers, or the events of streams. The events are counted
// in bytes, for a run ends in the middle of streams: their part of what arrived, with all that frames them.
func (l load) units(t tally, wire int64) float64 {
	if l.stream {
		return events * float64(t.Bytes) / float64(wire)
	}
	return float64(t.Requests)
}

func newSample(t tally, units float64, used map[string]time.Duration, memory map[string]int64) sample {
	s := sample{
		units: units, rate: units / (float64(t.Micros) / 1e6),
		p50: time.Duration(t.P50) * time.Microsecond,
		p99: time.Duration(t.P99) * time.Microsecond,
		cpu: map[string]float64{}, memory: memory,
	}
	for part, d := range used {
		s.cpu[part] = float64(d.Nanoseconds()) / 1e3 / units
	}
	return s
}

// total is the CPU time of all parts, in microseconds a request (event).
func (s sample) total() float64 {
	var sum float64
	for _, micros := range s.cpu {
		sum += micros
	}
	return sum
}
