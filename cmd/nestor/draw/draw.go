// Package draw writes for people where the requests for a name go.
package draw

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nestor-gateway/nestor/routing/explain"
)

// column is one column of a table; number says that it is flush right.
type column struct {
	head   string
	number bool
}

// table is rows of aligned columns. A column without any value is left out.
type table struct {
	columns []column
	rows    [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) {
	heads, widths := make([]string, len(t.columns)), t.widths()
	for i, c := range t.columns {
		heads[i] = c.head
		if widths[i] > 0 {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.head))
		}
	}
	fmt.Fprintln(w, t.line(heads, widths))
	t.printRows(w, widths)
}

// printRows leaves the heads out.
func (t *table) printRows(w io.Writer, widths []int) {
	for _, row := range t.rows {
		fmt.Fprintln(w, t.line(row, widths))
	}
}

// widths are those of the columns' values.
func (t *table) widths() []int {
	widths := make([]int, len(t.columns))
	for _, row := range t.rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	return widths
}

func (t *table) line(row []string, widths []int) string {
	var cells []string
	for i, cell := range row {
		if widths[i] == 0 {
			continue
		}
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if t.columns[i].number {
			cells = append(cells, pad+cell)
		} else {
			cells = append(cells, cell+pad)
		}
	}
	return strings.TrimRight(strings.Join(cells, "  "), " ")
}

// Explanation prints the tree of the called group, and then every deployment
// with its probability over all paths that lead to it.
func Explanation(w io.Writer, e *explain.Result) {
	if e.Group != e.Model {
		fmt.Fprintf(w, "%s means %s\n\n", e.Model, e.Group)
	}
	if e.Strategy != "" {
		fmt.Fprintf(w, "strategy %s, with all deployments equally busy, used and fast\n\n", e.Strategy)
	}
	if e.Tree != nil {
		drawTree(w, e)
		fmt.Fprintln(w)
	}
	leaves := table{columns: []column{{"DEPLOYMENT", false}, {"PROBABILITY", true}, {"MODEL", false}, {"API BASE", false}, {"", false}}}
	for _, leaf := range e.Deployments {
		leaves.add(leaf.ID, percent(leaf.Probability), leaf.Model, leaf.APIBase, leaf.Unavailable)
	}
	leaves.print(w)
}

func drawTree(w io.Writer, e *explain.Result) {
	d := drawing{withIDs: ambiguous(e.Deployments), shared: map[string]bool{}, table: table{columns: []column{
		{"TREE", false}, {"DEPLOYMENT", false}, {"WEIGHT", true}, {"RPM", true}, {"TPM", true}, {"PARALLEL", true},
		{"SHARE", true}, {"PROBABILITY", true}, {"", false},
	}}}
	findShared(e.Tree, d.shared)
	d.add(e.Tree.Name, "", "", limit(e.Tree.RPM), limit(e.Tree.TPM), limit(e.Tree.MaxParallel), "", "", "")
	d.group(e.Tree, "")
	d.print(w)
}

// ambiguous reports whether two deployments can't be told apart by their models.
func ambiguous(rows []explain.Row) bool {
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.Model] {
			return true
		}
		seen[r.Model] = true
	}
	return false
}

// drawing is a tree in the first column of a table.
type drawing struct {
	table
	// withIDs: the models don't tell the deployments apart.
	withIDs bool
	// shared are the groups that are reached more than once.
	shared map[string]bool
}

// branch returns what stands before a child's name, and before its own children.
func branch(indent string, last bool) (own, below string) {
	if last {
		return indent + "└── ", indent + "    "
	}
	return indent + "├── ", indent + "│   "
}

// tooDeep reports whether what stands before a name is longer than a screen is wide:
// the width of a drawing must not grow with the depth of a config.
func tooDeep(indent string) bool { return utf8.RuneCountInString(indent) > 400 }

// group draws the tiers of a group; a single tier without an order is not worth a line.
func (d *drawing) group(g *explain.Group, indent string) {
	if len(g.Tiers) == 1 && g.Tiers[0].Order == nil {
		d.members(g.Tiers[0], indent)
		return
	}
	for i, tier := range g.Tiers {
		own, below := branch(indent, i == len(g.Tiers)-1)
		d.add(own+tierName(tier), "", "", "", "", "", "", "", tierNote(tier))
		d.members(tier, below)
	}
}

func tierName(t explain.Tier) string {
	if t.Order == nil {
		return "no order"
	}
	return "order " + strconv.Itoa(*t.Order)
}

func tierNote(t explain.Tier) string {
	if t.Active {
		return ""
	}
	return "not in use"
}

func (d *drawing) members(t explain.Tier, indent string) {
	for i, m := range t.Members {
		own, below := branch(indent, i == len(t.Members)-1)
		d.add(own+memberName(m), d.id(m), weight(m.Weight), limit(m.RPM), limit(m.TPM), limit(m.MaxParallel),
			percent(m.Share), percent(m.Probability), d.note(m, below))
		if m.Group != nil && !tooDeep(below) {
			d.group(m.Group, below)
		}
	}
}

func (d *drawing) id(m explain.Member) string {
	if m.Deployment == nil || !d.withIDs {
		return ""
	}
	return m.Deployment.ID
}

func memberName(m explain.Member) string {
	if m.Group != nil {
		return m.Group.Name
	}
	return m.Deployment.Written
}

// note says what is to be known of a member; indent is what stands before its own members.
func (d *drawing) note(m explain.Member, indent string) string {
	switch {
	case m.Unavailable != "" || m.Group == nil:
		return m.Unavailable
	case tooDeep(indent):
		return "too deep to draw"
	case m.Group.Shared:
		return "drawn above"
	case d.shared[m.Group.Name]:
		return "reached again below: what is in it shows the sum"
	}
	return ""
}

// findShared collects the groups that a tree meets again after it has drawn them.
func findShared(g *explain.Group, shared map[string]bool) {
	if g.Shared {
		shared[g.Name] = true
	}
	for _, tier := range g.Tiers {
		for _, m := range tier.Members {
			if m.Group != nil {
				findShared(m.Group, shared)
			}
		}
	}
}

func weight(w *float64) string {
	if w == nil {
		return ""
	}
	return strconv.FormatFloat(*w, 'g', -1, 64)
}

func limit(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func percent(p float64) string { return strconv.FormatFloat(100*p, 'f', 2, 64) + " %" }
