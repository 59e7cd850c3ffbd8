package redis

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// WithEnvironment fills in what the settings leave open from the variables that LiteLLM reads: REDIS_URL, REDIS_HOST,
// REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB, REDIS_SSL, REDIS_SSL_CA_CERTS, REDIS_SSL_CERT_REQS,
// REDIS_CLUSTER_NODES ([{"host": "h", "port": 6379}]), REDIS_SENTINEL_NODES ([["h", 26379]]), REDIS_SERVICE_NAME and
// REDIS_SENTINEL_PASSWORD. get is os.Getenv. REDIS_URL counts only where no place is named; "tcp://..." in
// REDIS_PORT is what Kubernetes sets for a service of the name redis, and no port.
func (s Settings) WithEnvironment(get func(string) string) (Settings, error) {
	if !s.Given() {
		s.URL = get("REDIS_URL")
	}
	fill(&s.CA, get("REDIS_SSL_CA_CERTS"))
	if s.URL != "" {
		return s, nil
	}
	fill(&s.Host, get("REDIS_HOST"))
	fill(&s.Username, get("REDIS_USERNAME"))
	fill(&s.Password, get("REDIS_PASSWORD"))
	fill(&s.SentinelPassword, get("REDIS_SENTINEL_PASSWORD"))
	fill(&s.Master, get("REDIS_SERVICE_NAME"))
	s.TLS = s.TLS || slices.Contains([]string{"true", "1", "yes"}, strings.ToLower(get("REDIS_SSL")))
	s.SkipVerify = s.SkipVerify || strings.EqualFold(get("REDIS_SSL_CERT_REQS"), "none")
	return s, errors.Join(s.numbers(get), s.places(get))
}

func fill(to *string, text string) {
	if *to == "" {
		*to = text
	}
}

func (s *Settings) numbers(get func(string) string) (err error) {
	port := get("REDIS_PORT")
	if s.Port == 0 && port != "" && !strings.HasPrefix(port, "tcp://") {
		if s.Port, err = strconv.Atoi(port); err != nil || s.Port < 1 || s.Port > 65535 {
			return errors.New("REDIS_PORT is no number from 1 to 65535")
		}
	}
	if db := get("REDIS_DB"); s.DB == 0 && db != "" {
		if s.DB, err = strconv.Atoi(db); err != nil || s.DB < 0 {
			return errors.New("REDIS_DB is no number")
		}
	}
	return nil
}

// places reads the lists of hosts.
func (s *Settings) places(get func(string) string) error {
	if text := get("REDIS_CLUSTER_NODES"); len(s.Nodes) == 0 && text != "" {
		var nodes []struct {
			Host string
			Port json.Number
		}
		if json.Unmarshal([]byte(text), &nodes) != nil || len(nodes) == 0 {
			return errors.New(`REDIS_CLUSTER_NODES is not of the form [{"host": "h", "port": 6379}]`)
		}
		for _, n := range nodes {
			s.Nodes = append(s.Nodes, address(n.Host, n.Port.String()))
		}
	}
	if text := get("REDIS_SENTINEL_NODES"); len(s.Sentinels) == 0 && text != "" {
		var nodes [][]any
		if json.Unmarshal([]byte(text), &nodes) != nil || len(nodes) == 0 {
			return errors.New(`REDIS_SENTINEL_NODES is not of the form [["h", 26379]]`)
		}
		for _, n := range nodes {
			if len(n) != 2 {
				return errors.New(`REDIS_SENTINEL_NODES is not of the form [["h", 26379]]`)
			}
			s.Sentinels = append(s.Sentinels, address(fmt.Sprint(n[0]), fmt.Sprint(n[1])))
		}
	}
	return nil
}

// address leaves out a port that is not given.
func address(host, port string) string {
	if port == "" {
		return host
	}
	return net.JoinHostPort(host, port)
}
