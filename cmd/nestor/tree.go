package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nestor-gateway/nestor/routing"
)

// table is rows of columns that are aligned when printed. The first column and the last are
// flush left, the numbers between them flush right; a column without any value is left out.
type table struct {
	heads []string
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) {
	widths := make([]int, len(t.heads))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, head := range t.heads {
		if widths[i] > 0 {
			widths[i] = max(widths[i], utf8.RuneCountInString(head))
		}
	}
	for _, row := range append([][]string{t.heads}, t.rows...) {
		fmt.Fprintln(w, t.line(row, widths))
	}
}

func (t *table) line(row []string, widths []int) string {
	var b strings.Builder
	for i, cell := range row {
		if widths[i] == 0 {
			continue
		}
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i == 0 {
			b.WriteString(cell + pad)
			continue
		}
		b.WriteString("  ")
		if left := i == len(row)-1; left {
			b.WriteString(cell + pad)
		} else {
			b.WriteString(pad + cell)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// drawExplanation prints the tree of the called group, and then every deployment
// with its probability over all paths that lead to it.
func drawExplanation(w io.Writer, e *routing.Explanation) {
	if e.Group != e.Model {
		fmt.Fprintf(w, "%s means %s\n\n", e.Model, e.Group)
	}
	if e.Tree != nil {
		d := drawing{table{heads: []string{"TREE", "WEIGHT", "RPM", "TPM", "PARALLEL", "SHARE", "PROBABILITY", ""}}}
		d.add(e.Tree.Name, "", limit(e.Tree.RPM), limit(e.Tree.TPM), limit(e.Tree.MaxParallel), "", "", "")
		d.group(e.Tree, "")
		d.print(w)
		fmt.Fprintln(w)
	}
	leaves := table{heads: []string{"DEPLOYMENT", "PROBABILITY", "MODEL"}}
	leaves.heads = append(leaves.heads, "")
	for _, leaf := range e.Deployments {
		leaves.add(leaf.ID, percent(leaf.Probability), leaf.Model, strings.TrimSpace(leaf.APIBase+"  "+leaf.Unavailable))
	}
	leaves.print(w)
}

// drawing is a tree in the first column of a table.
type drawing struct{ table }

// branch returns what stands before a child's name, and before its own children.
func branch(indent string, last bool) (own, below string) {
	if last {
		return indent + "└── ", indent + "    "
	}
	return indent + "├── ", indent + "│   "
}

// group draws the tiers of a group; a single tier without an order is not worth a line.
func (d *drawing) group(g *routing.TreeGroup, indent string) {
	if len(g.Tiers) == 1 && g.Tiers[0].Order == nil {
		d.members(g.Tiers[0], indent)
		return
	}
	for i, tier := range g.Tiers {
		own, below := branch(indent, i == len(g.Tiers)-1)
		d.add(own+tierName(tier), "", "", "", "", "", "", tierNote(tier))
		d.members(tier, below)
	}
}

func tierName(t routing.TreeTier) string {
	if t.Order == nil {
		return "no order"
	}
	return "order " + strconv.Itoa(*t.Order)
}

func tierNote(t routing.TreeTier) string {
	if t.Active {
		return ""
	}
	return "not in use"
}

func (d *drawing) members(t routing.TreeTier, indent string) {
	for i, m := range t.Members {
		own, below := branch(indent, i == len(t.Members)-1)
		d.add(own+memberName(m), weight(m.Weight), limit(m.RPM), limit(m.TPM), limit(m.MaxParallel),
			percent(m.Share), percent(m.Probability), memberNote(m))
		if m.Group != nil {
			d.group(m.Group, below)
		}
	}
}

func memberName(m routing.TreeMember) string {
	if m.Group != nil {
		return m.Group.Name
	}
	return m.Deployment.Written
}

func memberNote(m routing.TreeMember) string {
	if m.Unavailable == "" && m.Group != nil && m.Group.Shared {
		return "drawn above"
	}
	return m.Unavailable
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
