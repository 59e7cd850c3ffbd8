package attempts

import (
	"slices"

	"github.com/nestor-gateway/nestor/routing/cooldown"
)

// anyGroup is the key of a fallback list for groups that have none of their own.
const anyGroup = "*"

// Fallbacks lists what a request can still go to after a failure of a class. been are the names it was
// picked from, the one that failed last first. For each of these in turn come the lists for the class,
// the group's own and the general ones; the default ones come last. Each once, and no group it has been to.
// A list that names an alias comes before one that names its group.
func (s *Settings) Fallbacks(c cooldown.Class, been ...string) []string {
	seen := map[string]bool{}
	var all []string
	for _, name := range been {
		group, _ := s.groupOf(name)
		seen[name], seen[group] = true, true
		all = append(all, s.ownFallbacks(c, name, group)...)
	}
	for _, k := range s.config.Router.DefaultFallbacks {
		all = append(all, k.Name)
	}
	return slices.DeleteFunc(all, func(to string) bool {
		group, _ := s.groupOf(to)
		skip := seen[to] || seen[group]
		seen[to], seen[group] = true, true
		return skip
	})
}

// ownFallbacks are those for a name and the group that it means.
func (s *Settings) ownFallbacks(c cooldown.Class, name, group string) []string {
	var all []string
	switch c {
	case cooldown.ContextWindow:
		all = fallbacksOf(s.contextWindow, name, group)
	case cooldown.ContentPolicy:
		all = fallbacksOf(s.contentPolicy, name, group)
	}
	all = append(all, s.own(group).Fallbacks...)
	return append(all, fallbacksOf(s.general, name, group)...)
}

func fallbacksOf(lists map[string][]string, name, group string) []string {
	for _, key := range []string{name, group, anyGroup} {
		if to, ok := lists[key]; ok {
			return slices.Clone(to)
		}
	}
	return nil
}
