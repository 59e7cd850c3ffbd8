package redis_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/nestor-gateway/nestor/ratelimit/redis"
	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

// connected is what a test compares of a client.
type connected struct {
	Kind               string
	Addrs              []string
	Username, Password string
	DB                 int
	TLS, SkipVerify    bool
	Read               time.Duration
}

func describe(t *testing.T, s redis.Settings) connected {
	t.Helper()
	client, err := redis.Connect(s)
	if err != nil {
		t.Fatalf("%v: %v", s, err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if c, ok := client.(*goredis.ClusterClient); ok {
		o := c.Options()
		return withTLS(connected{Kind: "cluster", Addrs: o.Addrs, Username: o.Username, Password: o.Password, Read: o.ReadTimeout}, o.TLSConfig)
	}
	o := client.(*goredis.Client).Options()
	kind := "single"
	if o.Addr == "FailoverClient" {
		kind = "sentinel"
	}
	return withTLS(connected{kind, []string{o.Addr}, o.Username, o.Password, o.DB, false, false, o.ReadTimeout}, o.TLSConfig)
}

func withTLS(c connected, with *tls.Config) connected {
	c.TLS, c.SkipVerify = with != nil, with != nil && with.InsecureSkipVerify
	return c
}

func TestConnectReadsURLs(t *testing.T) {
	const pause = 100 * time.Millisecond
	single := func(addr string) connected {
		return connected{Kind: "single", Addrs: []string{addr}, Read: pause}
	}
	cluster := connected{Kind: "cluster", Addrs: []string{"a:7000", "b:6379"}, Username: "u", Password: "p", Read: pause}
	sentinel := connected{Kind: "sentinel", Addrs: []string{"FailoverClient"}, Username: "u", Password: "p", DB: 2, Read: pause}
	full := connected{Kind: "single", Addrs: []string{"h:1"}, Username: "u", Password: "p@:/", DB: 3, TLS: true, Read: pause}
	for url, want := range map[string]connected{
		"redis://":                                single("localhost:6379"),
		"redis://h":                               single("h:6379"),
		"redis://[::1]:7000/":                     single("[::1]:7000"),
		"redis://[::1]":                           single("[::1]:6379"),
		"REDIS://h?ssl_cert_reqs=required":        single("h:6379"),
		"unix:///run/redis.sock":                  single("/run/redis.sock"),
		"unix://u:p@/r.sock?db=2":                 {Kind: "single", Addrs: []string{"/r.sock"}, Username: "u", Password: "p", DB: 2, Read: pause},
		"rediss://u:p%40%3A%2F@h:1/3":             full,
		"rediss://u:p@:/@h:1/3":                   full,
		"rediss://:p@h?ssl_cert_reqs=none":        {Kind: "single", Addrs: []string{"h:6379"}, Password: "p", TLS: true, SkipVerify: true, Read: pause},
		"redis://h?db=4&read_timeout=2":           {Kind: "single", Addrs: []string{"h:6379"}, DB: 4, Read: 2 * time.Second},
		"redis+cluster://u:p@a:7000,b":            cluster,
		"redis-cluster://u:p@a:7000?addr=b":       cluster,
		"redis://u:p@a:7000,b":                    cluster,
		"redis://u:p@a:7000?addr=b:6379":          cluster,
		"rediss+cluster://a":                      {Kind: "cluster", Addrs: []string{"a:6379"}, TLS: true, Read: pause},
		"redis+sentinel://u:p@a,b:1/main/2":       sentinel,
		"redis-sentinel://u:p@a/2?master_name=m":  sentinel,
		"redis://u:p@a/2?master_name=m&addr=b:12": sentinel,
	} {
		if diff := cmp.Diff(want, describe(t, redis.Settings{URL: url})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", url, diff)
		}
	}
}

func TestConnectReadsSettings(t *testing.T) {
	const pause = 100 * time.Millisecond
	for _, tc := range []struct {
		settings redis.Settings
		want     connected
	}{
		{redis.Settings{Host: "h", Password: "p", DB: 1}, connected{Kind: "single", Addrs: []string{"h:6379"}, Password: "p", DB: 1, Read: pause}},
		{redis.Settings{Host: "::1", Port: 7, TLS: true}, connected{Kind: "single", Addrs: []string{"[::1]:7"}, TLS: true, Read: pause}},
		{redis.Settings{Nodes: []string{"a", "b:1"}}, connected{Kind: "cluster", Addrs: []string{"a:6379", "b:1"}, Read: pause}},
		{redis.Settings{Sentinels: []string{"a"}, Master: "m"}, connected{Kind: "sentinel", Addrs: []string{"FailoverClient"}, Read: pause}},
		{redis.Settings{URL: "redis://a", Host: "b", Password: "p", DB: 1}, connected{Kind: "single", Addrs: []string{"a:6379"}, Read: pause}},
	} {
		if diff := cmp.Diff(tc.want, describe(t, tc.settings)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.settings, diff)
		}
	}
}

func TestConnectRefusesWithoutShowingTheSecret(t *testing.T) {
	for _, s := range []redis.Settings{
		{},
		{Password: "secret"},
		{URL: "secret"},
		{URL: "http://u:secret@h"},
		{URL: "redis://u:secret%zz@h"},
		{URL: "redis://u:sec?secret@h"},
		{URL: "redis://u:sec?secret&x@h"},
		{URL: "redis://u:secret@h:port"},
		{URL: "redis://u:secret@h/secret"},
		{URL: "redis://u:secret@h?retries=1"},
		{URL: "redis://u:secret@h?sentinel_password=%secret"},
		{URL: "redis://u:secret@h?pool_size=0"},
		{URL: "redis://u:secret@h?read_timeout=0"},
		{URL: "redis+sentinel://u:secret@h"},
		{URL: "redis+cluster://u:secret@h/1"},
		{URL: "unix://u:secret@path"},
		{Host: "h", Password: "secret", TLS: true, CA: "/nowhere"},
		{Host: "h", Password: "secret", TLS: true, CA: "connect_test.go"},
	} {
		_, err := redis.Connect(s)
		if err == nil {
			t.Errorf("%v: no error", s)
		} else if strings.Contains(err.Error(), "secret") {
			t.Error("shows the secret:", err)
		}
	}
}

func TestSettingsDoNotPrintTheSecret(t *testing.T) {
	s := redis.Settings{URL: "rediss+sentinel://u:secret@a,b:1/main?sentinel_password=secret", Password: "secret"}
	const want = "redis main of sentinels at a:26379, b:1"
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "settings", s)
	if got := fmt.Sprintf("%v|%+v|%#v|%s", s, s, s, s); got != strings.Repeat("|"+want, 4)[1:] {
		t.Error("printed", got)
	}
	if !strings.Contains(logged.String(), want) || strings.Contains(logged.String(), "secret") {
		t.Error("logged", logged.String())
	}
}

