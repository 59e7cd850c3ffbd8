package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nestor-gateway/nestor/envoy/process"
)

// litellmVersion is the LiteLLM that is installed when there is none yet.
const litellmVersion = "1.106.2"

// litellmOffline keeps LiteLLM from asking the network for prices as it starts.
const litellmOffline = "LITELLM_LOCAL_MODEL_COST_MAP=True"

// tools are the programs that the bench runs, and what they call themselves.
type tools struct {
	wrk          wrk
	nestor, noop string
	envoy        string
	litellm      string // empty when it is skipped
	redis        string // the same
	versions     map[string]string
}

func findTools(ctx context.Context, o options, dir string) (*tools, error) {
	t := &tools{versions: map[string]string{}}
	for _, find := range []func(context.Context, options, string) error{t.findNestor, t.findEnvoy, t.buildNoop, t.findWrk, t.findRedis, t.findLiteLLM} {
		if err := find(ctx, o, dir); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *tools) findNestor(_ context.Context, o options, _ string) error {
	path, err := exec.LookPath(o.nestor)
	if err != nil {
		return fmt.Errorf("no nestor: %w; build it with `make build`, or name it with -nestor", err)
	}
	t.nestor, err = filepath.Abs(path)
	return err
}

func (t *tools) findEnvoy(ctx context.Context, o options, _ string) error {
	path, version, err := process.FindBinary(ctx, o.envoy)
	t.envoy, t.versions["Envoy"] = path, version
	return err
}

func (t *tools) buildNoop(ctx context.Context, _ options, dir string) error {
	t.noop = filepath.Join(dir, "noop")
	_, err := output(ctx, "go", "build", "-o", t.noop, "github.com/nestor-gateway/nestor/test/bench/noop")
	return err
}

// findWrk installs wrk from the distribution where that is possible.
func (t *tools) findWrk(ctx context.Context, _ options, dir string) error {
	path, err := exec.LookPath("wrk")
	if err != nil && os.Geteuid() == 0 {
		fmt.Println("installing wrk")
		if _, err := output(ctx, "apt-get", "install", "-y", "-q", "wrk"); err != nil {
			return err
		}
		path, err = exec.LookPath("wrk")
	}
	if err != nil {
		return fmt.Errorf("no load generator: %w; install it with `apt-get install wrk`", err)
	}
	t.wrk = wrk{path: path, dir: dir}
	// wrk -v says its version, and fails.
	said, _ := exec.CommandContext(ctx, path, "-v").Output()
	if words := strings.Fields(string(said)); len(words) > 1 {
		t.versions["wrk"] = words[1]
	}
	return nil
}

// findRedis takes the redis-server of NESTOR_TEST_REDIS, else that which the tests get.
func (t *tools) findRedis(ctx context.Context, o options, _ string) error {
	if o.skips("redis") {
		return nil
	}
	path := os.Getenv("NESTOR_TEST_REDIS")
	if path == "" {
		out, err := output(ctx, filepath.Join("test", "tools", "get"), "redis")
		if err != nil {
			return fmt.Errorf("no redis-server: %w\nname one with NESTOR_TEST_REDIS, or pass -skip redis", err)
		}
		path = strings.TrimSpace(out)
	}
	said, err := output(ctx, path, "--version") // "Redis server v=7.0.15 sha=..."
	if _, rest, found := strings.Cut(said, " v="); found {
		t.versions["Redis"], _, _ = strings.Cut(rest, " ")
	}
	t.redis = path
	return err
}

// findLiteLLM takes the Python of NESTOR_LITELLM_PYTHON, else that of .tools/litellm, which it makes.
func (t *tools) findLiteLLM(ctx context.Context, o options, _ string) error {
	if o.skips("litellm") {
		return nil
	}
	python := os.Getenv("NESTOR_LITELLM_PYTHON")
	if python == "" {
		var err error
		if python, err = installLiteLLM(ctx, filepath.Join(".tools", "litellm")); err != nil {
			return err
		}
	}
	version, err := output(ctx, python, "-c",
		"import sys, importlib.metadata as m; print(m.version('litellm'), 'on Python', sys.version.split()[0])")
	if err != nil {
		return hint(err)
	}
	// It comes last: half an hour later is too late to learn that its proxy is not installed.
	if _, err := output(ctx, "env", litellmOffline, python, "-c", "import litellm.proxy.proxy_server"); err != nil {
		return hint(err)
	}
	t.versions["LiteLLM"] = strings.TrimSpace(version)
	t.litellm = filepath.Join(filepath.Dir(python), "litellm")
	return nil
}

func installLiteLLM(ctx context.Context, dir string) (python string, err error) {
	python = filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(filepath.Join(dir, "bin", "litellm")); err == nil {
		return python, nil
	}
	fmt.Println("installing LiteLLM", litellmVersion)
	if _, err := output(ctx, "python3", "-m", "venv", dir); err != nil {
		return "", hint(err)
	}
	_, err = output(ctx, python, "-m", "pip", "install", "--quiet", "litellm[proxy]=="+litellmVersion)
	return python, hint(err)
}

func hint(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\nname the Python of a LiteLLM with NESTOR_LITELLM_PYTHON, or pass -skip litellm", err)
}

// output runs a program to its end; an error says what it said.
func output(ctx context.Context, argv ...string) (string, error) {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	if err == nil {
		return string(out), nil
	}
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		out = failed.Stderr
	}
	return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
}
