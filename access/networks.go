package access

import (
	"net/netip"
	"slices"
	"strings"
)

// SetNetworks says from where requests may come, whatever key they carry; nil is from everywhere. The address is the
// last one of x-forwarded-for, which Envoy writes; a request without one comes from nowhere.
func (x *Index) SetNetworks(allowed []netip.Prefix) {
	if allowed == nil {
		x.networks.Store(nil)
		return
	}
	x.networks.Store(&allowed)
}

// fromAllowed returns the denial of a request from elsewhere.
func (x *Index) fromAllowed(header func(string) string) *Denial {
	allowed := x.networks.Load()
	if allowed == nil {
		return nil
	}
	address := lastForwarded(header("x-forwarded-for"))
	if slices.ContainsFunc(*allowed, func(p netip.Prefix) bool { return p.Contains(address) }) {
		return nil
	}
	return wrongNetwork(address)
}

// lastForwarded is the zero address, which is in no network, where there is none.
func lastForwarded(addresses string) netip.Addr {
	last := strings.TrimSpace(addresses[strings.LastIndexByte(addresses, ',')+1:])
	a, _ := netip.ParseAddr(last)
	return a.Unmap().WithZone("")
}
