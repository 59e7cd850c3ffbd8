package budgettest_test

import (
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/budget/budgettest"
)

// store is the bank as the suite looks at it.
type store struct{ *budgettest.Bank }

func (s store) Put(account string, terms budget.Terms) error {
	s.Bank.Put(account, terms)
	return nil
}

func (s store) Delete(account string) error {
	s.Bank.Delete(account)
	return nil
}

func TestBank(t *testing.T) {
	budgettest.Suite{Open: func(_ *testing.T, now func() time.Time) budgettest.Store {
		return store{budgettest.NewBank(now)}
	}}.Run(t)
}
