package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit/redis"
	"github.com/nestor-gateway/nestor/routing/config"
)

// plain is redis.Settings without its methods, so that a difference shows.
type plain redis.Settings

func TestRedisOf(t *testing.T) {
	t.Setenv("REDIS_HOST", "e")
	t.Setenv("REDIS_PASSWORD", "pe")
	t.Setenv("REDIS_DB", "")
	at := config.Position{File: "c", Line: 1, Column: 1}
	for name, tc := range map[string]struct {
		settings settings
		redis    config.Redis
		want     redis.Settings
		prefix   string
	}{
		"nobody asks": {},
		"the setting": {settings{redisURL: "redis://s"}, config.Redis{At: at, Host: "c", Namespace: "n"}, redis.Settings{URL: "redis://s"}, "n:nestor"},
		"a prefix":    {settings{redisPrefix: "p"}, config.Redis{At: at, URL: "redis://c", Namespace: "n"}, redis.Settings{URL: "redis://c"}, "p"},
		"all keys": {settings{}, config.Redis{
			At: at, Host: "h", Port: 7, Username: "u", Password: "p", DB: 2, TLS: true, SkipVerify: true,
			Sentinels: []string{"s:1"}, Master: "m", SentinelPassword: "sp",
		}, redis.Settings{
			Host: "h", Port: 7, Username: "u", Password: "p", DB: 2, TLS: true, SkipVerify: true,
			Sentinels: []string{"s:1"}, Master: "m", SentinelUsername: "u", SentinelPassword: "sp",
		}, "nestor"},
		"nodes":           {settings{}, config.Redis{At: at, Nodes: []string{"a", "b"}, Variables: map[string]config.Secret{"REDIS_DB": "3"}}, redis.Settings{Nodes: []string{"a", "b"}, Host: "e", Password: "pe"}, "nestor"},
		"the environment": {settings{}, config.Redis{At: at}, redis.Settings{Host: "e", Password: "pe"}, "nestor"},
		"variables of the file": {settings{}, config.Redis{At: at, Variables: map[string]config.Secret{"REDIS_HOST": "f", "REDIS_USERNAME": "u"}},
			redis.Settings{Host: "e", Username: "u", Password: "pe"}, "nestor"},
	} {
		got, err := redisOf(tc.settings, &config.Config{Redis: tc.redis})
		if diff := cmp.Diff(plain(tc.want), plain(got.Settings)); diff != "" || err != nil || got.prefix != tc.prefix {
			t.Errorf("%s: prefix %q, want %q; %v (-want +got):\n%s", name, got.prefix, tc.prefix, err, diff)
		}
	}
}

func TestARedisThatCanNotBeIsRefusedAtItsPlace(t *testing.T) {
	const file = "c.yaml:3:4: "
	at := config.Position{File: "c.yaml", Line: 3, Column: 4}
	for _, tc := range []struct {
		settings settings
		redis    config.Redis
		want     string
	}{
		{settings{redisURL: "http://secret"}, config.Redis{At: at}, "redis: the URL must begin with redis://"},
		{settings{}, config.Redis{At: at, URL: "http://secret"}, file + "redis: the URL must begin with redis://"},
		{settings{}, config.Redis{At: at, Sentinels: []string{"s"}}, file + "redis: sentinels need the name of the master"},
		{settings{}, config.Redis{At: at, Host: "h", TLS: true, CA: "nowhere.pem"}, file + "redis: read authorities: open nowhere.pem"},
		{settings{}, config.Redis{At: at, Host: "h", Namespace: "{n}"}, file + `namespace: "{n}:nestor" can't begin a key in Redis`},
		{settings{}, config.Redis{At: at, Host: "h", Variables: map[string]config.Secret{"REDIS_PORT": "secret"}}, file + "REDIS_PORT is no number"},
	} {
		_, err := redisOf(tc.settings, &config.Config{Redis: tc.redis})
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %s...", err, tc.want)
		}
	}
}

func TestAReloadThatNamesAnotherRedisSaysSo(t *testing.T) {
	var logged bytes.Buffer
	g, path := loaded(t, ":4000", oneModel)
	g.log = slog.New(slog.NewTextHandler(&logged, nil))
	r := reloaderOf(t, g)
	write(t, path, another)
	r.reload(t.Context())
	if strings.Contains(logged.String(), "limits stay") {
		t.Error("nothing has moved: ", logged.String())
	}
	write(t, path, oneModel+"router_settings: {redis_url: 'redis://:secret@h:7/1', cache_kwargs: {namespace: n}}\n")
	r.reload(t.Context())
	const want = `now="no redis" config="redis at h:7, keys n:nestor:*"`
	if text := logged.String(); !strings.Contains(text, want) || strings.Contains(text, "secret") || !strings.Contains(text, "config reloaded") {
		t.Errorf("logged %s, want %s", text, want)
	}
	write(t, path, oneModel+"router_settings: {redis_url: 'http://h'}\n")
	r.reload(t.Context())
	if text := logged.String(); !strings.Contains(text, "config not reloaded") {
		t.Error("a Redis that can't be was taken: ", text)
	}
}
