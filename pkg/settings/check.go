package settings

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"cgq/pkg/near"
)

// A checker walks the syntax tree of a file beside the type of its section.
type checker struct {
	parser unstable.Parser
	file   string
	places map[string]place // where each key stands
	found  Problems
	begins []int // offsets of the lines

	tables map[string]int // how many there are of each array
	in     string         // the table of an array that we are in, as rule[2]; empty: none
}

// check returns every key that the value has no place for and every value that
// does not fit, and where each key stands. Syntax is left to the decoder.
func check(file string, text []byte, value any) (Problems, map[string]place) {
	c := &checker{file: file, begins: lineBegins(text), places: map[string]place{}, tables: map[string]int{}}
	c.parser.Reset(text)
	root := reflect.TypeOf(value).Elem()
	table, in := []string(nil), root // in: the type of the table that we are in; nil: unknown
	for c.parser.NextExpression() {
		switch e := c.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, in = c.find(nil, root, e)
			c.enter(table, e)
			if in != nil {
				in = c.tableType(table, in, e)
			}
		case unstable.KeyValue:
			if in != nil {
				c.keyValue(table, in, e)
			}
		}
	}
	if c.parser.Error() != nil {
		return nil, nil //nolint:nilerr // the decoder says it better
	}
	return c.found, c.places
}

// enter notes that the header e begins the table of a key.
func (c *checker) enter(key []string, e *unstable.Node) {
	if c.in = ""; e.Kind != unstable.ArrayTable {
		return
	}
	name := dotted(key)
	c.tables[name]++
	c.in = fmt.Sprintf("%s[%d]", name, c.tables[name])
	c.places[c.in] = c.keyPlace(e)
}

// tableType returns the type of the keys below the header e, or nil with a problem.
func (c *checker) tableType(key []string, t reflect.Type, e *unstable.Node) reflect.Type {
	if e.Kind == unstable.ArrayTable {
		if t.Kind() != reflect.Slice {
			c.problem(key, e, "is not a list of tables: write it in single brackets or with =")
			return nil
		}
		t = t.Elem()
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !isTable(t) && t.Kind() != reflect.Map {
		c.problem(key, e, "is not a table")
		return nil
	}
	return t
}

// find follows the key of e from the table and type given. When there is no such
// key it notes a problem and returns a nil type.
func (c *checker) find(table []string, t reflect.Type, e *unstable.Node) ([]string, reflect.Type) {
	key := slices.Clone(table)
	for it := e.Key(); it.Next(); {
		name := string(it.Node().Data)
		key = append(key, name)
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Map:
			t = t.Elem()
		case reflect.Struct:
			fields := fieldsOf(t)
			i := slices.IndexFunc(fields, func(f field) bool { return f.key == name })
			if i < 0 {
				c.problem(key, e, "unknown key"+suggest(name, fields))
				return key, nil
			}
			t = fields[i].Type
		default:
			c.problem(key, e, "is not a table")
			return key, nil
		}
	}
	if _, known := c.places[dotted(key)]; !known {
		c.places[dotted(key)] = c.valuePlace(e)
	}
	return key, t
}

func (c *checker) keyValue(table []string, t reflect.Type, e *unstable.Node) {
	key, t := c.find(table, t, e)
	if c.in != "" && len(key) > len(table) {
		c.places[c.in+"."+dotted(key[len(table):])] = c.valuePlace(e)
	}
	if t != nil {
		c.value(key, t, e, e.Value())
	}
}

// value notes what is wrong with the value n of the key at e.
func (c *checker) value(key []string, t reflect.Type, e, n *unstable.Node) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	v := reflect.New(t)
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind == unstable.Array || n.Kind == unstable.InlineTable {
			c.problemAt(key, c.valuePlace(e), "want one value")
			return
		}
		text := string(n.Data)
		if n.Kind == unstable.Integer { // without this, 5 would be a Duration of 5 nanoseconds
			text = strings.ReplaceAll(text, "_", "")
		}
		if err := u.UnmarshalText([]byte(text)); err != nil {
			c.problemAt(key, c.nodePlace(e, n), err.Error())
		}
		return
	}
	want, ok := fits(t.Kind(), n.Kind)
	if !ok {
		c.problemAt(key, c.nodePlace(e, n), "want "+want)
		return
	}
	for it := n.Children(); it.Next(); {
		switch n.Kind {
		case unstable.Array:
			c.value(key, t.Elem(), e, it.Node())
		case unstable.InlineTable:
			c.keyValue(key, t, it.Node())
		}
	}
}

