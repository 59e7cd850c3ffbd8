package redis_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/ratelimit/redis"
)

// plain is Settings without its methods, so that a difference shows.
type plain redis.Settings

func TestEnvironmentFillsInWhatSettingsLeaveOpen(t *testing.T) {
	for name, tc := range map[string]struct {
		given redis.Settings
		env   map[string]string
		want  redis.Settings
	}{
		"nothing": {},
		"url": {
			env:  map[string]string{"REDIS_URL": "redis://h", "REDIS_PASSWORD": "p", "REDIS_SSL_CA_CERTS": "/ca"},
			want: redis.Settings{URL: "redis://h", CA: "/ca"},
		},
		"a host given beats the url": {
			given: redis.Settings{Host: "given"},
			env:   map[string]string{"REDIS_URL": "redis://h", "REDIS_HOST": "h", "REDIS_PASSWORD": "p"},
			want:  redis.Settings{Host: "given", Password: "p"},
		},
		"host": {
			env: map[string]string{"REDIS_HOST": "h", "REDIS_PORT": "7", "REDIS_USERNAME": "u", "REDIS_PASSWORD": "p", "REDIS_DB": "2",
				"REDIS_SSL": "True", "REDIS_SSL_CERT_REQS": "none"},
			want: redis.Settings{Host: "h", Port: 7, Username: "u", Password: "p", DB: 2, TLS: true, SkipVerify: true},
		},
		"what Kubernetes sets": {
			env:  map[string]string{"REDIS_HOST": "h", "REDIS_PORT": "tcp://10.0.0.1:6379"},
			want: redis.Settings{Host: "h"},
		},
		"cluster": {
			env:  map[string]string{"REDIS_CLUSTER_NODES": `[{"host": "a", "port": 7000}, {"host": "b", "port": "7001"}, {"host": "c"}]`},
			want: redis.Settings{Nodes: []string{"a:7000", "b:7001", "c"}},
		},
		"sentinels": {
			env: map[string]string{"REDIS_SENTINEL_NODES": `[["a", 26379], ["b", "26380"]]`, "REDIS_SERVICE_NAME": "m",
				"REDIS_SENTINEL_PASSWORD": "p"},
			want: redis.Settings{Sentinels: []string{"a:26379", "b:26380"}, Master: "m", SentinelPassword: "p"},
		},
	} {
		got, err := tc.given.WithEnvironment(func(name string) string { return tc.env[name] })
		if diff := cmp.Diff(plain(tc.want), plain(got)); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestEnvironmentSaysWhichVariableIsWrong(t *testing.T) {
	for name, value := range map[string]string{
		"REDIS_PORT": "70000", "REDIS_DB": "x", "REDIS_CLUSTER_NODES": "a:1", "REDIS_SENTINEL_NODES": `[["a"]]`,
	} {
		_, err := redis.Settings{Host: "h"}.WithEnvironment(func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		})
		if err == nil {
			t.Errorf("%s=%s was taken", name, value)
		}
	}
}
