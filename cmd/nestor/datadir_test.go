package main

import (
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nestor-gateway/nestor/access/store/postgrestest"
)

// Those with a master key keep keys and spend there, whatever address they serve.
func TestASecondGatewayIsToldThatItNeedsADataDirOfItsOwn(t *testing.T) {
	for name, database := range map[string]func(t *testing.T) string{
		"keys in a file":       func(*testing.T) string { return "null" },
		"keys in a PostgreSQL": func(t *testing.T) string { return postgrestest.Single(t).Database() },
	} {
		t.Run(name, func(t *testing.T) {
			config := oneModel + "general_settings: {master_key: sk-m, database_url: " + database(t) + "}\n"
			s := settings{config: writeConfig(t, config), dataDir: t.TempDir(),
				listen: "127.0.0.1:4000", grpcListen: "127.0.0.1:4001", httpListen: "127.0.0.1:4002"}
			first, err := newGateway(s, io.Discard, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(first.limits.Close)
			t.Cleanup(first.callers.close)
			s.listen = "127.0.0.1:4010"
			if _, err := newGateway(s, io.Discard, slog.New(slog.DiscardHandler)); err == nil ||
				!strings.Contains(err.Error(), "give this one a --data-dir of its own") || !strings.Contains(err.Error(), s.dataDir) {
				t.Errorf("error %v, want the folder and the remedy", err)
			}
		})
	}
}

func TestTheDefaultDataDirIsWhereStateBelongs(t *testing.T) {
	home := t.TempDir()
	for name, tc := range map[string]struct{ state, want string }{
		"XDG_STATE_HOME":             {"/state", "/state/nestor"},
		"none":                       {"", filepath.Join(home, ".local", "state", "nestor")},
		"a relative one counts none": {"state", filepath.Join(home, ".local", "state", "nestor")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HOME", home)
			t.Setenv("XDG_STATE_HOME", tc.state)
			if got := runCommand().Flags().Lookup("data-dir").DefValue; got != tc.want {
				t.Errorf("--data-dir is %s, want %s", got, tc.want)
			}
		})
	}
}
