package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nestor-gateway/nestor/envoy"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

// entry is one line of a model_list.
type entry struct{ group, params string }

// deployments are the three that requests are spread over. Their names are models that LiteLLM knows
// to take a `user`; the limits are far above any load, and are the shares.
func deployments(mock string) [3]string {
	var d [3]string
	for i, model := range [...]string{"gpt-4o", "gpt-4o-mini", "gpt-4.1"} {
		d[i] = fmt.Sprintf("{model: openai/%s, api_base: \"http://%s/v1\", api_key: sk-upstream-%d, rpm: %d}", model, mock, i, 30_000_000*(i+1))
	}
	return d
}

// nested is the config of Nestor: `fast` is made of two groups. Nothing is limited.
func nested(mock string) string {
	d := unlimited(mock)
	return modelList(entry{"fast", "{model: large}"}, entry{"fast", "{model: small}"},
		entry{"large", d[0]}, entry{"small", d[1]}, entry{"small", d[2]})
}

// limited is nested with limits of every kind on everything, far above any load.
func limited(mock string) string {
	const most = "rpm: 90_000_000, tpm: 900_000_000_000, max_parallel_requests: 10_000"
	d := deployments(mock)
	for i := range d {
		d[i] = strings.TrimSuffix(d[i], "}") + ", tpm: 900_000_000_000, max_parallel_requests: 10_000}"
	}
	return modelList(entry{"fast", "{model: large, " + most + "}"}, entry{"fast", "{model: small, " + most + "}"},
		entry{"large", d[0]}, entry{"small", d[1]}, entry{"small", d[2]}) + "model_groups: {fast: {" + most + "}}\n"
}

// unlimited are the deployments with weights in place of limits, which are the same shares.
func unlimited(mock string) [3]string {
	d := deployments(mock)
	for i := range d {
		d[i] = strings.Replace(d[i], fmt.Sprintf("rpm: %d", 30_000_000*(i+1)), fmt.Sprintf("weight: %d", i+1), 1)
	}
	return d
}

// flat is the config of LiteLLM, which has no groups of groups: the same deployments in one group, as unlimited as Nestor's
// (of `rpm` LiteLLM would make a limit of requests at once).
func flat(mock string) string {
	d := unlimited(mock)
	return modelList(entry{"fast", d[0]}, entry{"fast", d[1]}, entry{"fast", d[2]})
}

func modelList(entries ...entry) string {
	var b strings.Builder
	b.WriteString("model_list:\n")
	for _, e := range entries {
		fmt.Fprintf(&b, "  - model_name: %s\n    litellm_params: %s\n", e.group, e.params)
	}
	fmt.Fprintf(&b, "general_settings:\n  master_key: %s\n  disable_spend_logs: true\n", masterKey)
	return b.String()
}

// keyed is limited with prices and a spend log.
func keyed(mock string) string {
	text := strings.Replace(limited(mock), "  disable_spend_logs: true\n", "", 1)
	return strings.ReplaceAll(text, "api_key: sk-upstream", "input_cost_per_token: 1e-9, output_cost_per_token: 2e-9, api_key: sk-upstream")
}

// plainConfig is an Envoy that forwards everything to one address. The verbs: host and port of the
// listener, host and port of the upstream.
const plainConfig = `
static_resources:
  listeners:
  - name: client
    address: {socket_address: {address: %s, port_value: %s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: client
          stream_idle_timeout: 0s
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: upstream, timeout: 0s}
  clusters:
  - name: upstream
    type: STATIC
    circuit_breakers: {thresholds: [{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}]}
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: %s, port_value: %s}}}
`

// plainFile writes the config of the plain Envoy.
func plainFile(dir, listen, upstream string) (string, error) {
	var parts []any
	for _, address := range []string{listen, upstream} {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return "", err
		}
		parts = append(parts, host, port)
	}
	return write(dir, "plain.yaml", []byte(fmt.Sprintf(plainConfig, parts...)))
}

// floorConfig is Nestor's own Envoy configuration, with another processor.
func floorConfig(listen, processor string, u routing.Upstream) ([]byte, error) {
	return envoy.Static(envoy.Options{Listen: listen, Processors: []string{processor}, API: processor}, []routing.Upstream{u})
}

// nativeMetering reads the usage of streams as Envoy does of its own: the filter stands in the place of Nestor's script.
func nativeMetering() map[string]any {
	const types = "type.googleapis.com/envoy.extensions."
	var rules []any
	for _, path := range [][]string{
		{"usage", "prompt_tokens"}, {"usage", "completion_tokens"}, {"usage", "total_tokens"},
		{"usage", "prompt_tokens_details", "cached_tokens"}, {"usage", "completion_tokens_details", "reasoning_tokens"},
	} {
		var selectors []any
		for _, key := range path {
			selectors = append(selectors, map[string]any{"key": key})
		}
		found := map[string]any{"metadata_namespace": nestorv1.UsageNamespace, "key": path[len(path)-1], "type": "NUMBER"}
		rules = append(rules, map[string]any{"rule": map[string]any{"selectors": selectors, "on_present": found}})
	}
	parser := map[string]any{"@type": types + "content_parsers.json.v3.JsonContentParser", "rules": rules}
	return map[string]any{"name": "envoy.filters.http.sse_to_metadata", "typed_config": map[string]any{
		"@type": types + "filters.http.sse_to_metadata.v3.SseToMetadata",
		"response_rules": map[string]any{
			"max_event_size": 1 << 20, "content_parser": map[string]any{"name": "envoy.content_parsers.json", "typed_config": parser},
		},
	}}
}

// nativeConfig is the floor's with nativeMetering.
func nativeConfig(listen, processor string, u routing.Upstream) ([]byte, error) {
	floor, err := floorConfig(listen, processor, u)
	if err != nil {
		return nil, err
	}
	var config any
	if err := json.Unmarshal(floor, &config); err != nil {
		return nil, err
	}
	if n := replaceNamed(config, "envoy.filters.http.lua", nativeMetering()); n != 1 {
		return nil, fmt.Errorf("the floor's configuration has %d Lua filters, not 1", n)
	}
	return json.Marshal(config)
}

// replaceNamed replaces what has a name in the lists of decoded JSON, and returns how many there were.
func replaceNamed(v any, name string, by map[string]any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			n += replaceNamed(inner, name, by)
		}
	case []any:
		for i, inner := range v {
			if m, ok := inner.(map[string]any); ok && m["name"] == name {
				v[i] = by
				n++
				continue
			}
			n += replaceNamed(inner, name, by)
		}
	}
	return n
}

// upstreamAt is the cluster of the floor.
func upstreamAt(address string) (routing.Upstream, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return routing.Upstream{}, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return routing.Upstream{Name: "mock", Scheme: "http", Host: host, Port: uint16(port)}, err
}

func write(dir, name string, content []byte) (path string, err error) {
	path = filepath.Join(dir, name)
	return path, os.WriteFile(path, content, 0o600)
}
