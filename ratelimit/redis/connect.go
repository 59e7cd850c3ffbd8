package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Settings say where Redis is. The URL prevails, as with LiteLLM: beside it nothing counts but CA. Without one, Nodes
// make a cluster, Sentinels name a primary, and Host is a single server. Printing settings shows no secret.
type Settings struct {
	// URL is of one of the forms that Connect describes.
	URL string
	// Host is a name or an address; Port 0 is 6379.
	Host string
	Port int
	// Nodes are some nodes of a cluster, each host or host:port (6379).
	Nodes []string
	// Sentinels are each host or host:port (26379); Master is what they call the primary.
	Sentinels []string
	Master    string
	// Username is empty for the default user.
	Username, Password string
	// SentinelUsername and SentinelPassword are the sentinels' own; empty where they need none.
	SentinelUsername, SentinelPassword string
	// DB is the number of the database; a cluster has 0 alone.
	DB int
	// TLS says to speak it, with sentinels too.
	TLS bool
	// SkipVerify says to take whatever certificate the server shows.
	SkipVerify bool
	// CA is a PEM file of authorities to trust besides those of the system; empty for none.
	CA string
}

// Given says whether any place is named.
func (s Settings) Given() bool {
	return s.URL != "" || s.Host != "" || len(s.Nodes) > 0 || len(s.Sentinels) > 0
}

// timeout is how long a connection, a request or its answer may take: who waits for Redis longer than that
// is better off without it.
const timeout = 100 * time.Millisecond

// connections is the most to one server.
const connections = 32

// Connect returns a client that connects when it is first used, and again after a failure. Dialing, writing and reading
// take 100 ms at most each, a context's deadline holds, and on a single server nothing is sent twice. (On a cluster
// go-redis sends a command again after a failure of the network; so scripts must bear being repeated.)
//
// The forms of a URL, where s stands for TLS, and [user:password@] may stand before the host:
//
//	redis[s]://host[:port][/db]
//	unix:///path/of/socket[?db=db]
//	redis[s]+cluster://host[:port],host[:port]            any nodes of a cluster
//	redis[s]+sentinel://host[:port],host[:port]/master[/db]
//
// Several hosts, or addr=host:port in the query, are a cluster, and with master_name=name in the query sentinels,
// with the scheme redis too, as in go-redis; redis-sentinel and redis-cluster are the same as with a plus. More of the
// query: db, sentinel_username, sentinel_password, skip_verify=true or ssl_cert_reqs=none (as in LiteLLM), dial_timeout,
// read_timeout, write_timeout (durations, or seconds) and pool_size.
//
// Errors contain no credential.
func Connect(s Settings) (redis.UniversalClient, error) {
	options, err := s.options()
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return redis.NewUniversalClient(options), nil
}

// Check returns the error that Connect would; nothing is asked of Redis.
func (s Settings) Check() error {
	if _, err := s.options(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

func (s Settings) options() (*redis.UniversalOptions, error) {
	o := defaults()
	if s.URL != "" {
		parsed, err := parseURL(s.URL, o)
		if err != nil {
			return nil, err
		}
		parsed.CA = s.CA
		s = parsed
	}
	if err := s.place(o); err != nil {
		return nil, err
	}
	o.Username, o.Password, o.DB = s.Username, s.Password, s.DB
	o.SentinelUsername, o.SentinelPassword = s.SentinelUsername, s.SentinelPassword
	var err error
	o.TLSConfig, err = s.tls()
	return o, err
}

func defaults() *redis.UniversalOptions {
	return &redis.UniversalOptions{
		ClientName: "nestor", DisableIdentity: true,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		DialerRetries: 1, MaxRetries: -1, ContextTimeoutEnabled: true,
		PoolSize: connections, PipelinePoolSize: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// place fills in where to connect to.
func (s Settings) place(o *redis.UniversalOptions) error {
	switch {
	case len(s.Nodes) > 0 && s.DB != 0:
		return fmt.Errorf("database %d: a cluster has database 0 only", s.DB)
	case len(s.Nodes) > 0:
		o.Addrs, o.IsClusterMode = withPort(s.Nodes, "6379"), true
	case len(s.Sentinels) > 0 && s.Master == "":
		return errors.New("sentinels need the name of the master, which LiteLLM calls service_name")
	case len(s.Sentinels) > 0:
		o.Addrs, o.MasterName = withPort(s.Sentinels, "26379"), s.Master
	case strings.HasPrefix(s.Host, "/"): // go-redis takes it for a socket
		o.Addrs = []string{s.Host}
	case s.Host != "":
		o.Addrs = []string{net.JoinHostPort(strings.Trim(s.Host, "[]"), strconv.Itoa(cmp.Or(s.Port, 6379)))}
	default:
		return errors.New("no host is named")
	}
	return nil
}

// withPort adds a port to the hosts that have none.
func withPort(hosts []string, port string) []string {
	out := make([]string, len(hosts))
	for i, host := range hosts {
		out[i] = host
		if _, _, err := net.SplitHostPort(host); err != nil {
			out[i] = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
	}
	return out
}

// tls is nil for plain text. The name to verify is that of each address.
func (s Settings) tls() (*tls.Config, error) {
	if !s.TLS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: s.SkipVerify}
	if s.CA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		c.RootCAs = x509.NewCertPool()
	}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authorities: no certificate in %s", s.CA)
	}
	return c, nil
}

// String says where Redis is, and no credential.
func (s Settings) String() string {
	o, err := s.options()
	if err != nil {
		return "redis: " + err.Error()
	}
	at := "redis at "
	switch {
	case o.MasterName != "":
		at = "redis " + o.MasterName + " of sentinels at "
	case o.IsClusterMode:
		at = "redis cluster at "
	}
	return at + strings.Join(o.Addrs, ", ")
}

// GoString, LogValue and MarshalText are String, so that no way of printing shows a credential.
func (s Settings) GoString() string             { return s.String() }
func (s Settings) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Settings) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogTo sends what go-redis has to say, about each connection that fails, to a log at debug level instead of
// stderr. It holds for the whole process.
func LogTo(log *slog.Logger) { redis.SetLogger(logger{log}) }

type logger struct{ log *slog.Logger }

func (l logger) Printf(ctx context.Context, format string, args ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "redis: "+fmt.Sprintf(format, args...))
	}
}
