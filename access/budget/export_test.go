package budget

// Known is how many accounts the ledger keeps.
func (l *Ledger) Known() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accounts)
}
