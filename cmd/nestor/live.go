package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/nestor-gateway/nestor/routing/live"
)

const (
	liveTimeout = 10 * time.Second
	// liveLimit bounds what a status is believed to hold; one of 100,000 deployments takes some 60 MB.
	liveLimit = 256 << 20
)

// askLive asks the nestor whose HTTP port is at an address how a model stands.
func askLive(ctx context.Context, address, model string) (*live.Status, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("--live %s is not HOST:PORT, that of --http-listen", address)
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	place := url.URL{Scheme: "http", Host: reachable(address), Path: "/status", RawQuery: url.Values{"model": {model}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var detail *url.Error
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return nil, fmt.Errorf("no status from %s: %w", address, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body := io.LimitReader(resp.Body, liveLimit)
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", address, resp.Status, messageOf(body))
	}
	l := &live.Status{}
	if err := json.NewDecoder(body).Decode(l); err != nil {
		return nil, fmt.Errorf("%s answers no status: %w; is it nestor's --http-listen?", address, err)
	}
	return l, nil
}

// messageOf is the text of an error in the OpenAI shape; empty when it is something else.
func messageOf(body io.Reader) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.NewDecoder(body).Decode(&e) // not JSON: no message
	return e.Error.Message
}
