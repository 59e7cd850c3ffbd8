// Package keys asks a running nestor about its virtual keys, by the routes of package api/manage.
package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
)

// Client asks the nestor at an address, as the holder of a key that may manage.
type Client struct {
	base *url.URL
	key  string
}

// NewClient takes an address as http://HOST:PORT, https://HOST:PORT or HOST:PORT.
func NewClient(address, key string) (*Client, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil {
		return nil, fmt.Errorf("--address must be as http://127.0.0.1:4000, without credentials in it")
	}
	return &Client{base: base, key: key}, nil
}

// Key is what is known of one.
type Key struct {
	// Answer is the JSON in which the API says so.
	Answer json.RawMessage `json:"-"`
	// Secret is the key itself. Only Generate knows it.
	Secret string `json:"key,omitempty"`
	Token  string `json:"token"`
	Name   string `json:"key_name"`
	Alias  string `json:"key_alias"`
	Team   string `json:"team_id"`
	User   string `json:"user_id"`
	Budget string `json:"budget_id"`

	Models         []string   `json:"models"`
	AllowedRoutes  []string   `json:"allowed_routes"`
	Tags           []string   `json:"tags"`
	RPM            *int64     `json:"rpm_limit"`
	TPM            *int64     `json:"tpm_limit"`
	MaxParallel    *int64     `json:"max_parallel_requests"`
	Spend          float64    `json:"spend"`
	MaxBudget      *float64   `json:"max_budget"`
	BudgetDuration string     `json:"budget_duration"`
	BudgetResetAt  *time.Time `json:"budget_reset_at"`
	Expires        *time.Time `json:"expires"`
	Created        time.Time  `json:"created_at"`
	Status         string     `json:"status"`
}

// UnmarshalJSON keeps what it reads.
func (k *Key) UnmarshalJSON(text []byte) error {
	type fields Key
	k.Answer = bytes.Clone(text)
	return json.Unmarshal(text, (*fields)(k))
}

// Generate makes a key. asked has the fields of /key/generate.
func (c *Client) Generate(ctx context.Context, asked map[string]any) (k Key, err error) {
	err = c.post(ctx, "/key/generate", asked, &k)
	return k, err
}

// largestPage is the most that /key/list gives at a time.
const largestPage = 100

// List returns all keys, of a team or of a user where these are given, the latest first.
func (c *Client) List(ctx context.Context, team, user string) ([]Key, error) {
	var all []Key
	for page := 1; ; page++ {
		part, pages, err := c.page(ctx, url.Values{"team_id": {team}, "user_id": {user}, "page": {strconv.Itoa(page)}})
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if page >= pages {
			return all, nil
		}
	}
}

func (c *Client) page(ctx context.Context, query url.Values) (keys []Key, pages int, err error) {
	query.Set("return_full_object", "true")
	query.Set("size", strconv.Itoa(largestPage))
	var answer struct {
		Keys  []Key `json:"keys"`
		Pages int   `json:"total_pages"`
	}
	err = c.get(ctx, "/key/list", query, &answer)
	return answer.Keys, answer.Pages, err
}

// Info finds a key by its secret, its token or its alias. The secret does not leave this process. Its Answer is that of
// /key/info, which has the key's fields inside.
func (c *Client) Info(ctx context.Context, named string) (Key, error) {
	token, err := c.Token(ctx, named)
	if err != nil {
		return Key{}, err
	}
	var text json.RawMessage
	if err := c.get(ctx, "/key/info", url.Values{"key": {token}}, &text); err != nil {
		return Key{}, err
	}
	var answer struct {
		Info Key `json:"info"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return Key{}, c.strange("/key/info")
	}
	answer.Info.Token, answer.Info.Answer = token, text
	return answer.Info, nil
}

// Token is that of a key named by its secret, its token or its alias.
func (c *Client) Token(ctx context.Context, named string) (string, error) {
	switch {
	case named == "":
		return "", errors.New("KEY is empty: name a key by its alias, its token or itself")
	case strings.HasPrefix(named, "sk-"):
		return record.TokenOf(named), nil
	case isToken(named):
		return named, nil
	}
	found, _, err := c.page(ctx, url.Values{"key_alias": {named}})
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no key has the alias %q", named)
	}
	return found[0].Token, nil
}

func isToken(named string) bool {
	return len(named) == 64 && strings.Trim(named, "0123456789abcdef") == ""
}

// SetBlocked blocks a key, or unblocks it.
func (c *Client) SetBlocked(ctx context.Context, token string, blocked bool) (k Key, err error) {
	path := "/key/unblock"
	if blocked {
		path = "/key/block"
	}
	err = c.post(ctx, path, map[string]any{"key": token}, &k)
	return k, err
}

// Delete deletes keys, and returns what the API answers.
func (c *Client) Delete(ctx context.Context, tokens []string) (answer json.RawMessage, err error) {
	err = c.post(ctx, "/key/delete", map[string]any{"keys": tokens}, &answer)
	return answer, err
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	return c.ask(ctx, http.MethodGet, path, query, nil, into)
}

func (c *Client) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.ask(ctx, http.MethodPost, path, nil, text, into)
}

const (
	timeout = 30 * time.Second
	// longestAnswer bounds what is read of one.
	longestAnswer = 16 << 20
)

func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	place := c.base.JoinPath(path)
	place.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, place.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/json")
	// A redirect would take the key elsewhere.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		var detail *url.Error
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return fmt.Errorf("%s does not answer: %w", c.base.Host, err)
	}
	defer func() { _ = answer.Body.Close() }()
	return c.read(answer, path, into)
}

func (c *Client) read(answer *http.Response, path string, into any) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, longestAnswer))
	if err != nil {
		return fmt.Errorf("%s breaks off its answer: %w", c.base.Host, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s to %s%s", c.base.Host, answer.Status, path, reasonIn(text))
	}
	if err := json.Unmarshal(text, into); err != nil {
		return c.strange(path)
	}
	return nil
}

func (c *Client) strange(path string) error {
	return fmt.Errorf("%s answers something else than nestor would to %s", c.base.Host, path)
}

// reasonIn is the message of an error in the OpenAI shape; empty when it is something else.
func reasonIn(text []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(text, &e) != nil || e.Error.Message == "" {
		return ""
	}
	return ": " + e.Error.Message
}
