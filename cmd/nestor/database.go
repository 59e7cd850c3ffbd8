package main

import (
	"errors"

	"github.com/nestor-gateway/nestor/access/store/database"
	"github.com/nestor-gateway/nestor/routing/config"
)

// checkDatabase refuses a URL that can't be a PostgreSQL's, without asking it. The error is a *config.Error, which says
// where the URL is from. A DATABASE_URL counts only where keys are kept: it may be there for another program.
func checkDatabase(cfg *config.Config) error {
	a, from := cfg.Access, "database_url"
	if a.DatabaseAt == (config.Position{}) {
		from = "DATABASE_URL"
	}
	if a.Database == "" || from == "DATABASE_URL" && cfg.MasterKey == "" {
		return nil
	}
	bad, ok := errors.AsType[*database.URLError](database.CheckURL(a.Database))
	if !ok {
		return nil
	}
	return &config.Error{Problems: []config.Diagnostic{{At: a.DatabaseAt, Message: from + " " + bad.Problem, Hint: bad.Hint}}}
}
