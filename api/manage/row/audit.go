package row

import (
	"strconv"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/reply"
)

// Audit is a line of the audit log.
func Audit(a record.Audit) reply.Object {
	return reply.Object{
		"id": strconv.FormatInt(a.ID, 10), "updated_at": a.Time.UTC(), "changed_by_api_key": a.Actor, "address": OrNull(a.Address),
		"action": a.Action, "table_name": string(a.Kind), "object_id": a.Object, "updated_values": a.Detail,
	}
}
