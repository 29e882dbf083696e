package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"cgq/pkg/cli/screen"
	"cgq/pkg/control"
)

// A table says how rows of one type look to people.
type table[Row any] struct {
	columns []column         // fields that have none are shown when they are asked for
	name    func(Row) string // for -o name
	none    string           // what to say to a person when there is no row
	line    func(Row) string // when set, people get this in place of columns
}

// A column shows one field.
type column struct {
	field   string // its name in JSON
	head    string
	show    show
	right   bool // numbers stand to the right
	wide    bool // only in the wide form, or when asked for
	elastic bool // cut when the terminal is too narrow
	least   int  // columns of the terminal that are left then; 0: leastText
}

// A show makes a cell of the value behind a pointer, which is no zero time. It is not safe
// yet, and empty for what is not there.
type show func(v any, now time.Time) string

// The ways to show a value.
func showText(v any, _ time.Time) string {
	switch v := v.(type) {
	case *string:
		return *v
	case *control.State:
		return string(*v)
	case *int:
		return strconv.Itoa(*v)
	}
	return fmt.Sprint(reflect.ValueOf(v).Elem())
}

func showSize(v any, _ time.Time) string  { return size(*v.(*int64)) }
func showAge(v any, now time.Time) string { return duration(now.Sub(*v.(*time.Time))) }
func showTill(v any, now time.Time) string {
	return clock(*v.(*time.Time), now.Location())
}
func showIn(v any, now time.Time) string { return duration(v.(*time.Time).Sub(now)) }
func showWait(v any, _ time.Time) string {
	if s := *v.(*control.Seconds); s > 0 {
		return duration(s.Duration())
	}
	return ""
}

// maxTable is how many rows are laid out together. Those behind take the widths of
// the first ones: a list of a million is not kept in memory.
const maxTable = 5000

// maxPad is how wide an elastic column is at most where nothing is cut: of what is longer
// only its own row suffers.
const maxPad = 80

// What an elastic column keeps.
const (
	leastText = 12
	leastName = 20 // of a name, so that it can be told from others
)

// gap stands between two columns.
const gap = "  "

// layout is the columns that are shown, with the field of a row for each.
func layout[Row any](a *app, t table[Row]) ([]column, []field, error) {
	all := fieldsOf(reflect.TypeFor[Row]())
	var cols []column
	var fields []field
	if len(a.columns) > 0 {
		picked, err := pick(all, a.columns)
		if err != nil {
			return nil, nil, err
		}
		for _, f := range picked {
			c := column{field: f.name, head: strings.ToUpper(strings.ReplaceAll(f.name, "_", " ")), show: showText}
			if i := slices.IndexFunc(t.columns, func(c column) bool { return c.field == f.name }); i >= 0 {
				c = t.columns[i]
			}
			cols, fields = append(cols, c), append(fields, f)
		}
		return cols, fields, nil
	}
	for _, c := range t.columns {
		if c.wide && a.format != formWide {
			continue
		}
		i := slices.IndexFunc(all, func(f field) bool { return f.name == c.field })
		cols, fields = append(cols, c), append(fields, all[i])
	}
	return cols, fields, nil
}

// writeTable prints rows for people: by tablewriter on a terminal, plain and
// aligned otherwise, or when there are too many.
func writeTable[Row any](a *app, w io.Writer, t table[Row], rows iter.Seq2[Row, error]) (int, error) {
	cols, fields, err := layout(a, t)
	if err != nil {
		return 0, err
	}
	g := grid{cols: cols, heads: !a.noHeaders}
	now := a.now()
	var row Row
	v := reflect.ValueOf(&row).Elem()
	n, err := each(rows, func(next Row) error {
		row = next
		cells := g.add()
		for i, c := range cols {
			cells[i] = cell(c, v.Field(fields[i].index), now)
		}
		if len(g.rows) == maxTable {
			return g.plain(w)
		}
		return nil
	})
	switch {
	case n == 0 && err == nil && a.width > 0:
		fmt.Fprintln(a.errOut, t.none)
	case a.width > 0 && n < maxTable && n > 0:
		g.fit(a.width, a.format == formWide)
		if e := g.render(w, a.colour); err == nil {
			err = e
		}
	case len(g.rows) > 0:
		if e := g.plain(w); err == nil {
			err = e
		}
	}
	return n, err
}

func cell(c column, v reflect.Value, now time.Time) string {
	s, value := "", v.Addr().Interface()
	if t, ok := value.(*time.Time); !ok || !t.IsZero() {
		s = c.show(value, now)
	}
	if s == "" {
		return "-"
	}
	return safe(s)
}

