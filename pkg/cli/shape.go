package cli

import (
	"errors"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// A shapeLine is a [control.ShapeRow] with a field for each age, as people and tables
// want it. The ages are those of [control.ShapeAges], in minutes.
type shapeLine struct {
	Name  string `json:"name"`
	Total int    `json:"T"`
	A5    int    `json:"5"`
	A10   int    `json:"10"`
	A20   int    `json:"20"`
	A40   int    `json:"40"`
	A80   int    `json:"80"`
	A160  int    `json:"160"`
	A320  int    `json:"320"`
	A640  int    `json:"640"`
	A1280 int    `json:"1280"`
	Older int    `json:"1280+"`
	Class string `json:"class"`
}

func newShapeLine(r control.ShapeRow) shapeLine {
	n := make([]int, len(control.ShapeAges())+1)
	copy(n, r.Ages)
	return shapeLine{r.Name, r.Total, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], r.Class}
}

func shapeTable(by string) table[shapeLine] {
	t := table[shapeLine]{
		columns: []column{
			{field: "name", head: strings.ToUpper(by), show: showText, elastic: true},
		},
		none: "no recipients",
	}
	if by == "error" {
		t.columns = append(t.columns, column{field: "class", head: "CLASS", show: showText})
	}
	for _, name := range []string{"T", "5", "10", "20", "40", "80", "160", "320", "640", "1280", "1280+"} {
		t.columns = append(t.columns, column{field: name, head: name, show: showText, right: true})
	}
	return t
}

func newQueueShape(a *app) *cobra.Command {
	var s selection
	by := control.ShapeBy()[0]
	cmd := &cobra.Command{
		Use:   "shape [SELECTION]",
		Short: "How old the mail is, by domain, sender, error, class, module or source",
		Long: "Counts the recipients that match by the age of their messages: T is all of them, 5\n" +
			"those younger than five minutes, 10 those of five to ten, and so on; 1280+ is older\n" +
			"than that. TOTAL is of everything that matches, also when --limit leaves rows out. The\n" +
			"rows with the most come first. With -o json and jsonl a row has its counts in the field\n" +
			"ages; elsewhere each is a column, named as its head. The row of all has no name there.\n" +
			"An error has its class, which says in a word why mail waits: unknown-address, full,\n" +
			"reputation, timeout and so on; --by class counts by that alone.",
		Example: "  cgq queue shape\n  cgq queue shape --by sender --limit 10\n" +
			"  cgq queue shape --by error --module SMTP --age '>1h'\n" +
			"  cgq queue shape --by class --module SMTP",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(control.ShapeBy(), by) {
				return usagef(cmd, "nothing can be counted by %q; there are %s", by, strings.Join(control.ShapeBy(), ", "))
			}
			sel, err := s.parse(a, cmd, nil)
			if err != nil {
				return err
			}
			rows := rowsOf(a, cmd, &s, control.QueueShape, control.ShapeQuery{Selection: sel, By: by})
			switch {
			case a.human():
				return a.printShape(shapeTable(by), totalFirst(rows))
			case a.format == formName:
				return printRows(a, table[control.ShapeRow]{name: shapeName}, named(rows), false)
			case a.format == formCSV:
				return printRows(a, shapeTable(by), lines(rows), false)
			}
			return printRows(a, table[control.ShapeRow]{}, rows, false)
		},
	}
	s.flags(a, cmd)
	cmd.Flags().StringVar(&by, "by", by, "count by this: "+strings.Join(control.ShapeBy(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("by", fixed(control.ShapeBy()...)) // the flag is there
	return cmd
}

// printShape prints a shape for people. Where there is little room, the ages that nothing
// has make way for the names.
func (a *app) printShape(t table[shapeLine], rows iter.Seq2[shapeLine, error]) error {
	if !a.narrow() {
		return printRows(a, t, rows, false)
	}
	var all []shapeLine
	var failed error
	fields, used := fieldsOf(reflect.TypeFor[shapeLine]()), map[string]bool{}
	for row, err := range rows {
		if err != nil {
			failed = err
			break
		}
		all = append(all, row)
		for _, f := range fields {
			used[f.name] = used[f.name] || !reflect.ValueOf(row).Field(f.index).IsZero()
		}
	}
	for i, c := range t.columns {
		t.columns[i].wide = c.right && len(all) > 0 && !used[c.field]
	}
	return errors.Join(printRows(a, t, slice(all), false), failed)
}

func shapeName(r control.ShapeRow) string { return r.Name }

// named are rows without the one of all.
func named(rows iter.Seq2[control.ShapeRow, error]) iter.Seq2[control.ShapeRow, error] {
	return func(yield func(control.ShapeRow, error) bool) {
		for row, err := range rows {
			if (err != nil || row.Name != "") && !yield(row, err) {
				return
			}
		}
	}
}

// lines are rows with their ages in fields.
func lines(rows iter.Seq2[control.ShapeRow, error]) iter.Seq2[shapeLine, error] {
	return func(yield func(shapeLine, error) bool) {
		for row, err := range rows {
			if !yield(newShapeLine(row), err) {
				return
			}
		}
	}
}

// totalFirst are rows with the one of all, which comes last, on top. After an error
// there is none: it would be that of a part.
func totalFirst(rows iter.Seq2[control.ShapeRow, error]) iter.Seq2[shapeLine, error] {
	return func(yield func(shapeLine, error) bool) {
		var all []shapeLine
		for row, err := range rows {
			if err != nil {
				for _, line := range all {
					if !yield(line, nil) {
						return
					}
				}
				yield(shapeLine{}, err)
				return
			}
			line := newShapeLine(row)
			if line.Name == "" {
				line.Name = "TOTAL"
				all = slices.Insert(all, 0, line)
				continue
			}
			all = append(all, line)
		}
		for _, line := range all {
			if !yield(line, nil) {
				return
			}
		}
	}
}
