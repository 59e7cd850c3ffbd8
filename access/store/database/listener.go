package database

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nestor-gateway/nestor/access/record"
)

// listener is the feed of a PostgreSQL database: what is told with NOTIFY in the transaction arrives when it counts,
// and only then, at every replica that listens, this one included.
type listener struct {
	target target
	log    *slog.Logger
}

// channel is PostgreSQL's word for where is told what.
const channel = "nestor_changes"

// mostBytes is a little less than a notification may have.
const mostBytes = 7900

func (l *listener) announce(ctx context.Context, tx *sql.Tx, changes []record.Change) error {
	if len(changes) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_notify('"+channel+"', value) FROM jsonb_array_elements_text($1)", List(messages(changes)))
	return err
}

func (l *listener) committed([]record.Change) {}

// messages are what is told: a kind, a space and an id.
func messages(changes []record.Change) []string {
	if len(changes) > most {
		changes = everything()
	}
	out := make([]string, len(changes))
	for i, c := range changes {
		if out[i] = string(c.Kind) + " " + c.ID; len(out[i]) > mostBytes {
			return []string{string(record.All) + " "}
		}
	}
	return out
}

func changeOf(message string) record.Change {
	kind, id, _ := strings.Cut(message, " ")
	return record.Change{Kind: record.Kind(kind), ID: id}
}

// soonest and latest bound how long is waited before the next try to connect.
const (
	soonest = 100 * time.Millisecond
	latest  = 5 * time.Second
)

// quiet is after how long without a word the connection is asked for a sign of life: of one that has been lost on
// the way nothing would be heard ever.
const quiet = 5 * time.Second

func (l *listener) watch(ctx context.Context, f func(record.Change)) error {
	for pause := soonest; ; pause = min(2*pause, latest) {
		heard, err := l.listen(ctx, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if heard {
			pause = soonest
		}
		l.log.Warn("changes of other replicas to keys, teams, users and budgets are not seen: connecting again",
			"database", l.target.place(), "error", l.target.scrub(err).Error(), "in", pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// listen connects and tells f what it hears until something fails; heard says whether it got as far as that.
func (l *listener) listen(ctx context.Context, f func(record.Change)) (heard bool, err error) {
	conn, err := l.connect(ctx)
	if err != nil {
		return false, err
	}
	defer l.hangUp(conn)
	f(record.Change{Kind: record.All})
	for {
		message, err := l.next(ctx, conn)
		if err != nil {
			return true, err
		}
		f(changeOf(message))
	}
}

func (l *listener) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTime)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.target.config.Copy())
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		l.hangUp(conn)
		return nil, err
	}
	return conn, nil
}

func (l *listener) hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // there is nothing to be lost
}

// next is the next message. While there is none, the server is asked now and then whether it lives.
func (l *listener) next(ctx context.Context, conn *pgx.Conn) (string, error) {
	for {
		wait, cancel := context.WithTimeout(ctx, quiet)
		n, err := conn.WaitForNotification(wait)
		cancel()
		if err == nil {
			return n.Payload, nil
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return "", err
		}
		if err := l.ping(ctx, conn); err != nil {
			return "", err
		}
	}
}

func (l *listener) ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return conn.Ping(ctx)
}
