package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/spend"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api"
	"github.com/nestor-gateway/nestor/api/manage"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

const (
	// storeTime is how long a start waits for the database, to open it and to load all keys.
	storeTime = 30 * time.Second
	// farewell is how long an end waits for it, to take the last rows of the spend log.
	farewell = 5 * time.Second
	// tidyPeriod is between two looks at what of the spend log is too old, and at budget periods that have ended.
	tidyPeriod = time.Minute
	// onceTime is how late a row may come again, at most, that is to be counted once.
	onceTime = time.Hour
)

// callers are those who may ask, and what they spend. Without a master key nobody could manage keys: then there is no
// store, and everybody is let in.
type callers struct {
	index  *access.Index
	access atomic.Pointer[config.Access]
	log    *slog.Logger
	// anonymous: there is no master key, and everybody is let in.
	anonymous bool

	// These are nil without a store.
	store  *store.Store
	ledger *budget.Ledger
	outbox *spend.Outbox

	stop context.CancelFunc
	work sync.WaitGroup
}

// openCallers opens the store that the config names, and loads it.
func openCallers(s settings, cfg *config.Config, l *limits, log *slog.Logger) (*callers, error) {
	c := &callers{log: log}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	if cfg.MasterKey == "" {
		c.index = access.New(access.Options{Log: log})
		return c, nil
	}
	begin, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	if err := c.open(begin, s, cfg, l); err != nil {
		c.close()
		return nil, err
	}
	c.work.Go(func() { c.ledger.Run(ctx) })
	if err := c.index.Load(begin); err != nil {
		c.close()
		return nil, fmt.Errorf("load the keys: %w", err)
	}
	c.work.Go(func() { c.follow(ctx) })
	c.work.Go(func() { c.tidy(ctx) })
	return c, nil
}

func (c *callers) open(ctx context.Context, s settings, cfg *config.Config, l *limits) (err error) {
	file := filepath.Join(s.dataDir, "nestor.db")
	if c.store, err = store.Open(ctx, store.Options{File: file, URL: cfg.Access.Database, Log: c.log}); err != nil {
		return err
	}
	c.ledger = budget.New(budget.Options{
		Bank: c.store, Replica: nodeID(s.listen), Exclusive: c.store.Exclusive(), Warn: c.warn, Expired: c.expired,
	})
	c.outbox, err = spend.Open(spend.Options{Dir: filepath.Join(s.dataDir, "spend"), Writer: c.ledger, Log: c.log})
	if err != nil {
		return err
	}
	c.index = access.New(access.Options{
		Store: c.store, NotFound: store.ErrNotFound, Entities: l.store, Accounts: c.ledger, Log: c.log,
	})
	return nil
}

// apply puts the part of a config that is about callers in force.
func (c *callers) apply(cfg *config.Config, s *routing.Snapshot) {
	c.access.Store(&cfg.Access)
	c.index.SetMaster(cfg.MasterKey)
	c.index.SetCatalog(s)
	c.index.SetNetworks(cfg.Access.AllowedIPs)
	c.anonymous = cfg.MasterKey == ""
}

// tellMaster warns that a config that was read again has taken the master key away, or brought one. client is where
// clients connect.
func (c *callers) tellMaster(wasAnonymous bool, client string) {
	switch {
	case c.anonymous && !wasAnonymous:
		c.log.Warn("the config has no master_key any more: everybody who reaches the address may call any model; "+
			"virtual keys are not looked at: blocked ones are let in too, nothing is charged to any, and nobody can manage them",
			"address", client, "hint", "set general_settings.master_key: keys are then what they were")
	case !c.anonymous && wasAnonymous && c.store == nil:
		c.log.Warn("the config has a master_key now: it is asked for, but there are no virtual keys until nestor is started again")
	}
}

// follow keeps the index current.
func (c *callers) follow(ctx context.Context) {
	if err := c.index.Follow(ctx); err != nil && ctx.Err() == nil {
		c.log.Error("changes of keys are not seen any more: restart", "error", err)
	}
}

