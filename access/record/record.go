// Package record has what access control keeps: virtual keys, teams, users, budgets, and what they spent.
// The words are LiteLLM's, so that its users' scripts keep working.
package record

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// TokenOf is how a key is kept: the SHA-256 of its "sk-..." text, in hex.
func TokenOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Terms are the limits and the budget of a key, a team, a user or a budget. What is nil is not limited.
type Terms struct {
	RPM, TPM, MaxParallel *int64
	// MaxBudget is what may be spent in a budget period; SoftBudget only warns.
	MaxBudget, SoftBudget *Nano
	// BudgetDuration is how long a budget period lasts as written, for example "30d"; "" is for ever.
	BudgetDuration string
	// BudgetResetAt is the end of the current period; zero when there is none.
	BudgetResetAt time.Time
}

// Stamp says who made something and who changed it last.
type Stamp struct {
	CreatedAt, UpdatedAt time.Time
	CreatedBy, UpdatedBy string
}

// Key is a virtual key.
type Key struct {
	// Token is TokenOf the key; the key itself is never kept.
	Token string
	// Origin is the token that the key had first, and a slash with more behind it where another key goes on from that token.
	// The key's account and its limits are named by it: they outlast that the key is regenerated. The store fills it in.
	Origin string
	// Name is the end of the key, for people: "sk-...abcd".
	Name string
	// Alias is unique among keys unless empty.
	Alias                    string
	TeamID, UserID, BudgetID string
	// Models are names that may be called; empty is all. See package access for the special ones.
	Models []string
	// Aliases are names of this key alone for models.
	Aliases map[string]string
	Terms
	// ModelRPM and ModelTPM are limits of this key for one called model.
	ModelRPM, ModelTPM map[string]int64
	// Metadata is a JSON object, or nil.
	Metadata json.RawMessage
	Tags     []string
	// AllowedRoutes are paths, paths ending in "*", or LiteLLM's names of groups of routes; empty is the default.
	AllowedRoutes []string
	// MaxRequestBytes bounds the body of a request made with this key; nil does not.
	MaxRequestBytes *int64
	Blocked         bool
	// Expires is zero when it never does.
	Expires time.Time
	Stamp
	// Spend is what the current budget period has cost. Only reads fill it in.
	Spend Nano
}

// Team has members and keys.
type Team struct {
	ID, Alias string
	Models    []string
	Aliases   map[string]string // LiteLLM's model_aliases
	Terms
	ModelRPM, ModelTPM map[string]int64
	Metadata           json.RawMessage
	Tags               []string
	Blocked            bool
	Members            []Member
	Stamp
	Spend Nano
}

// Member is a user in a team, by id or, as long as no id is known, by email.
type Member struct {
	UserID string `json:"user_id,omitempty"`
	Email  string `json:"user_email,omitempty"`
	// Role is "admin" or "user".
	Role string `json:"role"`
}

// User is a person, or whatever the owner of keys calls one.
type User struct {
	ID, Alias, Email string
	// Role is one of LiteLLM's user roles; RoleAdmin may manage.
	Role   string
	Models []string
	Terms
	ModelRPM, ModelTPM map[string]int64
	Metadata           json.RawMessage
	Stamp
	Spend Nano
}

// RoleAdmin is the role of users whose keys may manage, RoleInternal that of others unless given.
const (
	RoleAdmin    = "proxy_admin"
	RoleInternal = "internal_user"
)

// Budget is terms that keys refer to by BudgetID. What a key says itself goes before them. Each key has a spend of its own.
type Budget struct {
	ID string
	Terms
	Stamp
}

// Spend is a request that has ended, with what it cost: one row of the spend log.
// A request of several attempts has one row, that of its last attempt, and one more for each earlier attempt that cost something.
type Spend struct {
	// ID is that of the attempt, the same at every replica; a row is written once.
	ID        string
	RequestID string
	// Start is when the attempt was decided; Duration is to the end of the answer, FirstToken to its first piece (streams; 0 is unknown).
	Start                time.Time
	Duration, FirstToken time.Duration
	// Token is the key's; MasterToken for the master key, "" when nobody had to show a key.
	Token, TeamID, UserID string
	// EndUser is `user` in the request body, cut to 256 bytes.
	EndUser string
	// Model is as called; Group what it was picked from; Path the groups passed, the called one first.
	Model, Group string
	Path         []string
	// Deployment is the id, Provider and ProviderModel what it stands for.
	Deployment, Provider, ProviderModel string
	APIBase                             string
	// Tokens: Prompt includes Cached, Completion includes Reasoning.
	Prompt, Completion, Total, Cached, Reasoning int64
	Cost                                         Nano
	// Status is HTTP's, 0 when no answer reached the client; Outcome is success, failure, cut or abort.
	Status   int
	Outcome  string
	Attempts int
	Stream   bool
	// Accounts are the budget accounts that the cost counts on: see AccountOf.
	Accounts []string
	Tags     []string
	Endpoint string
}

// MasterToken stands for the master key in the spend log.
const MasterToken = "master"

// AccountOf is the name of the budget account of a key (by its Origin), a team or a user (by id).
// Every key, team and user has one, with a budget or without: what it spends is its Spend.
func AccountOf(kind Kind, id string) string { return string(kind) + ":" + id }

// Payer says who pays beside a key: its team, or its user where it has no team, as in LiteLLM. It is "" for nobody.
func Payer(team, user string) (kind Kind, id string) {
	switch {
	case team != "":
		return OfTeam, team
	case user != "":
		return OfUser, user
	}
	return "", ""
}

// KindOf is whose account a name is.
func KindOf(account string) Kind {
	kind, _, _ := strings.Cut(account, ":")
	return Kind(kind)
}

// Kind is what a record is.
type Kind string

// The kinds. All stands for whatever there is.
const (
	OfKey    Kind = "key"
	OfTeam   Kind = "team"
	OfUser   Kind = "user"
	OfBudget Kind = "budget"
	All      Kind = "all"
)

// Change says that a record was made, changed or deleted; with All anything may have been.
type Change struct {
	Kind Kind
	ID   string
}

// Audit is a line of the audit log: who changed what. It holds no secret.
type Audit struct {
	ID   int64
	Time time.Time
	// Actor is MasterToken or a key's token; Address the client's IP address.
	Actor, Address string
	// Action is the route, for example "/key/generate"; Object what it was about.
	Action string
	Kind   Kind
	Object string
	// Detail is what was asked for, as JSON.
	Detail json.RawMessage
}
