package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/test/bench/crew"
)

// shared is what one limit costs that replicas keep in Redis.
type shared struct {
	rate          rate
	memory, redis []time.Duration // p50 of each round, with the limit in memory and in Redis
	requests      int
	commands      int64 // that Redis was given for those
}

// measureShared compares limits in memory with limits in Redis.
func (b *bench) measureShared(ctx context.Context, mock string) error {
	redis, err := b.startRedis(ctx)
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	for _, r := range rates() {
		one := shared{rate: r}
		for left := b.pace.light.rounds - 1; left >= 0; left-- {
			if err := b.sharedRound(ctx, mock, redis, &one, left == 0); err != nil {
				return fmt.Errorf("limits in Redis, %s: %w", r.name(), err)
			}
			b.crew.Stop(2) // the mock and Redis stay
		}
		b.shared = append(b.shared, one)
		fmt.Println(one.line())
	}
	return b.save()
}

func (b *bench) startRedis(ctx context.Context) (string, error) {
	at, err := crew.FreeAddresses(1)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(at[0])
	if err != nil {
		return "", err
	}
	if _, err := b.crew.Start("redis", nil, b.tools.redis, "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", b.dir); err != nil {
		return "", err
	}
	return at[0], b.crew.Await(ctx, b.pace.startup, func(context.Context) error { _, err := readCommands(at[0]); return err })
}

// sharedRound starts a pair anew and adds a p50 of each, slice by slice in turn. The last pair tells how many commands
// Redis is given.
func (b *bench) sharedRound(ctx context.Context, mock, redis string, s *shared, last bool) error {
	local, err := b.limitedTo(ctx, mock, s.rate, "memory")
	if err != nil {
		return err
	}
	defer local.close()
	remote, err := b.limitedTo(ctx, mock, s.rate, "redis", "--redis-url", "redis://"+redis)
	if err != nil {
		return err
	}
	defer remote.close()
	pair, t := []*tempo{local, remote}, b.pace.light
	for _, one := range pair {
		if _, err := one.run(ctx, s.rate, t.warm); err != nil {
			return err
		}
	}
	all := map[*tempo][]time.Duration{}
	for range t.slices {
		for _, one := range pair {
			took, err := one.run(ctx, s.rate, t.run/time.Duration(t.slices))
			if err != nil {
				return err
			}
			all[one] = append(all[one], took...)
		}
	}
	s.memory, s.redis = append(s.memory, medianTime(all[local])), append(s.redis, medianTime(all[remote]))
	if !last {
		return nil
	}
	return b.countCommands(ctx, remote, redis, s)
}

func medianTime(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

// countCommands counts when the load has filled a whole window. The limit in memory has none meanwhile.
func (b *bench) countCommands(ctx context.Context, remote *tempo, redis string, s *shared) error {
	if _, err := remote.run(ctx, s.rate, b.pace.shared.warm); err != nil {
		return err
	}
	before, err := readCommands(redis)
	if err != nil {
		return err
	}
	took, err := remote.run(ctx, s.rate, b.pace.shared.run)
	if err != nil {
		return err
	}
	after, err := readCommands(redis)
	s.requests, s.commands = len(took), after.since(before)
	return err
}

// limitedTo starts a nestor with one limit, and waits until it serves.
func (b *bench) limitedTo(ctx context.Context, mock string, r rate, name string, flags ...string) (*tempo, error) {
	name += strconv.Itoa(r.rpm)
	config := modelList(entry{"fast", fmt.Sprintf("{model: openai/gpt-4o, api_base: \"http://%s/v1\", api_key: sk-upstream, rpm: %d}", mock, r.rpm)})
	s, err := b.startNestor(name, config, flags...)
	if err != nil {
		return nil, err
	}
	if err := b.ready(ctx, s.address, b.pace.startup); err != nil {
		return nil, err
	}
	return newTempo(s.address)
}

// added is how much longer the median answer takes by Redis, of each round, in milliseconds.
func (s shared) added() (ms []float64) {
	for i := range min(len(s.memory), len(s.redis)) {
		ms = append(ms, float64(s.redis[i]-s.memory[i])/float64(time.Millisecond))
	}
	return ms
}

func (s shared) perRequest() float64 { return float64(s.commands) / float64(max(s.requests, 1)) }

func (s shared) line() string {
	return fmt.Sprintf("%-36s p50 memory %s ms, redis %s ms  commands a request %.3f (%d for %d)", s.rate.name(),
		short(median(milliseconds(s.memory))), short(median(milliseconds(s.redis))), s.perRequest(), s.commands, s.requests)
}

func milliseconds(times []time.Duration) (ms []float64) {
	for _, t := range times {
		ms = append(ms, float64(t)/float64(time.Millisecond))
	}
	return ms
}

// judgeShared holds the targets of limits in Redis against what was measured.
func judgeShared(all []shared) (verdicts []verdict) {
	for _, s := range all {
		if s.rate.connections == 1 {
			ms := s.added()
			middle := median(ms)
			verdicts = append(verdicts, verdict{"What Redis adds to p50, over limits in memory", "<= 0.2 ms", s.rate.name() + ", 1 connection",
				fmt.Sprintf("%.2f ms (%.2f to %.2f)", middle, slices.Min(ms), slices.Max(ms)), middle <= 0.2, ""})
		}
		verdicts = append(verdicts, verdict{"Commands to Redis, a request and limit", fmt.Sprintf("<= %.2f", s.rate.most), s.rate.name(),
			fmt.Sprintf("%.3f", s.perRequest()), s.perRequest() <= s.rate.most, ""})
	}
	return verdicts
}

// sharedTable is the section of the report; empty when nothing was measured.
func sharedTable(all []shared) string {
	var out strings.Builder
	for _, s := range all {
		fmt.Fprintf(&out, "| %d | %s ms | %s ms | %d | %d | %.3f |\n", s.rate.rpm, short(median(milliseconds(s.memory))),
			short(median(milliseconds(s.redis))), s.requests, s.commands, s.perRequest())
	}
	return out.String()
}
