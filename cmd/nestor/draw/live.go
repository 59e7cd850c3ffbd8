package draw

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/routing/live"
)

// Live prints how the deployments of a model stand, and the references and groups that are limited.
func Live(w io.Writer, l *live.Status) {
	if l.Group != l.Model {
		fmt.Fprintf(w, "%s means %s\n\n", l.Model, l.Group)
	}
	t := table{columns: []column{
		{"DEPLOYMENT", false}, {"PROBABILITY", true}, {"MODEL", false}, {"IN FLIGHT", true}, {"REQUESTS", true}, {"TOKENS", true},
		{"PARALLEL", true}, {"FIRST TOKEN", true}, {"LATENCY", true}, {"", false},
	}}
	for _, d := range l.Deployments {
		t.add(d.ID, probability(d.Probability), d.Model, strconv.FormatInt(d.InFlight, 10),
			use(d.Limits, "requests"), use(d.Limits, "tokens"), use(d.Limits, "parallel"),
			seconds(d.FirstToken), seconds(d.Latency), state(d))
	}
	t.print(w)
	limits := table{columns: []column{{"LIMIT", false}, {"REQUESTS", true}, {"TOKENS", true}, {"PARALLEL", true}, {"", false}}}
	for _, r := range l.References {
		limits.add(fmt.Sprintf("%s -> %s", r.Group, r.To), use(r.Limits, "requests"), use(r.Limits, "tokens"), use(r.Limits, "parallel"), stopped(r.Full, r.Closed))
	}
	for _, g := range l.Groups {
		limits.add(g.Group, use(g.Limits, "requests"), use(g.Limits, "tokens"), use(g.Limits, "parallel"), stopped(g.Full, g.Closed))
	}
	if len(limits.rows) > 0 {
		fmt.Fprintln(w)
		limits.print(w)
	}
}

func probability(p *float64) string {
	if p == nil {
		return ""
	}
	return percent(*p)
}

// use is "used/limit, reset", or what is used alone where there is no limit.
func use(all []live.Use, dimension string) string {
	i := slices.IndexFunc(all, func(u live.Use) bool { return u.Dimension == dimension })
	if i < 0 {
		return ""
	}
	u := all[i]
	text := strconv.FormatInt(u.Used, 10)
	if u.Limit != nil {
		text += "/" + strconv.FormatInt(*u.Limit, 10)
	}
	if u.Reset > 0 {
		text += ", " + seconds(u.Reset)
	}
	return text
}

func seconds(s float64) string {
	if s <= 0 {
		return ""
	}
	d := time.Duration(s * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func state(d live.Deployment) string {
	var all []string
	if d.Eligible {
		all = append(all, "eligible")
	}
	for _, r := range d.WhyNot {
		all = append(all, reason(r))
	}
	return strings.Join(all, "; ")
}

func reason(r live.Reason) string {
	switch r.Why {
	case live.Cooling:
		return "cooling for " + seconds(r.Seconds)
	case live.Full:
		return fmt.Sprintf("%s of %s used up for %s", r.Dimension, r.Limit, seconds(r.Seconds))
	case live.Closed:
		return closed(r.Limit, r.Seconds)
	case live.Exhausted:
		return fmt.Sprintf("%s used up, its provider says, for %s", r.Dimension, seconds(r.Seconds))
	}
	return r.Text
}

func stopped(u *live.Until, closedFor float64) string {
	switch {
	case closedFor > 0:
		return closed("", closedFor)
	case u != nil:
		return u.Dimension + " used up for " + seconds(u.Seconds)
	}
	return ""
}

func closed(limit string, forSeconds float64) string {
	if limit != "" {
		limit += " "
	}
	return limit + "closed for " + seconds(forSeconds) + ": what was used is not known"
}
