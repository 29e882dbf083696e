package settings

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// An Edit changes one key of a section.
type Edit struct {
	Key   string // below the section: dequeuer.reporting_delay, rule[2].name
	Value string // as on a command line: 1h, 50M, true, a, b; or as TOML writes it
	Unset bool   // back to the default; what there is no default for goes
}

// Edit returns the text of the section's file with other values of some keys. Nothing else
// changes: all other bytes stay as they are, comments and the order with them. A key that
// is not there comes into its table, behind a comment that has it with a default, if there
// is one, else behind what the section has before it; a missing table comes last. The value
// of a key that is unset stays as a comment, unless there is one. Comments within a value
// that is replaced go above it.
//
// Whether the section takes the values together is not asked: see [Decode]. The error is
// [Problems], and the text beside it is there to be shown: values that cannot be read stand
// in it as they were given.
func (s Section) Edit(text []byte, edits ...Edit) ([]byte, error) {
	var all Problems
	for _, e := range edits {
		next, err := s.edit(text, e)
		if err != nil {
			all = append(all, Problem{File: s.Name + suffix, Key: e.Key, Why: strings.TrimPrefix(err.Error(), e.Key+": ")})
		}
		if next != nil {
			text = next
		}
	}
	if len(all) > 0 {
		all.locate(text)
		return text, all
	}
	return text, nil
}

// locate finds the values in a text that the problems are about.
func (ps Problems) locate(text []byte) {
	d, err := index(text)
	if err != nil {
		return
	}
	for i := range ps {
		key, err := parseKey(ps[i].Key)
		if err != nil {
			continue
		}
		if e := d.find(key); e != nil {
			ps[i].Line = 1 + bytes.Count(text[:e.value.from], []byte("\n"))
			ps[i].Column = e.value.from - bytes.LastIndexByte(text[:e.value.from], '\n')
		}
	}
}

func (s Section) edit(text []byte, e Edit) ([]byte, error) {
	key, err := parseKey(e.Key)
	if err != nil {
		return nil, err
	}
	t, err := typeOf(reflect.TypeOf(s.Value), key)
	if err != nil {
		return nil, err
	}
	d, err := index(text)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be edited: %w", err)
	}
	var next []byte
	if e.Unset {
		next, err = d.unset(key, s.defaultText(key))
	} else {
		value, wrong := literal(t, e.Value)
		if wrong != nil {
			next, _ = d.set(key, quote(e.Value), s.siblings(key)) // where it would stand, if it can be told
			return next, wrong
		}
		next, err = d.set(key, value, s.siblings(key))
	}
	if err == nil {
		err = verify(d, next, key)
	}
	if err != nil {
		return nil, err
	}
	return next, nil
}

// Has says why the section can have no such key; nil: it can.
func (s Section) Has(key string) error {
	steps, err := parseKey(key)
	if err == nil {
		_, err = typeOf(reflect.TypeOf(s.Value), steps)
	}
	return err
}

// defaultText is the default of a key as TOML writes it; empty: there is none.
func (s Section) defaultText(key []step) string {
	v := valueAt(reflect.ValueOf(s.Value), key)
	if !v.IsValid() {
		return ""
	}
	text, err := valueText(v)
	if err != nil {
		return ""
	}
	return text
}

// siblings are the names in the table of a key, in the order that the section has.
func (s Section) siblings(key []step) (names []string) {
	t, err := typeOf(reflect.TypeOf(s.Value), key[:len(key)-1])
	if err != nil || !isTable(t) {
		return nil
	}
	for _, f := range fieldsOf(t) {
		names = append(names, f.key)
	}
	return names
}

// set gives a key a value.
func (d *document) set(key []step, value string, siblings []string) ([]byte, error) {
	if e := d.find(key); e != nil {
		return d.hoist(e, e.value, value), nil
	}
	for i := len(key) - 1; i > 0; i-- {
		if e := d.find(key[:i]); e != nil && e.inline {
			return d.addInline(e, key[i:], value)
		} else if e != nil {
			return nil, fmt.Errorf("line %s of the file has no table there: edit the file", d.lineAt(e.expr.from))
		}
	}
	for i := range d.entries {
		e := &d.entries[i]
		unnumbered := slices.Clone(key)
		if len(e.path) >= len(key) {
			unnumbered[len(key)-1].nth = e.path[len(key)-1].nth
		}
		if begins(e.path, unnumbered) {
			return nil, fmt.Errorf("is a table in line %s of the file: set the keys in it, or edit the file", d.lineAt(e.line.from))
		}
	}
	return d.add(key, value, siblings)
}

// addInline puts a key into the inline table of an entry.
func (d *document) addInline(table *entry, rest []step, value string) ([]byte, error) {
	if rest[0].nth > 0 || slices.ContainsFunc(rest, func(p step) bool { return p.nth > 0 }) {
		return nil, errors.New("there is no such table: edit the file")
	}
	text := stepsText(rest) + " = " + value
	at := -1
	for i := range d.entries {
		if e := &d.entries[i]; e.inside >= 0 && &d.entries[e.inside] == table {
			at = e.expr.to
		}
	}
	if at >= 0 {
		return d.splice(span{at, at}, ", "+text), nil
	}
	return d.splice(span{table.value.from + 1, table.value.from + 1}, " "+text+" "), nil
}

