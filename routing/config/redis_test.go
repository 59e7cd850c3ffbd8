package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheFirstPlaceOfRedisIsTaken(t *testing.T) {
	const (
		router       = "router_settings: {redis_url: 'redis://:p@router', redis_password: p1}\n"
		coordination = "general_settings: {coordination_redis: {host: coordination, password: p2}}\n"
		cache        = "litellm_settings: {cache: true, cache_params: {type: redis, host: cache, password: p3}}\n"
		bare         = "litellm_settings: {cache: true}\nenvironment_variables: {REDIS_HOST: e, REDIS_PASSWORD: os.environ/KEY}\n"
	)
	at := func(line, column int) Position { return Position{File: "c", Line: line, Column: column} }
	none := map[string]Secret{}
	for name, tc := range map[string]struct {
		text string
		want Redis
	}{
		"router_settings":       {cache + coordination + router, Redis{At: at(3, 19), URL: "redis://:p@router", Password: "p1", Variables: none}},
		"coordination_redis":    {cache + coordination, Redis{At: at(2, 20), Host: "coordination", Password: "p2", Variables: none}},
		"cache_params":          {cache, Redis{At: at(1, 33), Host: "cache", Password: "p3", Variables: none}},
		"cache":                 {bare, Redis{At: at(1, 20), Variables: map[string]Secret{"REDIS_HOST": "e", "REDIS_PASSWORD": "k"}}},
		"only more about one":   {"router_settings: {redis_port: 1, redis_password: p, cache_kwargs: {host: h}}\n", Redis{}},
		"a cache that is off":   {"litellm_settings: {cache: false, cache_params: {type: redis, host: h}}\n", Redis{}},
		"a cache of text":       {"litellm_settings: {cache: 'true'}\n", Redis{}},
		"a cache of meanings":   {"litellm_settings: {cache: true, cache_params: {type: redis-semantic, host: h}}\n", Redis{}},
		"the environment alone": {"environment_variables: {REDIS_HOST: e}\n", Redis{}},
		"cache_kwargs first": {"router_settings: {cache_kwargs: {host: k, url: os.environ/KEY, sentinel_password: p}, redis_host: h, redis_port: 7}\n",
			Redis{At: at(1, 87), URL: "k", Host: "k", Port: 7, SentinelPassword: "p", Variables: none}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Decode("c", []byte(tc.text+"model_list: [{model_name: a, litellm_params: {model: openai/m}}]\n"), env(map[string]string{"KEY": "k"}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, cfg.Redis); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
