package database

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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

// URLError says why a URL leads to no PostgreSQL, and what to do. It repeats nothing that may be a credential.
type URLError struct{ Problem, Hint string }

func (e *URLError) Error() string { return "the URL " + e.Problem + ": " + e.Hint }

// CheckURL reports, without connecting, why a URL can't be that of a PostgreSQL. The error is a *URLError.
func CheckURL(secret config.Secret) error {
	_, err := parseURL(secret)
	return err
}

// unreadable does not repeat the URL, which has a password.
func unreadable() *URLError {
	return &URLError{"can't be read", "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, where what is no letter or digit in the password is written as %XX"}
}

// parseURL reads a URL as PostgreSQL's own clients do, and as LiteLLM's Prisma does. The error is a *URLError.
func parseURL(secret config.Secret) (target, error) {
	text := strings.TrimSpace(secret.Reveal())
	u, err := url.Parse(text)
	if err != nil || torn(u) {
		return target{}, unreadable()
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return target{}, otherScheme(u, text)
	}
	t := target{connections: connections}
	query := u.Query()
	if err := t.prisma(query); err != nil {
		return target{}, err
	}
	u.RawQuery = query.Encode()
	t.config, err = pgx.ParseConfig(u.String())
	if err != nil {
		return target{}, refused(u, query, err)
	}
	if u.Query().Get("connect_timeout") == "" {
		t.config.ConnectTimeout = dialTime
	}
	t.config.RuntimeParams["application_name"] = cmp.Or(t.config.RuntimeParams["application_name"], "nestor")
	t.remember(u)
	return t, nil
}

// torn reports whether a mark in the password has ended what names the host: then a part of the password would pass
// for the host's port, and be shown.
func torn(u *url.URL) bool {
	if u.Fragment != "" || u.User == nil && strings.Contains(u.Path, "@") {
		return true
	}
	for name := range u.Query() {
		if strings.Contains(name, "@") {
			return true
		}
	}
	return false
}

// otherScheme shows the scheme only where it is one: without the slashes a user's name may stand there.
func otherScheme(u *url.URL, text string) *URLError {
	const hint = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE; without a URL keys are kept in a SQLite file under --data-dir"
	if u.Scheme == "" || !strings.HasPrefix(text[len(u.Scheme):], "://") {
		return &URLError{"does not begin with postgresql://", hint}
	}
	return &URLError{fmt.Sprintf("begins with %s://, which is no PostgreSQL", u.Scheme), hint}
}

// refused says what the driver has against a URL. The driver's own text may have parts of the URL in it.
func refused(u *url.URL, query url.Values, err error) *URLError {
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return &URLError{"has a port that is none", "write a number from 1 to 65535"}
		}
	}
	if missing, ok := errors.AsType[*fs.PathError](err); ok {
		return &URLError{"names a file that can't be read", fmt.Sprintf("see that %s is there: %v", missing.Path, missing.Err)}
	}
	if name := culprit(u, query); name != "" {
		return &URLError{"has a value for " + name + " that PostgreSQL does not take", cmp.Or(valuesOf()[name], "correct it, or leave it out")}
	}
	return unreadable()
}

// culprit is the setting without which the driver would take a URL; "" when it is none alone.
func culprit(u *url.URL, query url.Values) string {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		rest, without := maps.Clone(query), *u
		delete(rest, name)
		without.RawQuery = rest.Encode()
		if _, err := pgx.ParseConfig(without.String()); err == nil {
			return name
		}
	}
	return ""
}

// valuesOf are hints about settings that have few values.
func valuesOf() map[string]string {
	return map[string]string{
		"sslmode":              "write one of disable, allow, prefer, require, verify-ca, verify-full",
		"channel_binding":      "write one of disable, prefer, require",
		"target_session_attrs": "write one of any, read-write, read-only, primary, standby, prefer-standby",
		"connect_timeout":      "write a number of seconds",
	}
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
			return &URLError{"has a connection_limit that is none", "write a number from 1"}
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
