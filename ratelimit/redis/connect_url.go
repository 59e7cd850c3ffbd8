package redis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// form is what a scheme says about the place.
type form struct {
	tls, socket, cluster, sentinel bool
}

// schemeForm knows redis and rediss, alone or with what follows a plus or a minus, and unix.
func schemeForm(scheme string) (form, bool) {
	if scheme == "unix" || scheme == "redis+unix" {
		return form{socket: true}, true
	}
	base, kind, _ := strings.Cut(strings.Replace(scheme, "-", "+", 1), "+")
	f := form{tls: base == "rediss", cluster: kind == "cluster", sentinel: kind == "sentinel"}
	return f, (base == "redis" || base == "rediss") && (kind == "" || f.cluster || f.sentinel)
}

// parseURL returns what a URL says; timeouts and the size of the pool go to the options. Its errors quote
// nothing that could be part of a password, so not what net/url has to say either.
func parseURL(text string, o *redis.UniversalOptions) (Settings, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	f, known := schemeForm(strings.ToLower(scheme))
	if !ok || !known {
		return Settings{}, errors.New("the URL must begin with redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	s := Settings{TLS: f.tls}
	hosts, err := s.authority(rest, f)
	if err != nil {
		return s, err
	}
	values, err := url.ParseQuery(query)
	if err != nil || strings.Contains(query, "@") {
		return s, errors.New("the URL's query can't be read: where the password holds a ?, write %3F; in the query % is %25, ; is %3B and @ is %40")
	}
	if err := s.query(values, &hosts, o); err != nil {
		return s, err
	}
	return s, s.settle(f, hosts)
}

// authority takes the credentials and the path, and returns the hosts.
func (s *Settings) authority(rest string, f form) ([]string, error) {
	// A password may hold an @, a path of a socket or a number can't.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := s.credentials(rest[:at]); err != nil {
			return nil, err
		}
		rest = rest[at+1:]
	}
	if f.socket {
		s.Host = rest
		return nil, nil
	}
	hosts, path, _ := strings.Cut(rest, "/")
	return splitHosts(hosts), s.path(path, f)
}

func splitHosts(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(host string) bool { return host == "" })
}

func (s *Settings) credentials(text string) error {
	user, password, _ := strings.Cut(text, ":")
	var err, err2 error
	s.Username, err = url.PathUnescape(user)
	s.Password, err2 = url.PathUnescape(password)
	if err != nil || err2 != nil {
		return errors.New("the URL's user or password can't be read: write % as %25, : as %3A, @ as %40")
	}
	return nil
}

// path is the number of the database, after the name of the master where sentinels are asked.
func (s *Settings) path(path string, f form) error {
	path = strings.Trim(path, "/")
	if f.sentinel {
		first, second, two := strings.Cut(path, "/")
		if _, err := strconv.Atoi(first); err != nil || two {
			s.Master, path = first, second
		}
	}
	return s.database(path)
}

func (s *Settings) database(text string) (err error) {
	if text == "" {
		return nil
	}
	if s.DB, err = strconv.Atoi(text); err != nil || s.DB < 0 {
		return errors.New("the URL's database is no number: where the password holds a /, ? or #, write %2F, %3F or %23")
	}
	return nil
}

// query reads what stands after the question mark.
func (s *Settings) query(values url.Values, hosts *[]string, o *redis.UniversalOptions) error {
	for key, all := range values {
		if err := s.parameter(key, all, hosts, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) parameter(key string, all []string, hosts *[]string, o *redis.UniversalOptions) (err error) {
	value := all[len(all)-1]
	switch key {
	case "addr":
		*hosts = append(*hosts, all...)
	case "db":
		return s.database(value)
	case "master_name":
		s.Master = value
	case "sentinel_username":
		s.SentinelUsername = value
	case "sentinel_password":
		s.SentinelPassword = value
	case "skip_verify":
		s.SkipVerify, err = strconv.ParseBool(value)
	case "ssl_cert_reqs":
		s.SkipVerify = strings.TrimPrefix(strings.ToLower(value), "cert_") == "none"
	case "dial_timeout":
		o.DialTimeout, err = duration(value)
	case "read_timeout":
		o.ReadTimeout, err = duration(value)
	case "write_timeout":
		o.WriteTimeout, err = duration(value)
	case "pool_size":
		o.PoolSize, err = positive(value)
	default:
		return fmt.Errorf("the URL has a parameter that Nestor does not know: %q", key)
	}
	if err != nil {
		return fmt.Errorf("the URL's %s can't be read", key)
	}
	return nil
}

// duration reads one with a unit, or seconds; never 0, which would mean a default that is none of Nestor's.
func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if err == nil && d <= 0 {
		err = errors.New("not above 0")
	}
	return d, err
}

func positive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && n < 1 {
		err = errors.New("not above 0")
	}
	return n, err
}

// settle puts the hosts where they belong.
func (s *Settings) settle(f form, hosts []string) error {
	switch {
	case f.socket && !strings.HasPrefix(s.Host, "/"):
		return errors.New("unix:// needs a path that begins with /")
	case f.socket:
	case f.sentinel || s.Master != "":
		s.Sentinels = orLocalhost(hosts)
	case f.cluster || len(hosts) > 1:
		s.Nodes = orLocalhost(hosts)
	default:
		return s.single(orLocalhost(hosts)[0])
	}
	return nil
}

func orLocalhost(hosts []string) []string {
	if len(hosts) == 0 {
		return []string{"localhost"}
	}
	return hosts
}

func (s *Settings) single(host string) (err error) {
	s.Host = host
	if name, port, split := net.SplitHostPort(host); split == nil {
		s.Host = name
		if s.Port, err = strconv.Atoi(port); err != nil || s.Port < 1 || s.Port > 65535 {
			return errors.New("the URL's port is no number from 1 to 65535: where the password holds a /, ? or #, write %2F, %3F or %23")
		}
	}
	return nil
}
