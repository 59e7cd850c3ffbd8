package config

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/known"
	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// Redis says where the Redis is through which LiteLLM's router would share limits and cooldowns. That is the
// first of these which the file has (LiteLLM 1.106):
//
//  1. router_settings: redis_url or redis_host, with redis_port, redis_password and redis_db; what cache_kwargs
//     has goes before those (router.py, Router.__init__). LiteLLM asks for redis_port beside redis_host.
//  2. general_settings.coordination_redis (proxy_server.py, _init_coordination_redis; load_config hands it to a
//     router that has none).
//  3. litellm_settings.cache: true with cache_params of the type redis, or without any (init_cache, the same).
//     Only the place counts: answers are not cached.
//
// Within one of them nodes of a cluster go before a URL, and a URL before all the rest (_redis.py,
// _get_redis_client_logic). There LiteLLM also takes what is left open from variables named REDIS_*; that is for the
// caller to do. LiteLLM 1.106 uses those variables even where the file has none of the three; that is not meant here.
type Redis struct {
	// At is the key that asks for Redis; the zero value: none does.
	At  Position
	URL Secret
	// Host may be empty even if At is not: then the environment must say where.
	Host string
	// Port is 0 when not given.
	Port             int
	Username         string
	Password         Secret
	DB               int
	TLS, SkipVerify  bool
	CA               string   // a PEM file
	Nodes, Sentinels []string // host or host:port
	Master           string   // service_name
	SentinelUsername string   // Nestor's own key: LiteLLM uses Username
	SentinelPassword Secret
	// Namespace begins all keys, as in LiteLLM.
	Namespace string
	// Variables are the REDIS_* of environment_variables: they stand in for those that are not set.
	Variables map[string]Secret
}

func (r *Redis) asked() bool { return r.At != (Position{}) }

func (r *Redis) named() bool {
	return r.URL != "" || r.Host != "" || len(r.Nodes) > 0 || len(r.Sentinels) > 0
}

// redisPlaces are those that a file names.
type redisPlaces struct {
	router, coordination, cache Redis
	// kwargs is cache_kwargs; loose is the first key of router_settings that only says more about a place.
	kwargs, loose *tree.Pair
	// caching is the key of cache: true, params are its cache_params.
	caching, params *tree.Pair
}

// chosenRedis takes the first place, when all sections have been read.
func (d *decoder) chosenRedis() {
	p := &d.redis
	d.cacheRedis()
	switch {
	case p.router.asked():
		d.cfg.Redis = p.router
		if p.coordination.asked() {
			d.report.Warn(p.coordination.At, "", "coordination_redis is not used: limits are shared through the Redis of router_settings")
		}
	case p.coordination.asked():
		d.cfg.Redis = p.coordination
	default:
		d.cfg.Redis = p.cache
	}
	if p.loose != nil && !p.router.asked() {
		d.report.Warn(p.loose.Key.At, "write redis_host and redis_port, or redis_url, beside it",
			"%s has no effect: router_settings names no redis_host and no redis_url", p.loose.Key.Text)
	}
	if r := &d.cfg.Redis; r.asked() {
		r.Variables = d.redisVariables()
		if len(r.Nodes) > 0 {
			r.URL, r.DB = "", 0
		}
	}
}

func (d *decoder) redisVariables() map[string]Secret {
	all := map[string]Secret{}
	for name, text := range d.variables {
		if strings.HasPrefix(name, "REDIS_") {
			all[name] = Secret(text)
		}
	}
	return all
}

// routerRedis reads the keys of router_settings about Redis.
func (d *decoder) routerRedis(f tree.Pair) bool {
	r := &d.redis
	name, ok := strings.CutPrefix(f.Key.Text, "redis_")
	switch {
	case f.Key.Text == "cache_kwargs" && f.Value.IsOff():
		return true
	case f.Key.Text == "cache_kwargs":
		r.kwargs = &f
	case ok && d.known.Router.IsSupported(f.Key.Text):
		d.redisKey(name, f, &r.router)
	case ok && d.known.Redis.IsSupported(name):
		d.report.Problem(f.Key.At, "write it under cache_kwargs, as "+name, "%s is not known in router_settings", tree.QuoteKey(f.Key.Text))
		return true
	default:
		return false
	}
	if name == "url" || name == "host" {
		r.router.At = f.Key.At
	} else if r.loose == nil {
		r.loose = &f
	}
	return true
}

// routerKwargs reads cache_kwargs, which count only beside a place.
func (d *decoder) routerKwargs() {
	if p := &d.redis; p.kwargs != nil && p.router.asked() {
		d.redisKeys(*p.kwargs, &p.router)
	}
}

// coordinationRedis reads general_settings.coordination_redis.
func (d *decoder) coordinationRedis(f tree.Pair) {
	r, before := &d.redis.coordination, d.report.Found()
	r.At = f.Key.At
	d.redisKeys(f, r)
	if !r.named() && d.report.Found() == before {
		d.report.Problem(f.Key.At, "write host, url, startup_nodes or sentinel_nodes into it", "coordination_redis does not say where Redis is")
	}
}

// caching notes the keys of litellm_settings that may name a Redis.
func (d *decoder) caching(f tree.Pair) {
	switch f.Key.Text {
	case "cache":
		on, isBool := tree.Boolean(f.Value.Text)
		d.redis.caching = nil
		if isBool && on && f.Value.Plain && f.Value.Kind == tree.Scalar {
			d.redis.caching = &f
		}
	case "cache_params":
		d.redis.params = &f
	}
}

