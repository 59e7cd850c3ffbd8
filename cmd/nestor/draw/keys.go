package draw

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/keys"
)

// Keys writes virtual keys as a table.
func Keys(w io.Writer, all []keys.Key) {
	if len(all) == 0 {
		fmt.Fprintln(w, "no keys")
		return
	}
	t := table{columns: []column{{head: "ALIAS"}, {head: "KEY"}, {head: "TEAM"}, {head: "USER"}, {head: "MODELS"},
		{head: "SPEND", number: true}, {head: "BUDGET", number: true}, {head: "EXPIRES"}, {head: "STATUS"}, {head: "TOKEN"}}}
	for _, k := range all {
		t.add(k.Alias, k.Name, k.Team, k.User, modelsOf(k), dollars(k.Spend), budgetOf(k), day(k.Expires), k.Status, k.Token)
	}
	t.print(w)
}

// Key writes what there is to know of one virtual key, line by line.
func Key(w io.Writer, k keys.Key) {
	t := table{columns: []column{{}, {}}}
	for _, line := range [][2]string{
		{"token", k.Token}, {"key", k.Name}, {"alias", k.Alias}, {"status", k.Status}, {"models", modelsOf(k)},
		{"routes", strings.Join(k.AllowedRoutes, ", ")}, {"team", k.Team}, {"user", k.User}, {"tags", strings.Join(k.Tags, ", ")},
		{"requests a minute", limit(k.RPM)}, {"tokens a minute", limit(k.TPM)}, {"requests at a time", limit(k.MaxParallel)},
		{"spend", dollars(k.Spend)}, {"budget", budgetOf(k)}, {"shared budget", k.Budget}, {"spend is 0 again", moment(k.BudgetResetAt)},
		{"expires", moment(k.Expires)}, {"created", moment(&k.Created)},
	} {
		if line[1] != "" {
			t.add(line[0], line[1])
		}
	}
	t.printRows(w, t.widths())
}

func modelsOf(k keys.Key) string {
	if len(k.Models) == 0 {
		return "all"
	}
	return strings.Join(k.Models, ", ")
}

func dollars(usd float64) string { return "$" + strconv.FormatFloat(usd, 'f', -1, 64) }

func budgetOf(k keys.Key) string {
	if k.MaxBudget == nil {
		return ""
	}
	if k.BudgetDuration == "" {
		return dollars(*k.MaxBudget)
	}
	return dollars(*k.MaxBudget) + " a " + k.BudgetDuration
}

func day(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
