package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/envoy/cluster"
)

const (
	adminTimeout = 2 * time.Second
	adminPoll    = 20 * time.Millisecond
	// Envoy's answers that are read here are a few KiB; more is not Envoy.
	adminLimit = 4 << 20
)

// Keys in the metadata of Envoy's node, by which an Envoy is recognized.
const (
	metaInstance = "nestor.instance"
	metaHash     = "nestor.bootstrap"
)

// admin speaks with Envoy's administration interface at HOST:PORT.
type admin string

// serverInfo is what /server_info tells, as far as it is read.
type serverInfo struct {
	State string `json:"state"` // "LIVE" when it has its configuration and listens
	Node  struct {
		ID       string         `json:"id"`
		Metadata map[string]any `json:"metadata"`
	} `json:"node"`
}

func (a admin) info(ctx context.Context) (serverInfo, error) {
	var info serverInfo
	b, err := a.call(ctx, http.MethodGet, "/server_info")
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(b, &info); err != nil {
		return info, fmt.Errorf("envoy admin %s: /server_info: %w", a, err)
	}
	return info, nil
}

// drain makes Envoy refuse new connections at its client listeners and close those
// there are after their next answer (the failed health check does that). Only inbound
// listeners are shut: requests in flight still need the internal one.
func (a admin) drain(ctx context.Context) error {
	_, failErr := a.call(ctx, http.MethodPost, "/healthcheck/fail")
	_, drainErr := a.call(ctx, http.MethodPost, "/drain_listeners?inboundonly")
	return errors.Join(failErr, drainErr)
}

// active counts the requests in flight, those of the administration left out.
func (a admin) active(ctx context.Context) (int, error) {
	return a.sum(ctx, "downstream_rq_active", func(name string) bool {
		return strings.HasPrefix(name, "http.") && !strings.HasPrefix(name, "http.admin.")
	})
}

// heard reports whether Envoy has a stream on which it sends its log, or had nothing to log.
func (a admin) heard(ctx context.Context) (bool, error) {
	streams, err := a.sum(ctx, "upstream_rq_active", func(name string) bool {
		return name == "cluster."+cluster.LogName+".upstream_rq_active"
	})
	if err != nil || streams > 0 {
		return err == nil, err
	}
	attempts, err := a.sum(ctx, "downstream_rq_total", func(name string) bool {
		return name == "http."+cluster.AttemptName+".downstream_rq_total"
	})
	return attempts == 0, err
}

// sum adds up statistics whose names hold a text and are meant.
func (a admin) sum(ctx context.Context, text string, meant func(name string) bool) (int, error) {
	b, err := a.call(ctx, http.MethodGet, "/stats?format=json&filter="+text)
	if err != nil {
		return 0, err
	}
	var stats struct {
		Stats []struct {
			Name  string `json:"name"`
			Value int    `json:"value"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(b, &stats); err != nil {
		return 0, fmt.Errorf("envoy admin %s: /stats: %w", a, err)
	}
	sum := 0
	for _, s := range stats.Stats {
		if meant(s.Name) {
			sum += s.Value
		}
	}
	return sum, nil
}

func (a admin) call(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+string(a)+path, nil)
	if err != nil {
		return nil, fmt.Errorf("envoy admin %s: %w", a, err)
	}
	// No proxy, and no connection that outlasts the answer.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("envoy admin: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, adminLimit))
	if err != nil {
		return nil, fmt.Errorf("envoy admin %s: %s: %w", a, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("envoy admin %s: %s answered %s", a, path, resp.Status)
	}
	return body, nil
}

// readAdmin reads the address that Envoy wrote when its administration began to listen.
func readAdmin(path string) (admin, bool) {
	b, err := os.ReadFile(path)
	address := strings.TrimSpace(string(b))
	return admin(address), err == nil && address != ""
}
