package database

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// migrationLock is the advisory lock that replicas take before they look at the schema: "nestor" in ASCII.
const migrationLock = 0x6e6573746f72

// migrate brings the schema up to date. Replicas of different age share a database while they are replaced one by
// one, so a migration only adds.
func (d *DB) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, LoadTime)
	defer cancel()
	unlock, err := d.lockSchema(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	folder, err := fs.Sub(migrations, "migrations/"+d.folder())
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.Dialect(d.name), d.DB, folder,
		goose.WithTableName("nestor_schema"), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	if err := refuseNewer(ctx, provider); err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func (d Dialect) folder() string {
	if d.exclusive {
		return "sqlite"
	}
	return "postgres"
}

func refuseNewer(ctx context.Context, provider *goose.Provider) error {
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > known {
		return fmt.Errorf("it has version %d and this nestor knows %d at most: run the newer nestor that made it", current, known)
	}
	return nil
}

// lockSchema keeps other replicas from migrating until the function it returns is called. A file has no others.
func (d *DB) lockSchema(ctx context.Context) (unlock func(), err error) {
	if d.exclusive {
		return func() {}, nil
	}
	conn, err := d.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return func() {
		// It ends with the connection, too.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
		_ = conn.Close()
	}, nil
}