func TestConnectReachesEveryKindOfServer(t *testing.T) {
	t.Parallel()
	secure, single, watched, nodes := redistest.Secure(t), redistest.Single(t), redistest.Sentinel(t), redistest.Cluster(t)
	for name, s := range map[string]redis.Settings{
		"single":   {URL: single.URL()},
		"secure":   {URL: secure.URL(), CA: secure.CA},
		"verify":   {URL: secure.URL() + "?skip_verify=true"},
		"sentinel": {URL: "redis+sentinel://" + strings.Join(watched.Addresses(), ",") + "/" + redistest.Master},
		"cluster":  {URL: "redis+cluster://" + nodes.Addresses()[1]},
	} {
		if err := ping(t, s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ping(t, redis.Settings{URL: secure.URL()}); err == nil {
		t.Error("a certificate that nobody trusts was taken")
	}
	wrong := redis.Settings{URL: strings.Replace(secure.URL(), "@", "secret@", 1), CA: secure.CA}
	if err := ping(t, wrong); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error("a wrong password:", err)
	}
}

func TestAHangingServerHoldsNobodyUp(t *testing.T) {
	server := redistest.Single(t)
	client := connect(t, redis.Settings{URL: server.URL()})
	if err := client.Ping(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	defer server.Resume()
	before := time.Now()
	err := client.Ping(context.Background()).Err()
	if took := time.Since(before); err == nil || took > time.Second {
		t.Errorf("%v after %v, want an error after about 100 ms", err, took)
	}
}

func connect(t testing.TB, s redis.Settings) goredis.UniversalClient {
	t.Helper()
	client, err := redis.Connect(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func ping(t *testing.T, s redis.Settings) error {
	t.Helper()
	return connect(t, s).Set(context.Background(), "key", "value", 0).Err()
}
