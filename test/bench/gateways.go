package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/test/bench/crew"
)

// starter starts one subject in front of the mock. It need not wait until the subject serves.
type starter struct {
	name  string
	start func(mock string) (*subject, error)
}

// light are the subjects that are measured in turn.
func (b *bench) light(ctx context.Context) []starter {
	keys := func(mock string) (*subject, error) { return b.keys(ctx, mock) }
	return []starter{{"plain", b.plain}, {"floor", b.floor}, {"native", b.native}, {"asking", b.asking}, {"nestor", b.nestor}, {"limits", b.limits}, {"keys", keys}}
}

// startMock starts the provider that all subjects have behind them, and returns its address.
func (b *bench) startMock(ctx context.Context) (string, error) {
	at, err := crew.FreeAddresses(1)
	if err != nil {
		return "", err
	}
	if _, err := b.crew.Start("mock", nil, b.tools.nestor, "mock", "--listen", at[0], "--record", "0"); err != nil {
		return "", err
	}
	return at[0], b.ready(ctx, at[0], b.pace.startup)
}

// ready waits until the address gives a right answer.
func (b *bench) ready(ctx context.Context, address string, limit time.Duration) error {
	return b.crew.Await(ctx, limit, func(ctx context.Context) error {
		_, err := ask(ctx, address, loads()[0])
		return err
	})
}

func (b *bench) plain(mock string) (*subject, error) {
	at, err := crew.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	config, err := plainFile(b.dir, at[0], mock)
	if err != nil {
		return nil, err
	}
	p, err := b.startEnvoy("plain", config)
	if err != nil {
		return nil, err
	}
	return &subject{name: "plain", address: at[0], parts: []crew.Part{crew.Alone(envoyPart, p)}}, nil
}

func (b *bench) floor(mock string) (*subject, error) { return b.startFloor("floor", floorConfig, mock) }

// native is the floor with a filter of Envoy's own that reads the usage of streams.
func (b *bench) native(mock string) (*subject, error) {
	return b.startFloor("native", nativeConfig, mock)
}

// asking is the floor with a processor that asks for the usage of streams.
func (b *bench) asking(mock string) (*subject, error) {
	s, err := b.startFloor("asking", floorConfig, mock, "-usage")
	if err != nil {
		return nil, err
	}
	s.usage = true
	return s, nil
}

type configure func(listen, processor string, u routing.Upstream) ([]byte, error)

func (b *bench) startFloor(name string, configure configure, mock string, flags ...string) (*subject, error) {
	at, err := crew.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	upstream, err := upstreamAt(mock)
	if err != nil {
		return nil, err
	}
	command := append([]string{b.tools.noop, "-listen", at[1], "-cluster", upstream.Name, "-path", chatPath}, flags...)
	noop, err := b.crew.Start(name+"-noop", nil, command...)
	if err != nil {
		return nil, err
	}
	config, err := configure(at[0], at[1], upstream)
	if err != nil {
		return nil, err
	}
	path, err := write(b.dir, name+".json", config)
	if err != nil {
		return nil, err
	}
	p, err := b.startEnvoy(name, path)
	if err != nil {
		return nil, err
	}
	return &subject{name: name, address: at[0], parts: []crew.Part{crew.Alone(envoyPart, p), crew.Alone(processorPart, noop)}}, nil
}

func (b *bench) startEnvoy(name, config string) (*crew.Process, error) {
	return b.crew.Start(name, nil, b.tools.envoy, "--config-path", config, "--disable-hot-restart", "--use-dynamic-base-id",
		"--concurrency", strconv.Itoa(b.options.workers))
}

func (b *bench) nestor(mock string) (*subject, error) { return b.startNestor("nestor", nested(mock)) }

// limits is Nestor with limits at every place where one can stand, kept in memory.
func (b *bench) limits(mock string) (*subject, error) { return b.startNestor("limits", limited(mock)) }

// keys is limits for clients with a virtual key.
func (b *bench) keys(ctx context.Context, mock string) (*subject, error) {
	s, err := b.startNestor("keys", keyed(mock))
	if err != nil {
		return nil, err
	}
	err = b.crew.Await(ctx, b.pace.startup, func(ctx context.Context) (err error) {
		s.key, err = newKey(ctx, s.address)
		return err
	})
	return s, err
}

// startNestor starts one with a config of its own.
func (b *bench) startNestor(name, text string, flags ...string) (*subject, error) {
	at, err := crew.FreeAddresses(3)
	if err != nil {
		return nil, err
	}
	config, err := write(b.dir, name+".yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(b.dir, name+"-data-") // what an earlier one counted is not for this one
	if err != nil {
		return nil, err
	}
	argv := []string{b.tools.nestor, "run", "--config", config, "--listen", at[0], "--grpc-listen", at[1], "--http-listen", at[2],
		"--data-dir", data, "--fresh-limits", "--envoy", b.tools.envoy,
		"--envoy-concurrency", strconv.Itoa(b.options.workers), "--grace", "5s"}
	p, err := b.crew.Start(name, nil, append(argv, flags...)...)
	if err != nil {
		return nil, err
	}
	return &subject{name: name, address: at[0], parts: []crew.Part{crew.Children(envoyPart, p), crew.Alone(processorPart, p)}}, nil
}

// litellm gives its workers the time that they need to start together.
func (b *bench) litellm(mock string) (*subject, error) {
	at, err := crew.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	config, err := write(b.dir, "flat.yaml", []byte(flat(mock)))
	if err != nil {
		return nil, err
	}
	env := []string{litellmOffline, "LITELLM_MODE=PRODUCTION", "LITELLM_LOG=ERROR"}
	_, port, err := net.SplitHostPort(at[0])
	if err != nil {
		return nil, err
	}
	p, err := b.crew.Start("litellm", env, b.tools.litellm, "--config", config, "--host", "127.0.0.1", "--port", port,
		"--num_workers", strconv.Itoa(b.options.workers), "--telemetry", "False", "--timeout_worker_healthcheck", "120")
	if err != nil {
		return nil, err
	}
	return &subject{name: "litellm", address: at[0], parts: []crew.Part{crew.Whole(processorPart, p)}}, nil
}
