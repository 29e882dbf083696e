package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"cgq/pkg/control"
)

// A field is one field of a row under its name in JSON.
type field struct {
	name    string
	index   int
	omitted func(reflect.Value) bool
}

// fieldsOf returns the fields of a row type in their order.
func fieldsOf(row reflect.Type) []field {
	var all []field
	for i := range row.NumField() {
		name, opt, _ := strings.Cut(row.Field(i).Tag.Get("json"), ",")
		f := field{name: name, index: i, omitted: func(reflect.Value) bool { return false }}
		if opt == "omitzero" || opt == "omitempty" {
			f.omitted = reflect.Value.IsZero
		}
		all = append(all, f)
	}
	return all
}

// names returns the names of fields.
func names(fields []field) []string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return list
}

// pick returns the fields with the given names, in that order; all without names.
func pick(fields []field, wanted []string) ([]field, error) {
	if len(wanted) == 0 {
		return fields, nil
	}
	var picked []field
	for _, name := range wanted {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			return nil, &usageError{fmt.Sprintf("no column %q; there are %s", name, strings.Join(names(fields), ", "))}
		}
		picked = append(picked, fields[i])
	}
	return picked, nil
}

// hasColumns refuses columns that a type has not, before anything is done.
func hasColumns[T any](a *app) error {
	_, err := pick(fieldsOf(reflect.TypeFor[T]()), a.columns)
	return err
}

// encode is v as one line of JSON without its line end, harmless on a terminal.
func encode(v any) ([]byte, error) {
	b, err := control.AppendJSON(nil, v)
	return safeJSON(b), err
}

// A rowEncoding makes a line of JSON of a row, which stands until the next is made.
type rowEncoding[Row any] func(Row) ([]byte, error)

// rowEncoder returns the encoding of rows with these fields, which are all when no
// columns were asked for.
func rowEncoder[Row any](columns []string, fields []field) rowEncoding[Row] {
	if len(columns) == 0 {
		form, row, b := control.FormOf[Row](), *new(Row), []byte(nil)
		return func(next Row) (_ []byte, err error) {
			row = next
			b, err = form.Append(b[:0], &row)
			return safeJSON(b), err
		}
	}
	return func(row Row) ([]byte, error) { return encodeFields(reflect.ValueOf(row), fields) }
}

// encodeFields is a row as a JSON object of some of its fields.
func encodeFields(row reflect.Value, fields []field) ([]byte, error) {
	b := []byte("{")
	for _, f := range fields {
		v := row.Field(f.index)
		if f.omitted(v) {
			continue
		}
		value, err := encode(v.Interface())
		if err != nil {
			return nil, err
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(append(b, '"'), f.name...), `":`...), value...)
	}
	return append(b, '}'), nil
}

// plain is a value as a program wants it: bytes, seconds, RFC 3339, nothing for
// what is omitted in JSON.
func plain(f field, row reflect.Value) string {
	v := row.Field(f.index)
	if f.omitted(v) {
		return ""
	}
	switch v := v.Interface().(type) {
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case control.Seconds:
		b, _ := v.MarshalJSON() // digits; never an error
		return string(b)
	default:
		return plainValue(v)
	}
}

// plainValue is a value of no kind of its own: what has parts as in JSON.
func plainValue(v any) string {
	switch reflect.TypeOf(v).Kind() {
	case reflect.Slice, reflect.Struct, reflect.Pointer, reflect.Map:
		if b, err := encode(v); err == nil {
			return string(b)
		}
	}
	return safe(fmt.Sprint(v))
}