// cacheRedis reads cache_params where their Redis is the one that the router would use.
func (d *decoder) cacheRedis() {
	p := &d.redis
	if p.caching == nil || p.router.asked() || p.coordination.asked() {
		return
	}
	if p.params == nil || p.params.Value.IsOff() {
		p.cache.At = p.caching.Key.At
		return
	}
	kind := p.params.Value.Get("type")
	if kind == nil {
		return // LiteLLM then caches in memory
	}
	if text, _, ok := d.resolve("type", kind, "text"); ok && text == "redis" {
		p.cache.At = p.params.Key.At
		d.redisKeys(*p.params, &p.cache)
	}
}

func (d *decoder) redisKeys(section tree.Pair, r *Redis) {
	s := d.known.Redis
	s.Name = section.Key.Text
	if section.Key.Text == "cache_params" {
		s = d.known.CacheParams
	}
	for _, f := range d.fields(s.Name, section.Value) {
		if !d.redisKey(f.Key.Text, f, r) {
			d.unsupported(&s, f)
		}
	}
}

// redisKey reads one key by the name that it has for LiteLLM's client.
func (d *decoder) redisKey(name string, f tree.Pair, r *Redis) bool {
	key, v := f.Key.Text, f.Value
	if to := r.texts()[name]; to != nil {
		d.text(key, v, to)
		return true
	}
	switch name {
	case "url":
		d.secret(key, v, &r.URL)
	case "password":
		d.secret(key, v, &r.Password)
	case "sentinel_password":
		d.secret(key, v, &r.SentinelPassword)
	case "port":
		d.port(key, v, &r.Port)
	case "db":
		var n *int
		if whole(d, key, v, 0, &n); n != nil {
			r.DB = *n
		}
	case "ssl":
		d.flag(key, v, &r.TLS)
	case "ssl_cert_reqs":
		var word string
		d.choice(key, v, known.CertificateChecks, &word)
		r.SkipVerify = word == "none"
	case "startup_nodes", "redis_startup_nodes":
		r.Nodes = d.hosts(key, v)
	case "sentinel_nodes":
		r.Sentinels = d.hosts(key, v)
	default:
		return false
	}
	return true
}

func (r *Redis) texts() map[string]*string {
	return map[string]*string{
		"host": &r.Host, "username": &r.Username, "ssl_ca_certs": &r.CA, "service_name": &r.Master,
		"sentinel_username": &r.SentinelUsername, "namespace": &r.Namespace,
	}
}

func (d *decoder) port(key string, v *tree.Node, to *int) {
	var n *int
	whole(d, key, v, 0, &n)
	switch {
	case n == nil:
	case *n == 0 || *n > 65535:
		d.report.Problem(v.At, "write a number from 1 to 65535", "%s is no port", key)
	default:
		*to = *n
	}
}

// hosts reads a list of {host: h, port: 6379} or [h, 26379], which may also be JSON in a text, as variables have it.
func (d *decoder) hosts(key string, v *tree.Node) []string {
	if v.Kind == tree.Scalar {
		if v = d.jsonList(key, v); v == nil {
			return nil
		}
	}
	items, _ := d.list(key, v)
	var all []string
	for _, item := range items {
		if host := d.host(key, item); host != "" {
			all = append(all, host)
		}
	}
	return all
}

func (d *decoder) jsonList(key string, v *tree.Node) *tree.Node {
	text, _, ok := d.resolve(key, v, "a list")
	if !ok {
		return nil
	}
	var list *tree.Node
	if json.Valid([]byte(text)) {
		list = tree.Parse(text, "", 0, tree.NewReport(), tree.NewAnchors())
	}
	if list == nil || list.Kind != tree.Sequence {
		d.wrongType(key, v, "a list")
		return nil
	}
	moveTo(list, v.At)
	return list
}

// moveTo gives a value and all in it the place of the text that it was read from.
func moveTo(n *tree.Node, at Position) {
	n.At = at
	for _, item := range n.Items {
		moveTo(item, at)
	}
	for _, p := range n.Pairs {
		moveTo(p.Key, at)
		moveTo(p.Value, at)
	}
}

// host reads one of a list; empty is what has been reported.
func (d *decoder) host(key string, item *tree.Node) string {
	host, port, before := "", 0, d.report.Found()
	switch {
	case item.Kind == tree.Sequence && len(item.Items) == 2:
		d.text("the host of "+key, item.Items[0], &host)
		d.port("the port of "+key, item.Items[1], &port)
	case item.Kind == tree.Mapping:
		d.hostFields(key, item, &host, &port)
	}
	if d.report.Found() > before {
		return ""
	}
	if host == "" {
		d.report.Problem(item.At, "write it as {host: NAME, port: NUMBER}", "an item of %s must be a host and a port", key)
		return ""
	}
	if port == 0 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

func (d *decoder) hostFields(key string, item *tree.Node, host *string, port *int) {
	for _, f := range d.fields("an item of "+key, item) {
		switch f.Key.Text {
		case "host":
			d.text("host", f.Value, host)
		case "port":
			d.port("port", f.Value, port)
		default:
			d.report.Problem(f.Key.At, "write host and port", "%s is not known in an item of %s", tree.QuoteKey(f.Key.Text), key)
		}
	}
}
