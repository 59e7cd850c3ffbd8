package routing

import (
	"slices"
	"strings"
)

// Alias returns where an alias of the file leads: to a group, or else to a name that is no alias.
// A name that is a deployment's id, too, is no alias when it is called.
func (s *Snapshot) Alias(name string) (target string, ok bool) {
	target, ok = s.aliases[name]
	return target, ok
}

// AccessGroups are model_info.access_groups of the entries of the group that a called name means, in order, each once.
// They are nil for what is no group of the file. It allocates nothing.
func (s *Snapshot) AccessGroups(called string) []string {
	if len(s.access) == 0 {
		return nil
	}
	if t, ok := s.names[called]; ok {
		return s.access[t.group]
	}
	for i := range s.wildcards {
		if s.wildcards[i].Matches(called) {
			return s.access[s.wildcards[i].group]
		}
	}
	return nil
}

// nameAccess is about what names mean to access control. It comes after the names.
func (c *compiler) nameAccess(s *Snapshot) {
	s.aliases, s.access = map[string]string{}, map[int32][]string{}
	for name, end := range c.Ends {
		if leaf, isID := s.byID[name]; !isID || strings.Contains(s.deployments[leaf].Model, "*") {
			s.aliases[name] = end
		}
	}
	for i := range c.Names {
		var groups []string
		for _, entry := range c.Members[i] {
			groups = append(groups, c.cfg.Entries[entry].Info.AccessGroups...)
		}
		if len(groups) > 0 {
			slices.Sort(groups)
			s.access[int32(i)] = slices.Compact(groups)
		}
	}
}
