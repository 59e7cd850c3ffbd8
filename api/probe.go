package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/api/reply"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

// caller sends probes through Envoy.
type caller struct {
	client         *http.Client
	target, secret string
	timeout        time.Duration
}

func newCaller(o Options) *caller {
	c := &caller{
		client: &http.Client{
			// Not the default transport: that one asks the environment for a proxy.
			Transport:     &http.Transport{MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		target:  strings.TrimSuffix(o.ProbeTarget, "/"),
		secret:  o.ProbeSecret,
		timeout: o.ProbeTimeout,
	}
	if c.timeout == 0 {
		c.timeout = 60 * time.Second
	}
	return c
}

// call probes a deployment, named by its id: one attempt, without retries or fallbacks.
func (c *caller) call(ctx context.Context, d *routing.Deployment) verdict {
	path, body, reason := requestFor(d)
	switch {
	case d.Problem != "":
		return verdict{err: d.Problem}
	case reason != "":
		return verdict{skipped: reason}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	status, text, tried, err := c.post(ctx, path, body)
	switch {
	case status == http.StatusTooManyRequests && !tried:
		return verdict{skipped: "its limits admit no request now"}
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{err: fmt.Sprintf("no answer within %s", c.timeout)}
	case err != nil:
		return verdict{err: c.clean(err.Error(), d)}
	case status/100 != 2:
		return verdict{err: c.clean(message(status, text), d), status: status}
	}
	return verdict{}
}

// post returns the status and at most 64 KiB of the body, and whether the deployment has been tried for it:
// an answer of Nestor's own names none.
func (c *caller) post(ctx context.Context, path string, body reply.Object) (status int, text []byte, tried bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.target+path, bytes.NewReader(encode(body)))
	if err != nil {
		return 0, nil, false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(nestorv1.HeaderProbe, c.secret)
	r.Header.Set("X-Litellm-Num-Retries", "0")
	answer, err := c.client.Do(r)
	if err != nil {
		return 0, nil, false, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	return answer.StatusCode, text, answer.Header.Get(nestorv1.HeaderModelID) != "", err
}

// modeOf is what the deployment is for: model_info.mode, else by the model's name.
func modeOf(d *routing.Deployment) string {
	switch {
	case d.Info.Mode != "":
		return d.Info.Mode
	case strings.Contains(strings.ToLower(d.Model), "embed"):
		return "embedding"
	default:
		return "chat"
	}
}

// requestFor makes the smallest request of the deployment's mode, or says why there is none.
func requestFor(d *routing.Deployment) (path string, body reply.Object, reason string) {
	switch {
	case strings.Contains(d.Model, "*"):
		return "", nil, "a wildcard names no model that could be probed"
	case isZero(d.RPM) || isZero(d.TPM):
		return "", nil, "its limit of 0 admits no request"
	}
	switch mode := modeOf(d); mode {
	case "chat":
		body = reply.Object{"model": d.ID, "messages": []reply.Object{{"role": "user", "content": "Hi"}}}
		name, tokens := answerLimit(d)
		body[name] = tokens
		return "/v1/chat/completions", body, ""
	case "completion":
		return "/v1/completions", reply.Object{"model": d.ID, "prompt": "Hi", "max_tokens": 1}, ""
	case "embedding":
		return "/v1/embeddings", reply.Object{"model": d.ID, "input": "Hi"}, ""
	default:
		return "", nil, fmt.Sprintf("mode %s can't be probed, only chat, completion and embedding", mode)
	}
}

func isZero(limit *int64) bool { return limit != nil && *limit == 0 }

// answerLimit keeps the answer as short as the model can: one token. OpenAI's reasoning models refuse
// max_tokens, and refuse to answer in one: https://platform.openai.com/docs/guides/reasoning
func answerLimit(d *routing.Deployment) (name string, tokens int) {
	if d.Provider != "openai" && d.Provider != "azure" {
		return "max_tokens", 1
	}
	for _, family := range []string{"o1", "o3", "o4", "gpt-5"} {
		if strings.HasPrefix(d.Model, family) {
			return "max_completion_tokens", 16
		}
	}
	return "max_tokens", 1
}

// message finds what an error answer says.
func message(status int, body []byte) string {
	var shape struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	text := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &shape) == nil && shape.Error.Message != "" {
		text = shape.Error.Message
	}
	if text == "" {
		text = http.StatusText(status)
	}
	return fmt.Sprintf("%d: %s", status, text)
}

// clean takes the secrets of a probe and its deployment out of an error, and keeps it short.
func (c *caller) clean(text string, d *routing.Deployment) string {
	secrets := []string{c.secret, d.APIKey.Reveal()}
	for _, h := range d.ExtraHeaders {
		secrets = append(secrets, h.Value, strings.TrimPrefix(h.Value, "Bearer "))
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	const longest = 1000
	if len(text) > longest {
		text = text[:longest] + "..."
	}
	return strings.ToValidUTF8(text, "")
}
