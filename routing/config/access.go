package config

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// Access is what general_settings says about who may call, and where that is kept.
type Access struct {
	// Database is database_url, or DATABASE_URL where the file gives none: a PostgreSQL. Empty when there is none.
	// DatabaseAt is the place of database_url in the file; the zero value where it says nothing.
	Database   Secret
	DatabaseAt Position
	// AllowedIPs are the addresses that may call anything; ManagementIPs, a setting of Nestor's own, those that may
	// change keys, teams, users and budgets. Nil: all.
	AllowedIPs, ManagementIPs []netip.Prefix
	// SpendRetention is maximum_spend_logs_retention_period: how long a row of the spend log is kept. Nil: for ever.
	SpendRetention *time.Duration
	// NoSpendLogs is disable_spend_logs: of requests that no key, team or user pays for there is no row, and of others
	// only for as long as it takes to count each once.
	NoSpendLogs bool
}

// accessKey reads a key of general_settings that is about access; false: it is not.
func (d *decoder) accessKey(f tree.Pair) bool {
	a := &d.cfg.Access
	switch f.Key.Text {
	case "database_url":
		d.secret("database_url", f.Value, &a.Database)
		if a.DatabaseAt = f.Value.At; a.Database == "" {
			a.DatabaseAt = Position{} // as if it were not there
		}
	case "allowed_ips":
		d.addresses("allowed_ips", f.Value, &a.AllowedIPs)
	case "management_allowed_ips":
		d.addresses("management_allowed_ips", f.Value, &a.ManagementIPs)
	case "maximum_spend_logs_retention_period":
		d.period("maximum_spend_logs_retention_period", f.Value, &a.SpendRetention)
	case "disable_spend_logs":
		d.flag("disable_spend_logs", f.Value, &a.NoSpendLogs)
	default:
		return false
	}
	return true
}

// database takes the address from DATABASE_URL where the file gives none, as LiteLLM does.
func (d *decoder) database() {
	if d.cfg.Access.Database == "" {
		url, _ := d.env("DATABASE_URL")
		d.cfg.Access.Database = Secret(cmp.Or(url, d.variables["DATABASE_URL"]))
	}
}

// addresses reads a list of IP addresses and networks, such as 10.0.0.0/8. A list without any lets nobody in.
func (d *decoder) addresses(key string, v *tree.Node, to *[]netip.Prefix) {
	if v.IsNull() {
		return
	}
	*to = []netip.Prefix{}
	for _, one := range d.texts(key, v) {
		p, ok := network(one.Name)
		if !ok {
			d.report.Problem(one.At, "write an address or a network, for example 192.0.2.7 or 10.0.0.0/8", "%s has %q, which is none", key, one.Name)
			continue
		}
		*to = append(*to, p)
	}
}

// network reads an address as the network of it alone.
func network(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), true
}

const day = 24 * time.Hour

// period reads LiteLLM's notation of how long something lasts, for example "30d"; a month has 30 days.
func (d *decoder) period(key string, v *tree.Node, to **time.Duration) {
	text, _, ok := d.resolve(key, v, "a period")
	if !ok {
		return
	}
	digits := strings.TrimRight(text, "smhdwo")
	unit := map[string]time.Duration{
		"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day, "mo": 30 * day,
	}[text[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 32)
	switch {
	case err != nil || unit == 0:
		d.report.Problem(v.At, "write a whole number and s, m, h, d, w or mo, for example 30d", "%s must be a period", key)
	case n == 0 || n > uint64(10*365*day/unit):
		d.report.Problem(v.At, "leave the key out to keep everything", "%s must be more than nothing and at most ten years", key)
	default:
		t := time.Duration(n) * unit
		*to = &t
	}
}