// fits reports whether a field takes a value, and what it would take.
func fits(field reflect.Kind, value unstable.Kind) (want string, ok bool) {
	switch field {
	case reflect.String:
		return "a text in quotes", value == unstable.String
	case reflect.Bool:
		return "true or false", value == unstable.Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number", value == unstable.Integer
	case reflect.Float32, reflect.Float64:
		return "a number", value == unstable.Integer || value == unstable.Float
	case reflect.Slice, reflect.Array:
		return "a list in brackets", value == unstable.Array
	case reflect.Struct, reflect.Map:
		return "a table", value == unstable.InlineTable
	}
	return "nothing: no settings file can set this", false
}

func (c *checker) problem(key []string, at *unstable.Node, why string) {
	c.problemAt(key, c.keyPlace(at), why)
}

func (c *checker) problemAt(key []string, at place, why string) {
	c.found = append(c.found, Problem{File: c.file, Line: at.line, Column: at.column, Key: dotted(key), Why: why})
}

// A place is a line and a column of a file, from 1; the column counts bytes.
type place struct{ line, column int }

// keyPlace is where the key of an expression begins.
func (c *checker) keyPlace(e *unstable.Node) place {
	it := e.Key()
	it.Next()
	return c.at(it.Node().Raw)
}

// valuePlace is where the value of a key begins, but on the line of the key; of a header
// where the key does.
func (c *checker) valuePlace(e *unstable.Node) place {
	key := c.keyPlace(e)
	if e.Kind != unstable.KeyValue {
		return key
	}
	end := 0
	for it := e.Key(); it.Next(); {
		end = int(it.Node().Raw.Offset + it.Node().Raw.Length)
	}
	rest := c.parser.Data()[end:]
	skip := len(rest) - len(bytes.TrimLeft(rest, " \t="))
	return c.at(unstable.Range{Offset: uint32(end + skip)}) //nolint:gosec // a file has 1 MiB
}

// nodePlace is where a value begins that may be one of several of the key at e.
func (c *checker) nodePlace(e, n *unstable.Node) place {
	if n.Raw.Length > 0 {
		return c.at(n.Raw)
	}
	return c.valuePlace(e)
}

func (c *checker) at(r unstable.Range) place {
	offset := int(r.Offset)
	n := sort.SearchInts(c.begins, offset+1) // lines that begin here or before
	return place{n, offset - c.begins[n-1] + 1}
}

// lineBegins are the offsets at which lines begin.
func lineBegins(text []byte) []int {
	begins := []int{0}
	for i, c := range text {
		if c == '\n' {
			begins = append(begins, i+1)
		}
	}
	return begins
}

// dotted is a key as TOML writes it.
func dotted(key []string) string {
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = keyText(k)
	}
	return strings.Join(parts, ".")
}

func keyText(k string) string {
	if k == "" || strings.ContainsFunc(k, func(r rune) bool { return !isBare(r) }) {
		return quote(k)
	}
	return k
}

// isBare says whether a letter may stand in a name without quotes.
func isBare(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// A field is a field of a section or table that a file can set.
type field struct {
	reflect.StructField
	key, doc string
}

// fieldsOf returns the fields of the struct t that have a toml tag.
func fieldsOf(t reflect.Type) (list []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if f.IsExported() && key != "" && key != "-" {
			list = append(list, field{f, key, f.Tag.Get("doc")})
		}
	}
	return list
}

// suggest names the field that was most likely meant.
func suggest(name string, fields []field) string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	best := near.Name(strings.ToLower(name), slices.Values(keys), 2) // typing errors
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}