// add puts a key where it belongs.
func (d *document) add(key []step, value string, siblings []string) ([]byte, error) {
	parent := key[:len(key)-1]
	name := key[len(key)-1]
	if name.nth > 0 {
		return nil, errors.New("is a table: set the keys in it")
	}
	line := keyText(name.name) + " = " + value
	if len(parent) == 0 {
		return d.insert(nil, name.name, line, siblings), nil
	}
	for i := range d.entries {
		if e := &d.entries[i]; e.header && slices.Equal(e.path, parent) {
			return d.insert(e, name.name, line, siblings), nil
		}
	}
	if e := d.dotted(parent); e != nil {
		return d.behind(e.line, d.indent(e)+stepsText(key[e.own:])+" = "+value), nil
	}
	return d.addTable(parent, line)
}

// dotted is the last key that has made the table, or one around it, by points: such a
// table has no header. Nil: there is none.
func (d *document) dotted(parent []step) (found *entry) {
	most := 0
	for i := range d.entries {
		e := &d.entries[i]
		common := 0
		for common < len(parent) && common < len(e.path)-1 && parent[common] == e.path[common] {
			common++
		}
		if !e.header && e.inside < 0 && common > e.own && common >= most {
			found, most = e, common
		}
	}
	return found
}

// addTable puts a table with one key at the end, or what it is part of.
func (d *document) addTable(parent []step, line string) ([]byte, error) {
	names := make([]string, len(parent))
	header, at := "[%s]", len(d.text)
	for i, p := range parent {
		names[i] = p.name
		if p.nth == 0 {
			continue
		}
		array := slices.Clone(parent[:i+1])
		array[i].nth = 0
		switch n := d.count(array); {
		case p.nth == n+1 && i == len(parent)-1:
			header = "[[%s]]"
		case p.nth > n:
			return nil, fmt.Errorf("there is no %s: %s has %d", stepsText(parent[:i+1]), stepsText(array), n)
		case p.nth < n: // what belongs to this one stands before the next
			array[i].nth = p.nth + 1
			for j := range d.entries {
				if e := &d.entries[j]; e.header && slices.Equal(e.path, array) {
					at = e.line.from
				}
			}
		}
	}
	text := fmt.Sprintf(header, dotted(names)) + d.eol() + line + d.eol()
	before := d.text[:at]
	if len(before) > 0 && before[len(before)-1] != '\n' {
		text = d.eol() + text
	}
	if len(bytes.TrimSpace(before)) > 0 {
		text = d.eol() + text
	}
	if at < len(d.text) {
		text += d.eol()
	}
	return d.splice(span{at, at}, text), nil
}

// insert puts the line of a key below a header; nil: above the first.
func (d *document) insert(header *entry, name, line string, siblings []string) []byte {
	keys, body := d.body(header)
	if c, ok := d.commented(name, body); ok {
		lines := d.lines(c)
		indent := string(d.text[lines.from:c.from])
		return d.behind(lines, indent+line)
	}
	var before *entry
	most, mine := -1, slices.Index(siblings, name)
	for _, e := range keys {
		rank := slices.Index(siblings, e.path[e.own].name)
		if rank < 0 || rank < mine && rank >= most {
			before, most = e, rank
		}
	}
	if before == nil && len(keys) > 0 && mine < 0 {
		before = keys[len(keys)-1]
	}
	switch {
	case before != nil:
		return d.behind(before.line, d.indent(before)+line)
	case header != nil:
		return d.behind(header.line, d.indent(header)+line)
	}
	at := d.top()
	return d.splice(span{at, at}, line+d.eol())
}

// behind puts a line behind others.
func (d *document) behind(lines span, line string) []byte {
	if lines.to > 0 && d.text[lines.to-1] != '\n' {
		return d.splice(span{lines.to, lines.to}, d.eol()+line)
	}
	return d.splice(span{lines.to, lines.to}, line+d.eol())
}

// commented finds the comment in a span that has a key with a value.
func (d *document) commented(name string, in span) (found span, ok bool) {
	is := regexp.MustCompile(`^#[ \t]*` + regexp.QuoteMeta(keyText(name)) + `[ \t]*=`)
	for _, c := range d.comments {
		if c.from >= in.from && c.to <= in.to && is.Match(d.text[c.from:c.to]) && d.alone(c) {
			return c, true
		}
	}
	return span{}, false
}

// alone says whether a comment has its line for itself, outside of any value.
func (d *document) alone(c span) bool {
	begin := d.lines(c).from
	if len(bytes.TrimSpace(d.text[begin:c.from])) > 0 {
		return false
	}
	return !slices.ContainsFunc(d.entries, func(e entry) bool { return !e.header && e.value.from < c.from && c.to <= e.value.to })
}

