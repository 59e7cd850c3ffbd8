package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"reflect"

	"github.com/nestor-gateway/nestor/ratelimit/redis"
	"github.com/nestor-gateway/nestor/routing/config"
)

// redisPlace is where replicas share limits: a Redis, and what their keys begin with.
type redisPlace struct {
	redis.Settings
	prefix string
}

// redisOf is the place where limits are shared, none where nobody asks for it. The setting goes before the config, and
// LiteLLM's REDIS_* variables fill in what the config leaves open. The error is a *config.Error where the config is at fault.
func redisOf(s settings, cfg *config.Config) (p redisPlace, err error) {
	c, atFault := cfg.Redis, true
	switch {
	case s.redisURL != "":
		p.Settings, atFault = redis.Settings{URL: s.redisURL}, false
	case c.At == (config.Position{}):
		return p, nil
	default:
		p.Settings, err = configured(c)
	}
	if err == nil && p.Given() {
		err = p.Check()
	}
	if p.prefix = s.redisPrefix; p.prefix == "" && err == nil {
		p.prefix, err = prefixOf(c)
	}
	if err != nil && atFault {
		err = &config.Error{Problems: []config.Diagnostic{{At: c.At, Message: err.Error()}}}
	}
	return p, err
}

// prefixOf is of the config's fleet: a namespace counts too where the setting says where Redis is.
func prefixOf(c config.Redis) (string, error) {
	if c.Namespace == "" {
		return redis.DefaultPrefix, nil
	}
	prefix := c.Namespace + ":" + redis.DefaultPrefix
	if err := redis.CheckPrefix(prefix); err != nil {
		return "", fmt.Errorf("namespace: %w", err)
	}
	return prefix, nil
}

// configured is the place of a config. As in LiteLLM, the sentinels know the user that Redis knows, and REDIS_DB does
// not count for a cluster.
func configured(c config.Redis) (redis.Settings, error) {
	place := redis.Settings{
		URL: c.URL.Reveal(), Host: c.Host, Port: c.Port, Nodes: c.Nodes, Sentinels: c.Sentinels, Master: c.Master,
		Username: c.Username, Password: c.Password.Reveal(), DB: c.DB, TLS: c.TLS, SkipVerify: c.SkipVerify, CA: c.CA,
		SentinelUsername: c.SentinelUsername, SentinelPassword: c.SentinelPassword.Reveal(),
	}
	place, err := place.WithEnvironment(func(name string) string {
		return cmp.Or(os.Getenv(name), c.Variables[name].Reveal())
	})
	if place.SentinelPassword != "" {
		place.SentinelUsername = cmp.Or(place.SentinelUsername, place.Username)
	}
	if len(place.Nodes) > 0 {
		place.DB = 0
	}
	return place, err
}

// tellUnshared says why limits are those of this process where one could think otherwise.
func tellUnshared(cfg *config.Config, log *slog.Logger) {
	const lost = "limits are not shared: "
	if at := cfg.Redis.At; at != (config.Position{}) {
		log.Warn(lost+"the config asks for Redis, and neither it nor a REDIS_* variable says where it is", "at", at.String())
		return
	}
	if place, _ := (redis.Settings{}).WithEnvironment(os.Getenv); place.Given() {
		log.Warn(lost+"a REDIS_* variable names a Redis, which the config does not ask for", "hint",
			"pass --redis-url, or write general_settings: {coordination_redis: {host: os.environ/REDIS_HOST}}")
	}
}

// tellMoved warns that a config that was read again names another place: limits stay where they are.
func (l *limits) tellMoved(now redisPlace, log *slog.Logger) {
	if !reflect.DeepEqual(l.place, now) {
		log.Warn("limits stay where they are until nestor is started again: the config names another Redis, or another way to it",
			"now", l.place.where(), "config", now.where())
	}
}

// where shows no credential.
func (p redisPlace) where() string {
	if !p.Given() {
		return "no redis"
	}
	return p.String() + ", keys " + p.prefix + ":*"
}
