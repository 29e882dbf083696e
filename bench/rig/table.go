package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A Report is all that one run found; its JSON is the file.
type Report struct {
	Started time.Time `json:"started"`
	Version string    `json:"version"`
	Go      string    `json:"go"`
	Machine Machine   `json:"machine"`
	Tables  []*Table  `json:"parts"`
}

// A Table is one part and what was found.
type Table struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Before  []Calm   `json:"second_before_each_round"`
	Columns []Column `json:"columns"`
	Rows    []*Row   `json:"rows"`
	Targets []Target `json:"targets"`
}

// A Column is a figure that every row has, with its unit in its name.
type Column struct {
	Name   string
	Worst  bool   // the figure is the highest of the rounds, not their median
	format string // such as %.2f
}

// Columns are those with these names; before each stands the verb that prints its
// figures, as in "%.2f seconds".
func Columns(all ...string) (columns []Column) {
	for _, c := range all {
		format, name, _ := strings.Cut(c, " ")
		columns = append(columns, Column{Name: name, format: format})
	}
	return columns
}

// MarshalJSON gives the name alone.
func (c Column) MarshalJSON() ([]byte, error) { return json.Marshal(c.Name) }

// A Row is one case; the figures are medians of the rounds, or the worst.
type Row struct {
	Case    string      `json:"case"`
	Note    string      `json:"note,omitempty"` // why there are no figures, or what they are not
	Figures []float64   `json:"figures"`        // in the order of the columns
	Samples [][]float64 `json:"rounds"`         // likewise, a line each round
}

// A Target is what a figure should be.
type Target struct {
	Case   string  `json:"case"`
	Column string  `json:"column"`
	Least  bool    `json:"at_least"` // at least the bound; else at most
	Bound  float64 `json:"bound"`
	Figure float64 `json:"figure"`
	Met    bool    `json:"met"`
}

// None is a figure that a case does not have.
const None = -1

func (t *Table) row(name string) *Row {
	i := slices.IndexFunc(t.Rows, func(r *Row) bool { return r.Case == name })
	if i < 0 {
		i = len(t.Rows)
		t.Rows = append(t.Rows, &Row{Case: name})
	}
	return t.Rows[i]
}

// Add files a sample, one figure for each column, and shows it.
func (t *Table) Add(name string, figures ...float64) {
	r := t.row(name)
	r.Samples = append(r.Samples, figures)
	var all []string
	for i, c := range t.Columns {
		all = append(all, c.Name+" "+c.show(figures[i]))
	}
	fmt.Printf("    %s: %s\n", name, strings.Join(all, ", "))
}

// Note says something about a case, such as why it could not be measured.
func (t *Table) Note(name, text string) {
	r := t.row(name)
	if r.Note != text {
		r.Note = text
		fmt.Printf("    %s: %s\n", name, text)
	}
}

// Most sets a target: a figure is at most the bound.
func (t *Table) Most(of, name string, bound float64) {
	t.Targets = append(t.Targets, Target{Case: of, Column: name, Bound: bound})
}

// Least sets a target: a figure is at least the bound.
func (t *Table) Least(of, name string, bound float64) {
	t.Targets = append(t.Targets, Target{Case: of, Column: name, Bound: bound, Least: true})
}

// Conclude works out the figures, and which targets are met.
func (t *Table) Conclude() {
	for _, r := range t.Rows {
		r.Figures = r.Figures[:0]
		for i, c := range t.Columns {
			r.Figures = append(r.Figures, c.of(r.Samples, i))
		}
	}
	for i := range t.Targets {
		g := &t.Targets[i]
		g.Figure = t.figure(g.Case, g.Column)
		switch {
		case g.Figure == None:
		case g.Least:
			g.Met = g.Figure >= g.Bound
		default:
			g.Met = g.Figure <= g.Bound
		}
	}
}

// of is the figure of the column, the i-th, of all rounds.
func (c Column) of(rounds [][]float64, i int) float64 {
	var all []float64
	for _, s := range rounds {
		if s[i] != None {
			all = append(all, s[i])
		}
	}
	switch {
	case len(all) == 0:
		return None
	case c.Worst:
		return slices.Max(all)
	}
	return Median(all)
}

// figure finds one, or none.
func (t *Table) figure(of, name string) float64 {
	i := slices.IndexFunc(t.Rows, func(r *Row) bool { return r.Case == of })
	j := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 || j < 0 || j >= len(t.Rows[i].Figures) {
		return None
	}
	return t.Rows[i].Figures[j]
}

func (c Column) show(v float64) string {
	if v == None {
		return "-"
	}
	return fmt.Sprintf(c.format, v)
}

// Rounds calls measure so many times, each after it has looked whether the machine is
// quiet.
func (t *Table) Rounds(ctx context.Context, rounds int, measure func() error) error {
	for round := range rounds {
		q, err := Quiet(ctx)
		if err != nil {
			return err
		}
		t.Before = append(t.Before, q)
		fmt.Printf("  round %d of %d, the second before it: %s\n", round+1, rounds, q)
		if err := measure(); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return nil
}

// Preamble prints what the figures will hold for.
func (r *Report) Preamble(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%s; %d cores, %s; %s, %s\n", m.Kernel, m.Cores, m.CPU, r.Version, r.Go)
	fmt.Fprintf(w, "on %s\n  %s\n", m.FileSystem, m.Directory)
}

// Print shows the medians, the notes and the targets.
func (t *Table) Print(w io.Writer) {
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "%s\t", t.Name)
	for _, c := range t.Columns {
		fmt.Fprintf(tw, "%s\t", c.Name)
	}
	fmt.Fprintln(tw)
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s\t", r.Case)
		for i, c := range t.Columns {
			fmt.Fprintf(tw, "%s\t", c.show(r.Figures[i]))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
	for _, r := range t.Rows {
		if r.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", r.Case, r.Note)
		}
	}
	for _, g := range t.Targets {
		fmt.Fprintln(w, t.verdict(g))
	}
}

// verdict is a target as a sentence.
func (t *Table) verdict(g Target) string {
	c := t.Columns[slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == g.Column })]
	than, outcome := "at most", "MISSED"
	if g.Least {
		than = "at least"
	}
	switch {
	case g.Figure == None:
		return fmt.Sprintf("target: %s: %s %s %s; not measured", g.Case, c.Name, than, c.show(g.Bound))
	case g.Met:
		outcome = "met"
	}
	return fmt.Sprintf("target: %s: %s %s %s; it is %s: %s", g.Case, c.Name, than, c.show(g.Bound), c.show(g.Figure), outcome)
}
