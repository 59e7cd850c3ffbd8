package access_test

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/routing"
	"github.com/nestor-gateway/nestor/routing/config"
)

// world is a config, and who asks, from which access is worked out in the long way.
type world struct {
	groups  []group
	aliases map[string]string // may lead to aliases
	key     record.Key
	team    *record.Team
	user    *record.User
}

// group is a model_name with an entry for each deployment, and for each group that it refers to.
type group struct {
	name         string
	deployments  []int // each is openai/mN, with id idN
	refers       []string
	accessGroups []string
}

func (g group) wild() bool { return strings.Contains(g.name, "*") }

func drawWorld(t *rapid.T) world {
	w := world{aliases: map[string]string{}}
	plain := []string{"fast", "slow", "openai/big", "groq/one"}
	for _, name := range plain[:rapid.IntRange(1, len(plain)).Draw(t, "groups")] {
		w.groups = append(w.groups, w.drawGroup(t, name))
	}
	for _, name := range []string{"openai/*", "groq/o*"} {
		if rapid.Bool().Draw(t, "has "+name) {
			w.groups = append(w.groups, group{name: name, accessGroups: drawNames(t, accessGroups(), 2, name)})
		}
	}
	if rapid.Bool().Draw(t, "alias slow") {
		w.aliases["slow"] = "fast" // groups may refer to it
	}
	for _, name := range []string{"quick", "quicker", "groq/other"} {
		if rapid.Bool().Draw(t, "alias "+name) {
			w.aliases[name] = rapid.SampledFrom(w.targets()).Draw(t, "target")
		}
	}
	w.drawPeople(t)
	return w
}

// drawGroup makes a group that may refer to those before it. The first has the deployment 0.
func (w *world) drawGroup(t *rapid.T, name string) group {
	g := group{name: name, accessGroups: drawNames(t, accessGroups(), 2, name), deployments: []int{len(w.groups)}}
	if rapid.Bool().Draw(t, name+" has 0") {
		g.deployments = []int{0}
	}
	for _, before := range w.groups {
		if rapid.IntRange(0, 2).Draw(t, "nested") == 0 {
			g.refers = append(g.refers, before.name)
		}
	}
	return g
}

// accessGroups has one that is the name of a group of models, too.
func accessGroups() []string { return []string{"beta", "open", "slow"} }

func drawNames(t *rapid.T, of []string, most int, label string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(of), 0, most).Draw(t, label)
}

// targets are what an alias may lead to.
func (w *world) targets() []string {
	out := []string{"fast", "id0", "openai/m0"}
	for _, name := range []string{"slow", "quick", "openai/x"} {
		if w.aliases[name] != "" || w.isGroup(name) {
			out = append(out, name)
		}
	}
	return out
}

func (w *world) drawPeople(t *rapid.T) {
	names := append(w.universe(), "beta", "open", "openai/*", "*/o*", "f*", "b*")
	words := []string{"*", "all-proxy-models", "all-team-models", "no-default-models"}
	models := func(label string) []string {
		few := drawNames(t, names, 4, label)
		if rapid.Bool().Draw(t, label+" has a word") {
			few = append(few, rapid.SampledFrom(words).Draw(t, label))
		}
		return few
	}
	aliases := func(label string) map[string]string {
		return rapid.MapOfN(rapid.SampledFrom([]string{"mine", "fast", "quick"}), rapid.SampledFrom([]string{"fast", "slow", "id1", "mine"}), 0, 2).Draw(t, label)
	}
	w.key = record.Key{Models: models("key's models"), Aliases: aliases("key's aliases"), UserID: "u"}
	if rapid.Bool().Draw(t, "has a team") {
		w.team = &record.Team{ID: "t", Models: models("team's models"), Aliases: aliases("team's aliases")}
		w.key.TeamID = "t"
	}
	if rapid.Bool().Draw(t, "has a user") {
		w.user = &record.User{ID: "u", Models: models("user's models")}
	}
}

// universe is every name that could mean something.
func (w *world) universe() []string {
	return []string{"fast", "slow", "openai/big", "groq/one", "groq/other", "quick", "quicker", "mine", "id0", "id1", "id2",
		"openai/m0", "openai/m1", "openai/x", "nothing"}
}

func (w *world) yaml() string {
	var b strings.Builder
	b.WriteString("model_list:\n")
	for _, g := range w.groups {
		info := fmt.Sprintf("access_groups: [%s]", strings.Join(g.accessGroups, ", "))
		for _, d := range g.deployments {
			fmt.Fprintf(&b, "  - {model_name: %q, litellm_params: {model: openai/m%d}, model_info: {id: id%d, %s}}\n", g.name, d, d, info)
		}
		for _, r := range g.refers {
			fmt.Fprintf(&b, "  - {model_name: %q, litellm_params: {model: %q}, model_info: {%s}}\n", g.name, r, info)
		}
		if g.wild() {
			fmt.Fprintf(&b, "  - {model_name: %q, litellm_params: {model: \"openai/*\"}, model_info: {%s}}\n", g.name, info)
		}
	}
	b.WriteString("router_settings:\n  model_group_alias: {")
	for a, to := range w.aliases {
		fmt.Fprintf(&b, "%q: %q, ", a, to)
	}
	b.WriteString("}\n")
	return b.String()
}