// tidy ends budget periods, so that also those of idle keys begin anew, and deletes rows of the spend log that are older
// than the config wants, until ctx ends.
func (c *callers) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyPeriod)
	defer tick.Stop()
	for {
		if _, err := c.store.TurnPeriods(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("budget periods of idle keys not ended", "error", err)
		}
		c.prune(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *callers) prune(ctx context.Context) {
	keep, bounded := c.retention()
	if !bounded {
		return
	}
	n, err := c.store.Prune(ctx, time.Now().Add(-keep))
	switch {
	case err != nil && ctx.Err() == nil:
		c.log.Warn("old rows of the spend log not deleted", "error", err)
	case n > 0:
		c.log.Info("old rows of the spend log deleted", "rows", n)
	}
}

// retention is how long rows of the spend log are kept; false: for ever.
func (c *callers) retention() (keep time.Duration, bounded bool) {
	switch a := c.access.Load(); {
	case a == nil:
		return 0, false
	case a.NoSpendLogs:
		return onceTime, true
	case a.SpendRetention == nil:
		return 0, false
	default:
		return *a.SpendRetention, true
	}
}

// LogsAll reports whether requests have rows that no key pays for.
func (c *callers) LogsAll() bool {
	a := c.access.Load()
	return a == nil || !a.NoSpendLogs
}

// warn tells people of budgets.
func (c *callers) warn(n budget.Notice) {
	switch n.Event {
	case budget.Soft:
		c.log.Warn("soft budget passed", "account", n.Account, "spend", n.Spend.String(), "soft_budget", n.Limit.String())
	case budget.Lost:
		c.log.Error("budgets: the database can't be reached: what is set aside can be spent, and no more", "error", n.Err)
	case budget.Found:
		c.log.Info("budgets: the database answers again")
	}
}

// expired writes down what nobody told the end of.
func (c *callers) expired(e budget.Expired) { c.outbox.Add(unheard(e, time.Now())) }

// unheard is the row of an attempt of which no more is known than who pays.
func unheard(e budget.Expired, now time.Time) record.Spend {
	row := record.Spend{ID: hex.EncodeToString(e.ID[:]), Start: now, Cost: e.Cost, Accounts: e.Accounts, Outcome: "unknown"}
	for _, account := range e.Accounts {
		kind, id, _ := strings.Cut(account, ":")
		switch record.Kind(kind) {
		case record.OfKey:
			row.Token, _, _ = strings.Cut(id, "/") // what an Origin begins with
		case record.OfTeam:
			row.TeamID = id
		case record.OfUser:
			row.UserID = id
		}
	}
	return row
}

// Charge settles what an attempt holds, and has its row written. A cost without a row is not known in the end: the row
// comes with the access log entry.
func (c *callers) Charge(id ratelimit.ID, cost record.Nano, row *record.Spend) {
	if row == nil {
		if cost == 0 {
			c.ledger.Refund(id)
		}
		return
	}
	if !c.ledger.Settle(id, cost) {
		c.ledger.Charge(row.Accounts, cost)
	}
	c.outbox.Add(*row)
}

// Renew has what an attempt holds of budgets held on.
func (c *callers) Renew(id ratelimit.ID, life time.Duration) bool { return c.ledger.Renew(id, life) }

// manager serves the management routes; nil without a store.
func (c *callers) manager() api.Manager {
	if c.store == nil {
		return nil
	}
	return manage.New(manage.Options{
		Store:    c.store,
		Auth:     func() manage.Authenticator { return c.index },
		Apply:    c.index.Apply,
		Allows:   c.index.Allows,
		Networks: func() []netip.Prefix { return c.access.Load().ManagementIPs },
		Now:      time.Now,
		Log:      c.log,
	})
}

// register adds the metrics of what is spent.
func (c *callers) register(r prometheus.Registerer) {
	if c.outbox != nil {
		r.MustRegister(c.outbox)
	}
}

// close writes what is left of the spend log, and ends everything. Nothing may be charged any more.
func (c *callers) close() {
	var errs []error
	c.stop()
	c.work.Wait() // leases are given back first
	if c.outbox != nil {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		errs = append(errs, c.outbox.Close(ctx))
		cancel()
	}
	if c.store != nil {
		errs = append(errs, c.store.Close())
	}
	if err := errors.Join(errs...); err != nil {
		c.log.Warn("the store of keys was not closed cleanly", "error", err)
	}
}

// bills are those that other replicas send. See forward.Money.
type bills struct{ *callers }

// Charge takes a row as JSON.
func (b bills) Charge(id ratelimit.ID, cost int64, row []byte) {
	if len(row) == 0 {
		b.callers.Charge(id, record.Nano(cost), nil)
		return
	}
	var one record.Spend
	if err := json.Unmarshal(row, &one); err != nil {
		b.log.Error("a row of the spend log that another replica sent can't be read", "error", err)
		return
	}
	b.callers.Charge(id, record.Nano(cost), &one)
}
