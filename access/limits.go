package access

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing/pattern"
)

// Entities makes and gives up what a limiter keeps limits of. It is safe for concurrent use.
type Entities interface {
	// Put puts a limit in force, in place of one of the same name, whose entity it keeps.
	Put(ratelimit.Limit) ratelimit.Entity
	// Drop takes a limit away; requests that began before still use its entity.
	Drop(name string)
}

// Limited is a key, a team or a user that has limits, as a whole ("key:TOKEN", "team:ID", "user:ID") or for one model
// ("key:TOKEN/model:NAME"). It stays the same when its limits change. It is safe for concurrent use.
type Limited struct {
	Name     string
	entities Entities

	// handle is the entity plus one; 0 until the first request.
	handle atomic.Uint64
	mu     sync.Mutex
	most   ratelimit.Amounts
	gone   bool
}

// Entity returns the handle for the limiter. It is made for the first request, since most keys are idle.
// ok is false when there is no limit any more.
func (l *Limited) Entity() (e ratelimit.Entity, ok bool) {
	if h := l.handle.Load(); h != 0 {
		return ratelimit.Entity(h - 1), true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return 0, false
	}
	return l.put(), true
}

// Most is the limit in each dimension.
func (l *Limited) Most() ratelimit.Amounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most
}

func (l *Limited) put() ratelimit.Entity {
	e := l.entities.Put(ratelimit.Limit{Name: l.Name, Most: l.most})
	l.handle.Store(uint64(e) + 1)
	return e
}

func (l *Limited) set(most ratelimit.Amounts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := l.most != most
	l.most = most
	if changed && l.handle.Load() != 0 {
		l.put()
	}
}

func (l *Limited) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	if l.handle.Swap(0) != 0 {
		l.entities.Drop(l.Name)
	}
}

// limits are those of one key, team or user. They never change; the Limited in them do.
type limits struct {
	whole *Limited
	// models is nil where no model has a limit of its own.
	models *modelLimits
}

// modelLimits are by what a called name stands for.
type modelLimits struct {
	named map[string]*Limited
	// patterns are those of the names with a *, the one with the most literal characters first.
	patterns []wildcard
}

// wildcard is a limit that all names share that match a pattern.
type wildcard struct {
	pattern.Pattern
	*Limited
}

// of appends what a call with a key counts on.
func (l *limits) of(to []*Limited, k *Key, called string) []*Limited {
	if l.whole != nil {
		to = append(to, l.whole)
	}
	if l.models == nil {
		return to
	}
	model, _ := k.model(called)
	return l.ofModel(to, k.names(), model)
}

// ofModel appends what requests for a model count on beside the whole: the limits of the name and of what it is an alias of,
// else those of the longest pattern that one of them matches.
func (l *limits) ofModel(to []*Limited, names Catalog, model string) []*Limited {
	if l.models == nil {
		return to
	}
	before := len(to)
	if m := l.models.named[model]; m != nil {
		to = append(to, m)
	}
	target, alias := names.Alias(model)
	if m := l.models.named[target]; alias && m != nil {
		to = append(to, m)
	}
	if len(to) > before {
		return to
	}
	for i := range l.models.patterns {
		if w := &l.models.patterns[i]; w.Matches(model) || alias && w.Matches(target) {
			return append(to, w.Limited)
		}
	}
	return to
}

// limitsOf compiles limits, of which those that were there before stay what they are; the others of before are dropped.
func limitsOf(e Entities, name string, t record.Terms, rpm, tpm map[string]int64, before limits) limits {
	if e == nil {
		return limits{}
	}
	var l limits
	l.whole = limited(e, name, amounts(t.RPM, t.TPM, t.MaxParallel), before.whole)
	for model := range modelsOf(rpm, tpm) {
		most := amounts(perMinute(rpm, model), perMinute(tpm, model), nil)
		if m := limited(e, name+"/model:"+model, most, before.named(model)); m != nil {
			l.add(model, m)
		}
	}
	if l.models != nil {
		slices.SortFunc(l.models.patterns, longestFirst)
	}
	before.dropUnless(l)
	return l
}

func (l *limits) add(model string, m *Limited) {
	if l.models == nil {
		l.models = &modelLimits{named: map[string]*Limited{}}
	}
	l.models.named[model] = m
	if strings.Contains(model, "*") {
		l.models.patterns = append(l.models.patterns, wildcard{pattern.New(model), m})
	}
}

// longestFirst orders patterns, those of one length by their text: every replica finds the same one.
func longestFirst(a, b wildcard) int {
	return cmp.Or(cmp.Compare(b.Literals, a.Literals), cmp.Compare(a.Text, b.Text))
}

// named is the limit of a name as it is written; nil when there is none.
func (l limits) named(model string) *Limited {
	if l.models == nil {
		return nil
	}
	return l.models.named[model]
}

// dropUnless gives up what is not in the limits that come after.
func (l limits) dropUnless(after limits) {
	if l.whole != nil && l.whole != after.whole {
		l.whole.drop()
	}
	if l.models == nil {
		return
	}
	for model, m := range l.models.named {
		if after.named(model) != m {
			m.drop()
		}
	}
}

// limited returns nil where nothing is limited.
func limited(e Entities, name string, most ratelimit.Amounts, before *Limited) *Limited {
	switch {
	case most == ratelimit.Unlimited():
		return nil
	case before == nil:
		return &Limited{Name: name, entities: e, most: most}
	}
	before.set(most)
	return before
}

func amounts(rpm, tpm, parallel *int64) ratelimit.Amounts {
	most := ratelimit.Unlimited()
	for d, n := range [...]*int64{ratelimit.Requests: rpm, ratelimit.Tokens: tpm, ratelimit.Parallel: parallel} {
		if n != nil {
			most[d] = max(0, *n)
		}
	}
	return most
}

func modelsOf(rpm, tpm map[string]int64) map[string]bool {
	if len(rpm)+len(tpm) == 0 {
		return nil
	}
	models := map[string]bool{}
	for _, m := range slices.AppendSeq(slices.Collect(maps.Keys(rpm)), maps.Keys(tpm)) {
		models[m] = true
	}
	return models
}

func perMinute(limits map[string]int64, model string) *int64 {
	n, ok := limits[model]
	if !ok {
		return nil
	}
	return &n
}
