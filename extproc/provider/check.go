package provider

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// Check reports what would make every request to the deployment fail: a credential or a header that can't
// be sent. It is meant for the time a config is read. The error names the setting and never holds its value.
func (t *Table) Check(d *routing.Deployment) error {
	r := t.rows[d.Provider]
	if r == nil {
		return t.unknown("the provider of the deployment", d.Provider)
	}
	if at := control(r.credential(d)); at >= 0 {
		return fmt.Errorf("the api_key has a line break or another control character at character %d of %d: remove it", at+1, len(r.credential(d)))
	}
	_, headers := r.sign(d, path{})
	return checkHeaders(headers)
}

// Missing says which credential a deployment lacks and where it could come from; empty when it has one,
// or can do without.
func (t *Table) Missing(d *routing.Deployment) string {
	r := t.rows[d.Provider]
	if r == nil || len(r.keyEnv) == 0 || r.credential(d) != "" || has(d.ExtraHeaders, "authorization") || has(d.ExtraHeaders, "api-key") {
		return ""
	}
	if r.key != "" {
		return fmt.Sprintf("there is no api_key, and the one in the environment is for %s, not sent to %s: write api_key: os.environ/%s if it shall be",
			r.name, d.Base.Host, r.keyEnv[0])
	}
	if r.keyless || !r.trusts(d) {
		return ""
	}
	return fmt.Sprintf("there is no api_key, and %s is not set", strings.Join(r.keyEnv, " or "))
}

// credential is the deployment's own, else the environment's.
func (r *entry) credential(d *routing.Deployment) string {
	if key := d.APIKey.Reveal(); key != "" {
		return key
	}
	if r.key != "" && r.trusts(d) {
		return r.key
	}
	return ""
}

// leastSecret is the length from which a credential is looked for in answers; a shorter one is a word
// like "none" that people write where no credential is needed.
const leastSecret = 8

// Conceal takes the deployment's credential out of what its upstream said: some providers repeat it in
// errors. The text itself is returned where it does not occur.
func (t *Table) Conceal(d *routing.Deployment, text []byte) []byte {
	r := t.rows[d.Provider]
	if r == nil {
		return text
	}
	secret := []byte(r.credential(d))
	if len(secret) < leastSecret || !bytes.Contains(text, secret) {
		return text
	}
	return bytes.ReplaceAll(text, secret, []byte("[secret]"))
}

// trusts reports whether the credential of the environment may be sent to the deployment: to the provider's own
// host, or the environment's, and to any where the provider has none of its own or is a program people run
// themselves. LiteLLM sends it everywhere; here no provider gets the key of another one.
func (r *entry) trusts(d *routing.Deployment) bool {
	if r.base == "" || r.keyless {
		return true
	}
	base, err := parse(r.base)
	return err == nil && base.Host == d.Base.Host
}

// control is where text has its first character that no header may have, or -1.
func control(text string) int {
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return i
		}
	}
	return -1
}

func checkHeaders(headers []config.Header) error {
	for _, h := range headers {
		switch {
		case !config.IsHeaderName(h.Name):
			return fmt.Errorf("%q can't be the name of a header", h.Name)
		case reserved(h.Name):
			return fmt.Errorf("the header %s can't be set by a deployment", h.Name)
		case control(h.Value) >= 0:
			return fmt.Errorf("the value of the header %s has a line break or another control character", h.Name)
		}
	}
	return nil
}

// reserved headers are Nestor's, Envoy's, or those of the connection.
func reserved(name string) bool {
	switch name {
	case "host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect":
		return true
	}
	return strings.HasPrefix(name, "x-nestor-") || strings.HasPrefix(name, "x-envoy-")
}
