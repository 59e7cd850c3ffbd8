package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store/database"
)

func auditColumns() []column[record.Audit] {
	return []column[record.Audit]{
		{"time", func(a *record.Audit) any { return momentOf(&a.Time) }},
		{"actor", func(a *record.Audit) any { return &a.Actor }},
		{"address", func(a *record.Audit) any { return &a.Address }},
		{"action", func(a *record.Audit) any { return &a.Action }},
		{"kind", func(a *record.Audit) any { return (*string)(&a.Kind) }},
		{"object", func(a *record.Audit) any { return &a.Object }},
		{"detail", func(a *record.Audit) any { return document{&a.Detail} }},
	}
}

const auditNames = "time, actor, address, action, kind, object, detail"

// audit adds a line to the audit log for each record that a call was about; its time is now unless it has one.
func (s *Store) audit(ctx context.Context, tx *database.Tx, a record.Audit, kind record.Kind, objects ...string) error {
	if a.Time.IsZero() {
		a.Time = s.db.Now()
	}
	a.Kind = cmp.Or(a.Kind, kind)
	given := a.Object
	lines := make([][]any, len(objects))
	for i, object := range objects {
		a.Object = cmp.Or(given, object)
		line, err := values(auditColumns(), &a)
		if err != nil {
			return err
		}
		lines[i] = line
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO nestor_audits ("+auditNames+`) SELECT CAST(value->>0 AS BIGINT),
		value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM `+s.db.Each+"($1)", database.List(lines))
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// AuditQuery says which lines of the audit log. What is empty does not matter.
type AuditQuery struct {
	// From is included, To is not.
	From, To              time.Time
	Actor, Action, Object string
	Kind                  record.Kind
	// Limit 0 is all.
	Offset, Limit int
}

// Audits returns lines of the audit log, the latest first.
func (s *Store) Audits(ctx context.Context, q AuditQuery) ([]record.Audit, error) {
	ctx, cancel := context.WithTimeout(ctx, database.CallTime)
	defer cancel()
	var f filter
	f.between("time", q.From, q.To)
	f.equal("actor", q.Actor)
	f.equal("action", q.Action)
	f.equal("object", q.Object)
	f.equal("kind", string(q.Kind))
	rows, err := s.db.QueryContext(ctx, "SELECT id, "+auditNames+" FROM nestor_audits"+f.where()+
		" ORDER BY id DESC"+page{offset: q.Offset, limit: q.Limit}.window(), f.args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer rows.Close()
	var all []record.Audit
	for rows.Next() {
		var a record.Audit
		if err := rows.Scan(append([]any{&a.ID}, places(auditColumns(), &a)...)...); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

func (f *filter) between(column string, from, to time.Time) {
	f.add(column+" >= ?", nanos(from), !from.IsZero())
	f.add(column+" < ?", nanos(to), !to.IsZero())
}
