package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit/redis"
)

// settings are those of the process: from flags, else NESTOR_* variables, else the --settings file.
type settings struct {
	config         string
	listen         string
	grpcListen     string
	httpListen     string
	adminListen    string
	requestTimeout time.Duration
	grace          time.Duration
	signs          time.Duration
	bodyLimit      uint32
	envoy          string
	concurrency    int
	nodeID         string
	dataDir        string
	redisURL       string
	redisPrefix    string // empty: what the config says, else redis.DefaultPrefix
	advertise      string
	probeAddress   string // empty: listen
	freshLimits    bool
	metering       string
	logLevel       string
	logFormat      string
	allowAnonymous bool
}

// settingsFlags declares the flags that run and serve share.
func settingsFlags(f *pflag.FlagSet) {
	f.String("config", "", "LiteLLM's config.yaml (required)")
	f.String("settings", "", "a YAML file with these settings; flags and NESTOR_* variables go before it")
	f.String("listen", ":4000", "where clients connect; without a host: every address, or loopback only when no master key is set")
	f.String("grpc-listen", "127.0.0.1:4001", "where Envoy reaches the processor, its configuration, the access log and health")
	f.String("http-listen", "127.0.0.1:4002", "where Envoy reaches the HTTP port; /metrics is on this address only")
	f.Duration("request-timeout", 300*time.Second, "how long a client may take to send a request")
	f.Duration("grace", 30*time.Second, "how long requests in flight may take to end after SIGTERM")
	f.Duration("signs-of-life", nestorv1.SignInterval, "how often Envoy says of a request that it is in flight; after four times that without a sign, or the log entry "+
		"of its end, its place among max_parallel_requests is free; the same at all replicas")
	f.Uint32("body-limit", 32<<20, "largest request body, in bytes")
	f.String("data-dir", defaultDataDir(), "where Nestor keeps state of its own")
	f.Bool("fresh-limits", false, "a first start: where nothing is recorded of what limits were used, nothing was")
	f.String("redis-url", "", "the Redis through which replicas share limits and cooldowns (redis://, rediss://, redis+cluster://, redis+sentinel://); goes before the config's")
	f.String("redis-prefix", "", "what all keys in Redis begin with; the replicas of a fleet have the same, and no other fleet (default: nestor, after the namespace that the config names)")
	f.String("advertise", "", "HOST:PORT at which other replicas reach --grpc-listen (default: that, or an address of this machine)")
	meteringFlag(f)
	f.String("log-level", "info", "debug, info, warn or error")
	f.String("log-format", "text", "text or json")
	f.Bool("allow-anonymous", false, "serve every address without a master key")
}

func meteringFlag(f *pflag.FlagSet) {
	f.String("metering", "native", "who reads the usage of answers: filters inside Envoy (native), or the processor (inband), "+
		"for an Envoy that has one filter alone")
}

func isInband(metering string) (bool, error) {
	switch metering {
	case "native", "inband":
		return metering == "inband", nil
	}
	return false, fmt.Errorf("--metering %s is neither native nor inband", metering)
}

func serveFlags(f *pflag.FlagSet) {
	f.String("probe-address", "", "HOST:PORT at which /health reaches Envoy to probe deployments (default: --listen on this machine)")
}

func envoyFlags(f *pflag.FlagSet) {
	f.String("admin-listen", "127.0.0.1:0", "where Envoy's admin interface listens; port 0 is a free one")
	f.String("envoy", "", "the Envoy to run, at least 1.38 (default: $ENVOY, else envoy on the PATH)")
	f.Int("envoy-concurrency", 0, "Envoy's worker threads; 0: one a core")
}

// readSettings resolves the settings of a command.
func readSettings(c *cobra.Command) (settings, error) {
	v, err := environment(c)
	if err != nil {
		return settings{}, err
	}
	if path := v.GetString("settings"); path != "" {
		if err := fromFile(c.Flags(), path); err != nil {
			return settings{}, err
		}
	}
	s := settings{
		config:         v.GetString("config"),
		listen:         v.GetString("listen"),
		grpcListen:     v.GetString("grpc-listen"),
		httpListen:     v.GetString("http-listen"),
		adminListen:    v.GetString("admin-listen"),
		requestTimeout: v.GetDuration("request-timeout"),
		grace:          v.GetDuration("grace"),
		signs:          v.GetDuration("signs-of-life"),
		bodyLimit:      v.GetUint32("body-limit"),
		envoy:          v.GetString("envoy"),
		concurrency:    v.GetInt("envoy-concurrency"),
		dataDir:        v.GetString("data-dir"),
		redisURL:       v.GetString("redis-url"),
		redisPrefix:    v.GetString("redis-prefix"),
		advertise:      v.GetString("advertise"),
		probeAddress:   v.GetString("probe-address"),
		freshLimits:    v.GetBool("fresh-limits"),
		metering:       v.GetString("metering"),
		logLevel:       v.GetString("log-level"),
		logFormat:      v.GetString("log-format"),
		allowAnonymous: v.GetBool("allow-anonymous"),
	}
	return s, s.check()
}

// environment reads the flags of a command, and NESTOR_* variables for those not given.
func environment(c *cobra.Command) (*viper.Viper, error) {
	if err := fromEnvironment(c.Flags()); err != nil {
		return nil, err
	}
	v := viper.New()
	return v, v.BindPFlags(c.Flags())
}

func (s settings) check() error {
	if s.config == "" {
		return fmt.Errorf("no config: pass --config FILE or set NESTOR_CONFIG")
	}
	for _, a := range []struct{ flag, address string }{
		{"listen", s.listen}, {"grpc-listen", s.grpcListen}, {"http-listen", s.httpListen},
		{"probe-address", cmp.Or(s.probeAddress, s.listen)},
	} {
		if !isHostPort(a.address) {
			return fmt.Errorf("--%s %s is not HOST:PORT with a port from 1 to 65535", a.flag, a.address)
		}
	}
	if s.bodyLimit < 1<<10 || s.bodyLimit > 1<<30 {
		return fmt.Errorf("--body-limit %d is not between 1 KiB and 1 GiB", s.bodyLimit)
	}
	if s.signs < time.Second {
		return fmt.Errorf("--signs-of-life %s is less than a second", s.signs)
	}
	if s.redisPrefix != "" {
		if err := redis.CheckPrefix(s.redisPrefix); err != nil {
			return fmt.Errorf("--redis-prefix: %w", err)
		}
	}
	if _, err := isInband(s.metering); err != nil {
		return err
	}
	if s.requestTimeout <= 0 || s.grace <= 0 {
		return fmt.Errorf("--request-timeout and --grace must be more than 0")
	}
	return nil
}

// isHostPort reports whether an address has a port that others can know before something listens on it.
func isHostPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// defaultDataDir is $XDG_STATE_HOME/nestor, as the XDG base directory specification has it.
func defaultDataDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "nestor")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "nestor")
	}
	return filepath.Join(home, ".local", "state", "nestor")
}

// clientAddress is where clients connect. Without a master key it is loopback only,
// unless the user said otherwise in so many words.
func clientAddress(listen string, open, allowed bool) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("--listen %s is not HOST:PORT", listen)
	}
	switch {
	case host == "" && open && !allowed:
		return net.JoinHostPort("127.0.0.1", port), nil
	case host == "":
		return net.JoinHostPort("0.0.0.0", port), nil
	case open && !allowed && !isLoopback(host):
		return "", fmt.Errorf("--listen %s would let everybody in: set general_settings.master_key, "+
			"listen on 127.0.0.1, or pass --allow-anonymous", listen)
	}
	return listen, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
