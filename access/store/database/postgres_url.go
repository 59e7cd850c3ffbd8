package database

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nestor-gateway/nestor/routing/config"
)

// target is where a URL leads.
type target struct {
	config      *pgx.ConnConfig
	connections int
	secrets     []string
}

// errURL does not repeat the URL, which has a password.
var errURL = errors.New(`the URL can't be read: want postgresql://USER:PASSWORD@HOST:PORT/DATABASE, where what is no letter or digit in the password is written as %XX`)

// parseURL reads a URL as PostgreSQL's own clients do, and as LiteLLM's Prisma does.
func parseURL(secret config.Secret) (target, error) {
	u, err := url.Parse(strings.TrimSpace(secret.Reveal()))
	if err != nil {
		return target{}, errURL
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return target{}, fmt.Errorf("the scheme of the URL is %q: want postgresql", schemeOf(u))
	}
	t := target{connections: connections}
	query := u.Query()
	if err := t.prisma(query); err != nil {
		return target{}, err
	}
	u.RawQuery = query.Encode()
	t.config, err = pgx.ParseConfig(u.String())
	if err != nil {
		return target{}, errURL
	}
	if u.Query().Get("connect_timeout") == "" {
		t.config.ConnectTimeout = dialTime
	}
	t.config.RuntimeParams["application_name"] = cmp.Or(t.config.RuntimeParams["application_name"], "nestor")
	t.remember(u)
	return t, nil
}

// schemeOf is empty where what stands there may be something else.
func schemeOf(u *url.URL) string {
	if u.Host == "" {
		return ""
	}
	return u.Scheme
}

// prisma takes settings out of a query that are Prisma's, and sets PostgreSQL's instead where there are any.
func (t *target) prisma(query url.Values) error {
	take := func(name string) string {
		v := query.Get(name)
		query.Del(name)
		return v
	}
	if schema := take("schema"); schema != "" && schema != "public" {
		query.Set("search_path", strconv.Quote(schema))
	}
	if v := take("connection_limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return fmt.Errorf("connection_limit %q in the URL: want a number from 1", v)
		}
		t.connections = max(n, 2) // migrations need two at a time
	}
	if take("pgbouncer") == "true" {
		query.Set("default_query_exec_mode", "exec")
	}
	if accept := take("sslaccept"); accept == "strict" {
		query.Set("sslmode", "verify-full")
	}
	for _, name := range []string{"pool_timeout", "socket_timeout", "statement_cache_size", "connection_timeout"} {
		take(name)
	}
	return nil
}

// remember keeps what must not be in an error.
func (t *target) remember(u *url.URL) {
	password := t.config.Password
	t.secrets = []string{password, url.QueryEscape(password), url.PathEscape(password)}
	if raw, set := u.User.Password(); set {
		t.secrets = append(t.secrets, raw)
	}
	t.secrets = slices.DeleteFunc(t.secrets, func(s string) bool { return s == "" })
}

// scrub returns an error without the secrets. The driver shows none; this is for what servers and proxies answer.
func (t target) scrub(err error) error {
	text := err.Error()
	for _, secret := range t.secrets {
		text = strings.ReplaceAll(text, secret, "[secret]")
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
