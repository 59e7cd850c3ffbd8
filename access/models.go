package access

import (
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/routing/pattern"
)

// LiteLLM's names in lists of models that stand for no model.
const (
	// allTeamModels in the list of a key leaves the choice to its team; a key without a team may call all, as may a team.
	allTeamModels  = "all-team-models"
	allProxyModels = "all-proxy-models"
	// noDefaultModels in the list of a user allows the keys without a team nothing, whatever else is listed.
	noDefaultModels = "no-default-models"
)

// Catalog is what the config says about names: a routing.Snapshot is one.
type Catalog interface {
	// Alias returns where a name leads by model_group_alias, at the end of all aliases.
	Alias(name string) (target string, ok bool)
	// AccessGroups are those (model_info.access_groups) of the entries of the group, or of the pattern, that a called
	// name leads to; nil for a name that means something else, such as one deployment.
	AccessGroups(called string) []string
}

// noNames is the Catalog of a config that is not there yet.
type noNames struct{}

func (noNames) Alias(string) (string, bool)  { return "", false }
func (noNames) AccessGroups(string) []string { return nil }

// grants is a list of models as compiled for checks. It never changes. A pattern is matched with the called name alone:
// LiteLLM would also guess a provider for "gpt-4o" and find it in "openai/*".
type grants struct {
	all bool
	// names are sorted; patterns are those among them with a *.
	names    []string
	patterns []pattern.Pattern
}

// everything is a list that allows all.
func everything() grants { return grants{all: true} }

// grantsOf compiles a list of which the empty one, "*" and the words for all allow everything.
// The other words allow nothing, as does a list that holds no other name.
func grantsOf(models []string, wordsForAll ...string) grants {
	if len(models) == 0 {
		return everything()
	}
	var g grants
	for _, m := range models {
		switch {
		case m == "*" || slices.Contains(wordsForAll, m):
			return everything()
		case m == allTeamModels || m == allProxyModels || m == noDefaultModels:
		default:
			g.add(m)
		}
	}
	slices.Sort(g.names)
	g.names = slices.Compact(g.names)
	return g
}

func (g *grants) add(model string) {
	g.names = append(g.names, model)
	if strings.Contains(model, "*") {
		g.patterns = append(g.patterns, pattern.New(model))
	}
}

// ownGrants is the list of a key or a team, userGrants that of a user, by LiteLLM's reading of the words.
func ownGrants(models []string) grants { return grantsOf(models, allProxyModels, allTeamModels) }

// userGrants says, too, as whose denial LiteLLM tells that a model is not in the list.
func userGrants(models []string) (g grants, denies record.Kind) {
	if slices.Contains(models, noDefaultModels) {
		return grants{}, record.OfKey
	}
	return grantsOf(models, allProxyModels), record.OfUser
}

// allow reports whether the list has a called name, or what the name is an alias of, or an access group of that. A group
// that is allowed so allows nothing of what it is made of by its own name.
func (g *grants) allow(called string, names Catalog) bool {
	if g.all || g.has(called) {
		return true
	}
	if target, ok := names.Alias(called); ok && g.has(target) {
		return true
	}
	return slices.ContainsFunc(names.AccessGroups(called), g.lists)
}

func (g *grants) has(name string) bool {
	if g.lists(name) {
		return true
	}
	for i := range g.patterns {
		if g.patterns[i].Matches(name) {
			return true
		}
	}
	return false
}

func (g *grants) lists(name string) bool {
	_, found := slices.BinarySearch(g.names, name)
	return found
}
