package budget

import (
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
)

// Known is how many accounts the ledger keeps.
func (l *Ledger) Known() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accounts)
}

// Held is what a reservation holds of an account, 0 where it isn't held.
func (l *Ledger) Held(id ratelimit.ID, account string) record.Nano {
	s := l.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.held[id]; r != nil {
		for _, h := range r.holds {
			if h.account.name == account {
				return h.amount
			}
		}
	}
	return 0
}
