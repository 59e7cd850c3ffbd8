package manage

import (
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
