package cli

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
)

// The forms of output (-o).
const (
	formTable = "table" // for people
	formWide  = "wide"  // the same with every column
	formJSON  = "json"  // one array; one object for what is one thing
	formLines = "jsonl" // a row a line
	formYAML  = "yaml"  // what json has, for people who like it so
	formCSV   = "csv"   // RFC 4180
	formName  = "name"  // what other commands take as arguments
)

func formats() []string {
	return []string{formTable, formWide, formJSON, formLines, formYAML, formCSV, formName}
}

// human reports whether the output is for people.
func (a *app) human() bool { return a.format == formTable || a.format == formWide }

// printRows prints a list in the form that was asked for, while it arrives. After
// an error what has been printed stays, and does not look whole: an array of JSON
// is not closed, and the exit status says it. live prints each row at once.
func printRows[Row any](a *app, t table[Row], rows iter.Seq2[Row, error], live bool) (err error) {
	fields, err := pick(fieldsOf(reflect.TypeFor[Row]()), a.columns)
	if err != nil {
		return err
	}
	enc := rowEncoder[Row](a.columns, fields)
	out := a.out
	if !live {
		buf := bufio.NewWriterSize(a.out, 64<<10)
		defer func() { err = errors.Join(err, buf.Flush()) }()
		out = buf
	}
	n, err := 0, error(nil)
	switch a.format {
	case formJSON:
		n, err = writeArray(out, rows, enc)
		if err == nil {
			_, err = io.WriteString(out, "\n")
		}
	case formLines:
		n, err = each(rows, func(row Row) error { return writeLine(out, row, enc) })
	case formCSV:
		n, err = writeCSV(a, out, rows, fields)
	case formName:
		n, err = each(rows, func(row Row) error {
			_, err := fmt.Fprintln(out, safe(t.name(row)))
			return err
		})
	default:
		if t.line == nil {
			n, err = writeTable(a, out, t, rows)
			break
		}
		n, err = each(rows, func(row Row) error {
			_, err := fmt.Fprintln(out, safe(t.line(row)))
			return err
		})
	}
	if err == nil && n == 0 && a.failEmpty {
		return errEmpty
	}
	return err
}

// each calls f with every row and counts them.
func each[Row any](rows iter.Seq2[Row, error], f func(Row) error) (n int, err error) {
	for row, err := range rows {
		if err == nil {
			err = f(row)
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// writeArray writes [row,LF row], and nothing at all when the first thing that
// comes is an error.
func writeArray[Row any](w io.Writer, rows iter.Seq2[Row, error], enc rowEncoding[Row]) (int, error) {
	before := "["
	n, err := each(rows, func(row Row) error {
		b, err := enc(row)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, before)
		before = ",\n"
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
	if err != nil {
		return n, err
	}
	if n == 0 {
		_, err = io.WriteString(w, "[]")
	} else {
		_, err = io.WriteString(w, "]")
	}
	return n, err
}

func writeLine[Row any](w io.Writer, row Row, enc rowEncoding[Row]) error {
	b, err := enc(row)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

func writeCSV[Row any](a *app, w io.Writer, rows iter.Seq2[Row, error], fields []field) (int, error) {
	c := csv.NewWriter(w)
	line := names(fields)
	head := func() error {
		if a.noHeaders {
			return nil
		}
		return c.Write(line)
	}
	n, err := each(rows, func(row Row) error {
		if head != nil {
			if err := head(); err != nil {
				return err
			}
			head = nil
		}
		for i, f := range fields {
			line[i] = plain(f, reflect.ValueOf(row))
		}
		if err := c.Write(line); err != nil {
			return err
		}
		c.Flush() // into a buffer, or to a person who follows
		return c.Error()
	})
	if err == nil && head != nil {
		err = head()
	}
	c.Flush()
	return n, errors.Join(err, c.Error())
}

// printThing prints one thing that has no rows, in the form that was asked for, unless that
// is one for people, and says whether. Its name may be empty: then it has none.
func printThing[T any](a *app, v T, name string) (printed bool, err error) {
	fields, err := pick(fieldsOf(reflect.TypeFor[T]()), a.columns)
	switch {
	case err != nil:
		return true, err
	case a.human():
		return false, nil
	case a.format == formCSV:
		_, err = writeCSV(a, a.out, slice([]T{v}), fields)
	case a.format != formName:
		err = writeLine(a.out, v, rowEncoder[T](a.columns, fields))
	case name != "":
		_, err = fmt.Fprintln(a.out, safe(name))
	}
	return true, err
}

// printOne prints one thing as JSON when that was asked for, and says whether.
func (a *app) printOne(v any) (bool, error) {
	if a.format != formJSON && a.format != formLines {
		return false, nil
	}
	b, err := encode(v)
	if err != nil {
		return true, err
	}
	_, err = a.out.Write(append(b, '\n'))
	return true, err
}
