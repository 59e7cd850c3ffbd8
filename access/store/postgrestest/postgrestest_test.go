package postgrestest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/nestor-gateway/nestor/access/store/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAServerKeepsWhatWasWrittenWhenItIsStartedAgain(t *testing.T) {
	s := postgrestest.Single(t)
	url := s.Database()
	s.Exec("test1", "CREATE TABLE kept (n BIGINT)")
	for name, die := range map[string]func(){"Stop": s.Stop, "Kill": s.Kill} {
		die()
		if conn, err := pgx.Connect(context.Background(), url); err == nil {
			t.Errorf("answered after %s", name)
			_ = conn.Close(context.Background())
		}
		s.Start()
		s.Exec("test1", "SELECT n FROM kept")
	}
}

func TestDatabasesAreApart(t *testing.T) {
	s := postgrestest.Single(t)
	s.Database()
	s.Exec("test1", "CREATE TABLE mine (n BIGINT)")
	conn, err := pgx.Connect(context.Background(), s.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(context.Background(), "SELECT n FROM mine"); err == nil {
		t.Error("a new database has a table of another one")
	}
}

func TestDisconnectEndsConnections(t *testing.T) {
	s := postgrestest.Single(t)
	conn, err := pgx.Connect(context.Background(), s.Database())
	if err != nil {
		t.Fatal(err)
	}
	s.Disconnect()
	if err := conn.Ping(context.Background()); err == nil {
		t.Error("the connection is still good")
	}
}