func (w *world) isGroup(name string) bool {
	return slices.ContainsFunc(w.groups, func(g group) bool { return g.name == name || g.wild() && like(g.name, name) })
}

// end is where the aliases of the file lead from a called name. One that names a group leads to it, though an alias
// may have the same name.
func (w *world) end(called string) string {
	name := called
	for {
		to, ok := w.aliases[name]
		if !ok {
			return name
		}
		if slices.ContainsFunc(w.groups, func(g group) bool { return g.name == to }) {
			return to
		}
		name = to
	}
}

// groupOf is the group that a name, which is no alias, means: none for an id.
func (w *world) groupOf(name string) (best group) {
	for _, g := range w.groups {
		if g.name == name {
			return g
		}
		if g.wild() && like(g.name, name) && len(g.name) > len(best.name) {
			best = g
		}
	}
	return best
}

func like(pattern, name string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(name)
}

// given is every name of the universe that a list of models gives; words are those that give all.
func (w *world) given(models []string, words ...string) map[string]bool {
	out := map[string]bool{}
	for _, called := range w.universe() {
		end := w.end(called)
		group := w.groupOf(end)
		gives := func(m string) bool {
			switch m {
			case "no-default-models", "all-team-models", "all-proxy-models":
				return slices.Contains(words, m)
			}
			return like(m, called) || like(m, end) || slices.Contains(group.accessGroups, m)
		}
		out[called] = len(models) == 0 || slices.ContainsFunc(models, gives)
	}
	return out
}

// allowed works out which type of error a call gets; "" for none.
func (w *world) allowed(called string) string {
	model, byTeam := called, false
	if w.team != nil && w.team.Aliases[called] != "" {
		model, byTeam = w.team.Aliases[called], true
	}
	if w.key.Aliases[model] != "" {
		model, byTeam = w.key.Aliases[model], false
	}
	key := w.given(w.key.Models, "all-proxy-models", "all-team-models")
	aliasGiven := byTeam && slices.ContainsFunc(w.key.Models, func(m string) bool { return like(m, called) })
	if !key[model] && !aliasGiven {
		return "key_model_access_denied"
	}
	if w.team != nil {
		if !byTeam && !w.given(w.team.Models, "all-proxy-models", "all-team-models")[model] {
			return "team_model_access_denied"
		}
		return ""
	}
	switch {
	case w.user == nil:
	case slices.Contains(w.user.Models, "no-default-models"):
		return "key_model_access_denied"
	case !w.given(w.user.Models, "all-proxy-models")[model]:
		return "user_model_access_denied"
	}
	return ""
}

type providers struct{}

func (providers) IsPrefix(word string) bool { return word == "openai" }

func (providers) Split(written, _ string) (provider, model string, err error) {
	if rest, ok := strings.CutPrefix(written, "openai/"); ok {
		return "openai", rest, nil
	}
	return "", "", errors.New("no provider")
}

func (providers) Lacks(string) uint8 { return 0 }

func (providers) Base(string, string) (*url.URL, error) { return url.Parse("https://api.example/v1") }

func (w *world) index(t *rapid.T) *access.Index {
	cfg, err := config.Decode("config.yaml", []byte(w.yaml()), nil)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, _, err := routing.Compile(cfg, providers{})
	if err != nil {
		t.Fatalf("%v\n%s", err, w.yaml())
	}
	m := newMemory()
	m.addKey("a", w.key)
	if w.team != nil {
		m.teams["t"] = *w.team
	}
	if w.user != nil {
		m.users["u"] = *w.user
	}
	x := access.New(access.Options{Store: m, NotFound: errNotFound})
	x.SetMaster(master)
	x.SetCatalog(snapshot)
	if err := x.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestModelsAreAllowedAsWorkedOutInTheLongWay(t *testing.T) {
	verdicts := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		x := w.index(t)
		p, denial := x.Authenticate(bearing(secretOf("a")))
		if denial != nil {
			t.Fatal(denial)
		}
		for _, called := range w.universe() {
			got := ""
			if d := p.May(access.Call{Model: called}); d != nil {
				got = d.Type
			}
			if want := w.allowed(called); got != want {
				t.Fatalf("calling %q: %q, want %q\n%s\nkey %q %v, team %+v, user %+v", called, got, want, w.yaml(), w.key.Models, w.key.Aliases, w.team, w.user)
			}
			if p.MaySee(called) != (got == "") {
				t.Fatalf("%q is seen and not called, or called and not seen", called)
			}
			verdicts[got]++
		}
	})
	for _, kind := range []string{"", "key_model_access_denied", "team_model_access_denied", "user_model_access_denied"} {
		if verdicts[kind] == 0 {
			t.Errorf("no call ended as %q: the test shows nothing", kind)
		}
	}
}
