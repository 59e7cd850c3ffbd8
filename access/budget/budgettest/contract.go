package budgettest

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// Store is a bank with what a test does to it from outside. Accounts are named as record.AccountOf names those of keys:
// "key:a", "key:b", ...
type Store interface {
	budget.Bank
	// Put makes an account without spend, or changes the terms of one and keeps its spend.
	Put(t *testing.T, account string, terms budget.Terms)
	// Delete removes an account.
	Delete(t *testing.T, account string)
	// Now is the time by the bank's clock, and Pass has the bank take that much time for past: by a clock of
	// its own, or by making everything that it keeps older.
	Now(t *testing.T) time.Time
	Pass(t *testing.T, d time.Duration)
	// Logged is the cost of all rows in the spend log.
	Logged(t *testing.T) record.Nano
}

// Suite tests a kind of bank.
type Suite struct {
	// Open returns a bank without accounts, replicas and rows. It is called several times in one test.
	Open func(t *testing.T) Store
}
