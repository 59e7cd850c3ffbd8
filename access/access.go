// Package access says who asks and what they may: it finds the virtual key of a request, and knows the models,
// the routes and the limits of the key, its team and its user. It answers from memory: no request waits for the store.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/routing/config"
)

// Principal is who asks. The zero Principal is nobody: it may do nothing.
type Principal struct {
	// Anonymous is set when no master key is configured: everybody is let in.
	Anonymous bool
	// Master is set for the holder of the master key.
	Master bool
	// Key is the virtual key; nil for the others.
	Key *Key
}

// Call is what a Principal wants to do. What is empty is not checked.
type Call struct {
	// Route is the path of the request; a query behind it is ignored.
	Route string
	// Model is as called: see Principal.Model for what it stands for.
	Model string
}

// May returns nil when the call is allowed. The route is looked at first, then the model, by the key and by its team,
// or by its user where it has no team.
func (p Principal) May(c Call) *Denial {
	switch {
	case p.Master || p.Anonymous:
		return nil
	case p.Key == nil:
		return noKey()
	case c.Route != "" && !p.Key.routes.Allows(c.Route):
		return wrongRoute(p.Key.routes.Given, c.Route)
	case c.Model == "":
		return nil
	}
	if kind := p.Key.refuses(c.Model); kind != "" {
		return wrongModel(kind, c.Model)
	}
	return nil
}

// MaySee reports whether a list of models has a name for this principal: whether it may be called.
func (p Principal) MaySee(model string) bool {
	return p.Master || p.Anonymous || p.Key != nil && p.Key.refuses(model) == ""
}

// Model is what a called name stands for: the team's aliases are looked at, then the key's, each once, as in LiteLLM.
// Routing resolves what comes out, and everything that is kept by model is kept by it.
func (p Principal) Model(called string) string {
	if p.Key == nil {
		return called
	}
	model, _ := p.Key.model(called)
	return model
}

// CanManage reports whether the principal may change keys, teams, users and budgets: the holder of the master key,
// and keys of a user with record.RoleAdmin.
func (p Principal) CanManage() bool {
	if p.Key == nil {
		return p.Master
	}
	u := p.Key.User()
	return u != nil && u.Role == record.RoleAdmin
}

// Limits appends what a request for a model counts on: the key, its team and its user, each as a whole and for this
// model, where they have limits. It allocates nothing when the slice has room.
// A limit of a model holds for its aliases too.
func (p Principal) Limits(to []*Limited, called string) []*Limited {
	if p.Key == nil {
		return to
	}
	to = p.Key.limits.of(to, p.Key, called)
	if t := p.Key.Team(); t != nil {
		to = t.limits.of(to, p.Key, called)
	}
	if u := p.Key.User(); u != nil {
		to = u.limits.of(to, p.Key, called)
	}
	return to
}

// ModelLimits appends what an attempt in a fallback's group counts on besides: the limits that the key, its team and its
// user have for the name of that group, which is no alias of the key's any more (see Model).
func (p Principal) ModelLimits(to []*Limited, model string) []*Limited {
	if p.Key == nil {
		return to
	}
	names := p.Key.names()
	to = p.Key.limits.ofModel(to, names, model)
	if t := p.Key.Team(); t != nil {
		to = t.limits.ofModel(to, names, model)
	}
	if u := p.Key.User(); u != nil {
		to = u.limits.ofModel(to, names, model)
	}
	return to
}

// Master lets in whoever presents the master key, and nobody else: it is the check of a process without a store.
// It never changes and may be used by many goroutines.
type Master struct {
	open bool
	hash hash
}

// hash is the SHA-256 of a key: see record.TokenOf.
type hash [sha256.Size]byte

// NewMaster returns the check against one key. An empty key lets everybody in, as Anonymous;
// to refuse that where it is unsafe is the caller's part.
func NewMaster(key config.Secret) *Master {
	return &Master{open: key == "", hash: sha256.Sum256([]byte(key.Reveal()))}
}

// Authenticate checks the key of a request; header returns the value of a request header by its
// lower-case name, or "". The denial is a 401.
//
// Where several headers carry a key, the first that is not empty decides, in LiteLLM's order:
// authorization, api-key, x-api-key. An authorization header that is not "Bearer KEY" (the word in
// any case) is a wrong key. Hashes are compared, so the time taken says nothing about the key,
// its length included.
func (m *Master) Authenticate(header func(name string) string) (Principal, *Denial) {
	if m.open {
		return Principal{Anonymous: true}, nil
	}
	hash, given := presented(header)
	switch {
	case !given:
		return Principal{}, noKey()
	case !m.is(hash):
		return Principal{}, wrongKey()
	}
	return Principal{Master: true}, nil
}

func (m *Master) is(h hash) bool { return subtle.ConstantTimeCompare(h[:], m.hash[:]) == 1 }

// presented returns the hash of the key that a request carries; given is false where no header carries any.
func presented(header func(string) string) (h hash, given bool) {
	key, given := credential(header)
	var buf [256]byte // on the stack: a request costs no allocation unless its key is longer
	return sha256.Sum256(append(buf[:0], key...)), given
}

func credential(header func(string) string) (key string, given bool) {
	if v := header("authorization"); v != "" {
		return bearer(v), true
	}
	if v := header("api-key"); v != "" {
		return v, true
	}
	v := header("x-api-key")
	return v, v != ""
}

func bearer(authorization string) string {
	scheme, key, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}