// A grid is cells in rows and columns.
type grid struct {
	cols   []column
	rows   [][]string
	heads  bool
	widths []int    // set by the first plain
	room   []string // for the cells of rows that come
}

// add returns the cells of a new row, to be filled.
func (g *grid) add() []string {
	const some = 100 // rows
	if len(g.room) == 0 {
		g.room = make([]string, some*len(g.cols))
	}
	row := g.room[:len(g.cols):len(g.cols)]
	g.room = g.room[len(g.cols):]
	g.rows = append(g.rows, row)
	return row
}

// measure returns the width of each column.
func (g *grid) measure() []int {
	widths := make([]int, len(g.cols))
	for i, c := range g.cols {
		if g.heads {
			widths[i] = screen.Width(c.head)
		}
		for _, row := range g.rows {
			widths[i] = max(widths[i], screen.Width(row[i]))
		}
	}
	return widths
}

// plain prints the rows, aligned, and forgets them. Called again it goes on with
// the widths of the first time.
func (g *grid) plain(w io.Writer) error {
	buf := bufio.NewWriter(w)
	if g.widths == nil {
		g.widths = g.measure()
		for i, c := range g.cols {
			if c.elastic {
				g.widths[i] = min(g.widths[i], maxPad)
			}
		}
		if g.heads {
			head := make([]string, len(g.cols))
			for i, c := range g.cols {
				head[i] = c.head
			}
			g.line(buf, head)
		}
	}
	for _, row := range g.rows {
		g.line(buf, row)
	}
	g.rows = g.rows[:0]
	return buf.Flush()
}

const blanks = "                                "

func (g *grid) line(w *bufio.Writer, cells []string) {
	blank := 0 // spaces that are due before the next text: none end a line
	for i, s := range cells {
		if i > 0 {
			blank += len(gap)
		}
		pad := max(0, g.widths[i]-screen.Width(s))
		if g.cols[i].right {
			blank += pad
		}
		if s != "" {
			for blank > 0 {
				some := min(blank, len(blanks))
				_, _ = w.WriteString(blanks[:some]) // the Flush has the error
				blank -= some
			}
			_, _ = w.WriteString(s)
		}
		if !g.cols[i].right {
			blank += pad
		}
	}
	_ = w.WriteByte('\n')
}

// fit cuts the elastic columns, the widest first, so that the table fits a terminal, if it
// can.
func (g *grid) fit(room int, all bool) {
	widths := g.measure()
	over := -room
	for _, w := range widths {
		over += w + len(gap)
	}
	for ; over > 0 && !all; over-- {
		widest := -1
		for i, c := range g.cols {
			if c.elastic && widths[i] > cmp.Or(c.least, leastText) && (widest < 0 || widths[i] >= widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	for i, c := range g.cols {
		if !c.elastic {
			continue
		}
		for _, row := range g.rows {
			row[i] = screen.Cut(row[i], widths[i])
		}
	}
}

// render prints the table on a terminal, without lines, as kubectl does.
func (g *grid) render(w io.Writer, colour bool) error {
	align := make(tw.Alignment, len(g.cols))
	heads := make([]string, len(g.cols))
	for i, c := range g.cols {
		heads[i], align[i] = c.head, tw.AlignLeft
		if c.right {
			align[i] = tw.AlignRight
		}
	}
	none := tw.Rendition{Borders: tw.BorderNone, Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone}}
	t := tablewriter.NewTable(w,
		tablewriter.WithRenderer(renderer.NewBlueprint(none)),
		tablewriter.WithPadding(tw.Padding{Right: gap, Overwrite: true}),
		tablewriter.WithAlignment(align),
		tablewriter.WithTrimSpace(tw.Off), tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone), tablewriter.WithRowAutoWrap(tw.WrapNone))
	if g.heads {
		t.Header(heads)
	}
	for _, row := range g.rows {
		if colour {
			for i, c := range g.cols {
				if c.field == "state" || c.field == "status" {
					row[i] = paint(row[i])
				}
			}
		}
		if err := t.Append(row); err != nil {
			return err
		}
	}
	return t.Render()
}

// paint colours a state: what moves green, what waits yellow, what is held red.
func paint(state string) string {
	const green, yellow, red = "32", "33", "31"
	colour := ""
	switch control.State(state) {
	case control.Active, control.Processing:
		colour = green
	case control.Delayed, control.Suspended:
		colour = yellow
	case control.Held:
		colour = red
	default:
		return state
	}
	return "\x1b[" + colour + "m" + state + "\x1b[0m"
}
