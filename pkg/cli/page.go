package cli

import (
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"

	"cgq/pkg/cli/screen"
)

// printHead prints the lines above the table of a page, and a blank one.
func (a *app) printHead(lines [][2]string) error {
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	var b strings.Builder
	for _, l := range lines {
		value := l[1]
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(&b, "%-*s  %s\n", width+1, l[0]+":", a.hang(safe(value), width+3))
	}
	_, err := io.WriteString(a.out, b.String()+"\n")
	return err
}

// hang is a text that stands behind this many columns, on a terminal in as many lines as it
// needs, each below the first.
func (a *app) hang(text string, behind int) string {
	const least = 30 // columns: with less it would be a pole
	if a.width < behind+least {
		return text
	}
	lines := screen.Wrap(text, a.width-behind)
	for i := 1; i < len(lines); i++ {
		lines[i] = strings.Repeat(" ", behind) + strings.TrimLeft(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// title is a state as the chapter writes it: Ready.
func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// writeInside writes an object of JSON with one more field behind the others, whose
// value is written while it comes.
func writeInside(w io.Writer, object []byte, name string, value func(io.Writer) error) error {
	if _, err := fmt.Fprintf(w, "%s,%q:", object[:len(object)-1], name); err != nil {
		return err
	}
	if err := value(w); err != nil {
		return err
	}
	_, err := io.WriteString(w, "}\n")
	return err
}

// writePage writes a page as one object: a thing with its rows in a field behind the
// others.
func writePage[Row any](a *app, head any, name string, rows iter.Seq2[Row, error]) error {
	fields, err := pick(fieldsOf(reflect.TypeFor[Row]()), a.columns)
	if err != nil {
		return err
	}
	b, err := encode(head)
	if err != nil {
		return err
	}
	return writeInside(a.out, b, name, func(w io.Writer) error {
		_, err := writeArray(w, rows, rowEncoder[Row](a.columns, fields))
		return err
	})
}

// slice is rows that are all there.
func slice[Row any](rows []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}
