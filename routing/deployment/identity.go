package deployment

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
)

// idBytes is how much of the hash makes an id: 128 bits never meet by chance.
const idBytes = 16

// identity is a hash of what makes two entries the same deployment. A secret goes in and can't be read from it.
func identity(provider, model string, base *url.URL, e *config.Entry) string {
	p := &e.Params
	h := make([]byte, 0, 512)
	h = appendPart(h, provider, model, base.String(), p.APIVersion, p.Organization, p.APIKey.Reveal())
	// Two entries whose keys are missing for different reasons are not the same deployment.
	h = appendPart(h, e.Problem)
	h = binary.AppendUvarint(h, uint64(len(p.ExtraHeaders)))
	for _, header := range p.ExtraHeaders {
		h = appendPart(h, header.Name, header.Value)
	}
	for _, field := range p.Defaults {
		h = appendPart(h, field.Name, string(field.JSON))
	}
	sum := sha256.Sum256(h)
	return hex.EncodeToString(sum[:idBytes])
}

// appendPart writes each text with its length before it, so that no two lists of texts read the same.
func appendPart(h []byte, parts ...string) []byte {
	for _, p := range parts {
		h = binary.AppendUvarint(h, uint64(len(p)))
		h = append(h, p...)
	}
	return h
}

// upstreamOf finds the upstream that leads to an address.
func upstreamOf(base *url.URL) (Upstream, error) {
	u := Upstream{Scheme: base.Scheme, Host: strings.ToLower(base.Hostname())}
	switch base.Scheme {
	case "https":
		u.Port = 443
	case "http":
		u.Port = 80
	default:
		return u, fmt.Errorf("the address %q must begin with http:// or https://", base.Redacted())
	}
	if port := base.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return u, fmt.Errorf("the address %q has no valid port", base.Redacted())
		}
		u.Port = uint16(n)
	}
	if u.Host == "" || strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return u, fmt.Errorf("the address %q needs a host name in ASCII letters", base.Redacted())
	}
	host := u.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u.Name = fmt.Sprintf("%s_%s_%d", u.Scheme, host, u.Port)
	return u, nil
}