// top is behind the comment that a file begins with, if an empty line ends it.
func (d *document) top() int {
	end := len(d.text)
	if len(d.entries) > 0 {
		end = d.entries[0].line.from
	}
	at := 0
	for at < end {
		line := d.text[at:d.lines(span{at, at}).to]
		switch trimmed := bytes.TrimSpace(line); {
		case len(trimmed) == 0:
			return at + len(line)
		case trimmed[0] != '#':
			return 0
		}
		at += len(line)
	}
	if end == len(d.text) && len(d.text) > 0 && d.text[len(d.text)-1] == '\n' {
		return end // nothing but a comment
	}
	return 0
}

// unset takes a key away, and leaves its default as a comment.
func (d *document) unset(key []step, standard string) ([]byte, error) {
	e := d.find(key)
	if e == nil {
		for i := range d.entries {
			if begins(d.entries[i].path, key) {
				return nil, errors.New("is a table: unset the keys in it, or edit the file")
			}
		}
		return d.text, nil
	}
	if e.inside >= 0 {
		return d.removeInline(e), nil
	}
	behind := span{e.expr.to, e.line.to}
	rest := string(d.text[behind.from:behind.to])
	comment := strings.TrimSpace(rest)
	header := d.above(e)
	_, body := d.body(header)
	_, known := d.commented(key[len(key)-1].name, body)
	text := ""
	if !known && standard != "" && !strings.ContainsAny(standard, "\n\r") {
		text = d.indent(e) + "# " + stepsText(key[e.own:]) + " = " + standard + d.eol()
	}
	if comment != "" {
		text += d.indent(e) + comment + d.eol()
	}
	if !strings.HasSuffix(rest, "\n") {
		text = strings.TrimSuffix(text, d.eol())
	}
	inner := ""
	for _, c := range d.within(e.value) {
		inner += d.indent(e) + c + d.eol()
	}
	return d.splice(e.line, inner+text), nil
}

// above is the header that a key stands below, or nil.
func (d *document) above(key *entry) (header *entry) {
	for i := range d.entries {
		e := &d.entries[i]
		if e == key {
			break
		}
		if e.header {
			header = e
		}
	}
	return header
}

// removeInline takes a key out of its inline table.
func (d *document) removeInline(e *entry) []byte {
	table := &d.entries[e.inside]
	var before, after *entry
	seen := false
	for i := range d.entries {
		o := &d.entries[i]
		switch {
		case o == e:
			seen = true
		case o.inside < 0 || o.inside != e.inside || !slices.Equal(o.path[:o.own], e.path[:e.own]):
		case !seen:
			before = o
		case after == nil:
			after = o
		}
	}
	cut := e.expr
	switch {
	case after != nil:
		cut.to = after.expr.from
	case before != nil:
		cut.from = before.expr.to
	case table.inline:
		cut = span{table.value.from + 1, table.value.to - 1}
	}
	return d.hoist(table, cut, "")
}

// verify refuses a text in which more than the key has changed: some forms of TOML are
// beyond an edit of one key, and a person has to do it.
func verify(d *document, next []byte, key []step) error {
	after, err := index(next)
	if err != nil {
		return fmt.Errorf("cannot be edited by its name: edit the file (%w)", err)
	}
	var was, is map[string]any
	if err := errors.Join(toml.Unmarshal(d.text, &was), toml.Unmarshal(next, &is)); err != nil {
		return fmt.Errorf("cannot be edited by its name: edit the file (%w)", err)
	}
	was, is = without(was, key), without(is, key)
	n := 0 // comments found again
	old := d.within(span{0, len(d.text)})
	for _, c := range after.within(span{0, len(next)}) {
		if n < len(old) && c == old[n] {
			n++
		}
	}
	if !reflect.DeepEqual(was, is) || n < len(old) {
		return errors.New("cannot be edited by its name: edit the file")
	}
	return nil
}

// without is a table without a key, and without the tables that were there for it alone.
func without(table map[string]any, key []step) map[string]any {
	table = maps.Clone(table)
	value, ok := table[key[0].name]
	if !ok {
		return table
	}
	in, isTable := value.(map[string]any)
	list, isList := value.([]any)
	switch nth := key[0].nth; {
	case len(key) == 1:
		delete(table, key[0].name)
	case isTable && nth == 0:
		if in = without(in, key[1:]); len(in) == 0 {
			delete(table, key[0].name)
		} else {
			table[key[0].name] = in
		}
	case isList && nth > 0 && nth <= len(list):
		if in, ok := list[nth-1].(map[string]any); ok {
			list = slices.Clone(list)
			list[nth-1] = without(in, key[1:])
			if nth == len(list) && len(list[nth-1].(map[string]any)) == 0 {
				list = list[:nth-1]
			}
			table[key[0].name] = list
			if len(list) == 0 {
				delete(table, key[0].name)
			}
		}
	}
	return table
}
