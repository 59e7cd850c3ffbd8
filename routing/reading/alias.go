package reading

import (
	"fmt"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config"
)

// follow finds where every alias leads: to a group, or else to a name that is no alias.
func (f *File) follow() {
	for i := range f.cfg.Router.Aliases {
		f.aliases[f.cfg.Router.Aliases[i].Name] = &f.cfg.Router.Aliases[i]
	}
	for i := range f.cfg.Router.Aliases {
		f.followOne(&f.cfg.Router.Aliases[i])
	}
}

func (f *File) followOne(a *config.Alias) {
	var chain []*config.Alias
	at := map[string]int{}
	to := a.Name
	for {
		if end, done := f.Ends[to]; done {
			to = end
			break
		}
		next := f.aliases[to]
		at[to] = len(chain)
		chain = append(chain, next)
		to = next.Target
		if _, group := f.Groups[to]; group || f.aliases[to] == nil {
			break
		}
		if first, met := at[to]; met {
			f.aliasCycle(chain[first:])
			to = ""
			break
		}
	}
	for _, link := range chain {
		f.Ends[link.Name] = to
	}
}

func (f *File) aliasCycle(chain []*config.Alias) {
	var path strings.Builder
	for _, a := range chain {
		fmt.Fprintf(&path, "%s (%s) -> ", a.Name, f.Place(a.At))
	}
	path.WriteString(chain[0].Name)
	f.Problem(chain[0].At, "aliases that name only each other: "+path.String(), "let one of them name a group")
}
