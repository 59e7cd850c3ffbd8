package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// connections is the most that one replica has unless its URL says so: PostgreSQL has 100 unless told otherwise.
const connections = 10

// dialTime is how long it may take to connect.
const dialTime = 5 * time.Second

func (d *DB) openURL(ctx context.Context, o Options) error {
	target, err := parseURL(o.URL)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	d.DB = stdlib.OpenDB(*target.config, stdlib.OptionAfterConnect(prepareSession))
	d.DB.SetMaxOpenConns(target.connections)
	d.DB.SetMaxIdleConns(target.connections)
	d.DB.SetConnMaxIdleTime(5 * time.Minute)
	d.DB.SetConnMaxLifetime(30 * time.Minute)
	d.Dialect, d.closing = postgresDialect(target.place()), func() error { return nil }
	d.feed = &listener{target: target, log: d.log}
	ctx, cancel := context.WithTimeout(ctx, 2*dialTime)
	defer cancel()
	if err := d.DB.PingContext(ctx); err != nil {
		return errors.Join(fmt.Errorf("connect to %s: %w", d.Place, target.scrub(err)), d.DB.Close())
	}
	return nil
}

// prepareSession frees what a transaction has locked when its replica has vanished in the middle of it: TCP alone
// would notice after hours.
func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET idle_in_transaction_session_timeout = '30s'")
	return err
}

func postgresDialect(place string) Dialect {
	return Dialect{
		name: "postgres", Place: place, ForUpdate: " FOR UPDATE OF r",
		Each: "jsonb_array_elements", text: "jsonb_array_elements_text",
		Clock:      "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS BIGINT)",
		SkipLocked: " FOR UPDATE SKIP LOCKED",
		again:      func(err error) bool { return isState(err, "40001", "40P01") }, // serialization failure, deadlock
		Taken:      postgresTaken,
	}
}

func postgresTaken(err error) (string, bool) {
	var failed *pgconn.PgError
	if !errors.As(err, &failed) {
		return "", false
	}
	return failed.ConstraintName, failed.Code == "23505"
}

func isState(err error, codes ...string) bool {
	var failed *pgconn.PgError
	if !errors.As(err, &failed) {
		return false
	}
	for _, code := range codes {
		if failed.Code == code {
			return true
		}
	}
	return false
}

// place names the database in errors: no credential.
func (t target) place() string {
	return "PostgreSQL database " + t.config.Database + " at " + net.JoinHostPort(t.config.Host, strconv.Itoa(int(t.config.Port)))
}
