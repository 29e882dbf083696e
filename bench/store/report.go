package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"cgq/bench/rig"
)

// A report is all that one run found; its JSON is the file.
type report struct {
	Started time.Time   `json:"started"`
	Version string      `json:"version"`
	Go      string      `json:"go"`
	Machine rig.Machine `json:"machine"`
	Tables  []*table    `json:"parts"`
}

// A table is one part and what was found.
type table struct {
	Name    string     `json:"name"`
	About   string     `json:"about"`
	Before  []rig.Calm `json:"second_before_each_round"`
	Columns []column   `json:"columns"`
	Rows    []*row     `json:"rows"`
	Targets []target   `json:"targets"`
}

// A column is a figure that every row has, with its unit in its name.
type column struct {
	Name   string
	digits int // behind the point, when it is printed
}

// MarshalJSON gives the name alone.
func (c column) MarshalJSON() ([]byte, error) { return json.Marshal(c.Name) }

// A row is one case; the figures are medians of the rounds.
type row struct {
	Case    string      `json:"case"`
	Note    string      `json:"note,omitempty"` // why there are no figures, or what they are not
	Figures []float64   `json:"figures"`        // in the order of the columns
	Samples [][]float64 `json:"rounds"`         // likewise, a line each round
}

// A target is what a figure should be.
type target struct {
	Case   string  `json:"case"`
	Column string  `json:"column"`
	Least  bool    `json:"at_least"` // at least the bound; else at most
	Bound  float64 `json:"bound"`
	Figure float64 `json:"figure"`
	Met    bool    `json:"met"`
}

// none is a figure that a case does not have.
const none = -1

func (t *table) row(name string) *row {
	i := slices.IndexFunc(t.Rows, func(r *row) bool { return r.Case == name })
	if i < 0 {
		i = len(t.Rows)
		t.Rows = append(t.Rows, &row{Case: name})
	}
	return t.Rows[i]
}

// add files a sample, one figure for each column, and shows it.
func (t *table) add(name string, figures ...float64) {
	r := t.row(name)
	r.Samples = append(r.Samples, figures)
	var all []string
	for i, c := range t.Columns {
		all = append(all, c.Name+" "+c.show(figures[i]))
	}
	fmt.Printf("    %s: %s\n", name, strings.Join(all, ", "))
}

// note says something about a case, such as why it could not be measured.
func (t *table) note(name, text string) {
	r := t.row(name)
	if r.Note != text {
		r.Note = text
		fmt.Printf("    %s: %s\n", name, text)
	}
}

// most and least set targets.
func (t *table) most(of, name string, bound float64) {
	t.Targets = append(t.Targets, target{Case: of, Column: name, Bound: bound})
}

func (t *table) least(of, name string, bound float64) {
	t.Targets = append(t.Targets, target{Case: of, Column: name, Bound: bound, Least: true})
}

// conclude works out medians, and which targets are met.
func (t *table) conclude() {
	for _, r := range t.Rows {
		r.Figures = r.Figures[:0]
		for i := range t.Columns {
			var all []float64
			for _, s := range r.Samples {
				if s[i] != none {
					all = append(all, s[i])
				}
			}
			if len(all) == 0 {
				r.Figures = append(r.Figures, none)
				continue
			}
			r.Figures = append(r.Figures, rig.Median(all))
		}
	}
	for i := range t.Targets {
		g := &t.Targets[i]
		g.Figure = t.figure(g.Case, g.Column)
		switch {
		case g.Figure == none:
		case g.Least:
			g.Met = g.Figure >= g.Bound
		default:
			g.Met = g.Figure <= g.Bound
		}
	}
}

// figure finds one, or none.
func (t *table) figure(of, name string) float64 {
	i := slices.IndexFunc(t.Rows, func(r *row) bool { return r.Case == of })
	j := slices.IndexFunc(t.Columns, func(c column) bool { return c.Name == name })
	if i < 0 || j < 0 || j >= len(t.Rows[i].Figures) {
		return none
	}
	return t.Rows[i].Figures[j]
}

func (c column) show(v float64) string {
	if v == none {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', c.digits, 64)
}

// preamble prints what the figures will hold for.
func (r *report) preamble(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%s; %d cores, %s; %s, %s\n", m.Kernel, m.Cores, m.CPU, r.Version, r.Go)
	fmt.Fprintf(w, "on %s\n  %s\n", m.FileSystem, m.Directory)
}

// print shows the medians, the notes and the targets.
func (t *table) print(w io.Writer) {
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
func (t *table) verdict(g target) string {
	c := t.Columns[slices.IndexFunc(t.Columns, func(c column) bool { return c.Name == g.Column })]
	than, outcome := "at most", "MISSED"
	if g.Least {
		than = "at least"
	}
	switch {
	case g.Figure == none:
		return fmt.Sprintf("target: %s: %s %s %s; not measured", g.Case, c.Name, than, c.show(g.Bound))
	case g.Met:
		outcome = "met"
	}
	return fmt.Sprintf("target: %s: %s %s %s; it is %s: %s", g.Case, c.Name, than, c.show(g.Bound), c.show(g.Figure), outcome)
}
