package manage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/row"
	"github.com/nestor-gateway/nestor/api/reply"
)

// audits answers with a page of the audit log, the latest line first.
func (h *Handler) audits(c *call) (any, error) {
	p, err := c.page("page_size", 10)
	if err != nil {
		return nil, err
	}
	q := store.AuditQuery{
		Actor: c.query.Get("changed_by_api_key"), Action: c.query.Get("action"), Object: c.query.Get("object_id"),
		Kind: record.Kind(c.query.Get("table_name")), Offset: p.offset(), Limit: p.size,
	}
	if q.From, q.To, err = c.span(); err != nil {
		return nil, err
	}
	found, err := h.Store.Audits(c, q)
	rows := make([]reply.Object, len(found))
	for i, a := range found {
		rows[i] = row.Audit(a)
	}
	return reply.Object{"audit_logs": rows, "page": p.number, "page_size": p.size}, err
}

// audit is the line about this call. Of the body it has what can't be a secret: keys by their tokens, and of
// metadata only the names.
func (c *call) audit() record.Audit {
	a := record.Audit{Actor: c.actor(), Action: c.route, Detail: c.detail()}
	if c.address.IsValid() {
		a.Address = c.address.String()
	}
	return a
}

func (c *call) detail() json.RawMessage {
	shown := map[string]any{}
	for name, value := range c.body.Values {
		switch name {
		case "key", "new_key", "keys":
			shown[name] = tokensIn(value)
		case "metadata":
			shown[name] = membersOf(value)
		default:
			shown[name] = short(value)
		}
	}
	text, _ := json.Marshal(shown) // of what was JSON before
	return text
}

// longestDetail bounds what the audit log has of one member, in bytes.
const longestDetail = 4 << 10

func short(value json.RawMessage) any {
	if len(value) > longestDetail {
		return fmt.Sprintf("%d bytes", len(value))
	}
	return value
}

// tokensIn is a key, or a list of keys, as tokens. What is neither has been refused.
func tokensIn(value json.RawMessage) any {
	var one string
	if json.Unmarshal(value, &one) == nil {
		return hidden(one)
	}
	var several []string
	_ = json.Unmarshal(value, &several)
	for i := range several {
		several[i] = hidden(several[i])
	}
	return several
}

// hidden is the token of what is given for a key, unless it is one.
func hidden(key string) string {
	if hash, err := hex.DecodeString(key); err == nil && len(hash) == sha256.Size {
		return key
	}
	return record.TokenOf(key)
}

func membersOf(value json.RawMessage) []string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(value, &members)
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
