package access

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/routes"
)

// profile is what the lists of a key say. Keys with the same lists, as most have that were made by one script, share
// one: then it is in the processor's cache when a key that was idle is looked at. It never changes.
type profile struct {
	models  grants
	aliases map[string]string
	routes  routes.List
}

// mostProfiles bounds those that are remembered: some are of no key any more.
const mostProfiles = 1 << 14

// profiles are those known, by what the lists say. Only one goroutine at a time may use them.
type profiles struct {
	known map[string]*profile
	name  []byte
}

// of returns the profile of a key, which is a new one when none is known.
func (p *profiles) of(r *record.Key, t routes.Table) *profile {
	p.name = appendLists(p.name[:0], r)
	if known := p.known[string(p.name)]; known != nil {
		return known
	}
	if len(p.known) == mostProfiles {
		clear(p.known)
	}
	made := &profile{models: ownGrants(r.Models), aliases: r.Aliases, routes: t.List(r.AllowedRoutes)}
	p.known[string(p.name)] = made
	return made
}

// appendLists writes the lists so that different ones differ.
func appendLists(to []byte, r *record.Key) []byte {
	to = appendAll(to, r.Models...)
	to = appendAll(to, r.AllowedRoutes...)
	if len(r.Aliases) > 0 {
		for _, alias := range slices.Sorted(maps.Keys(r.Aliases)) {
			to = appendAll(to, alias, r.Aliases[alias])
		}
	}
	return to
}

func appendAll(to []byte, all ...string) []byte {
	to = binary.AppendUvarint(to, uint64(len(all)))
	for _, s := range all {
		to = append(binary.AppendUvarint(to, uint64(len(s))), s...)
	}
	return to
}
