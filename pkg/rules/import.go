package rules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Import reads Rules as the product stores them, in Rules.settings: an array of
// (priority, name, ((condition, operator, parameter), …), ((action, parameter), …)).
//
// When the text cannot be read the File is nil. Otherwise it has every Rule that can be
// used, and the error says of each other, by its name, why it was left out.
func Import(text []byte) (*File, error) {
	r := &reader{s: string(text)}
	all, err := r.document()
	if err != nil {
		return nil, err
	}
	f := &File{Lists: map[string][]string{}}
	var problems []error
	for i, v := range all {
		rule, err := importRule(v)
		if err != nil {
			problems = append(problems, fmt.Errorf("Rule %d, %q: left out: %w", i+1, rule.Name, err))
			continue
		}
		if err := f.take(rule); err != nil {
			problems = append(problems, err)
		}
	}
	return f, errors.Join(problems...)
}

// take adds a Rule, if it can be used. An error may say only what is to be done.
func (f *File) take(r Rule) error {
	name := r.Name
	for n := 2; slices.ContainsFunc(f.Rules, func(o Rule) bool { return fold(o.Name) == fold(r.Name) }); n++ {
		r.Name = name + " (" + strconv.Itoa(n) + ")"
	}
	missing := f.missing(r)
	alone := &File{Lists: map[string][]string{}, Rules: []Rule{r}}
	for list := range f.Lists {
		alone.Lists[list] = f.Lists[list]
	}
	for _, list := range missing {
		alone.Lists[list] = nil
	}
	if _, err := Compile(alone); err != nil {
		why := strings.ReplaceAll(err.Error(), "\n", "; ")
		if _, rest, ok := strings.Cut(why, "Rule "+strconv.Quote(r.Name)+": "); ok {
			why = rest
		}
		return fmt.Errorf("Rule %q: left out: %s", name, why)
	}
	f.Rules = append(f.Rules, r)
	for _, list := range missing {
		f.Lists[list] = []string{}
	}
	if len(missing) > 0 {
		return fmt.Errorf("Rule %q: taken, but the list %s is empty: fill it", r.Name, strings.Join(missing, ", "))
	}
	return nil
}

// missing are the lists that a Rule names and the file has not.
func (f *File) missing(r Rule) (lists []string) {
	have := func(all []string, name string) bool {
		return slices.ContainsFunc(all, func(o string) bool { return fold(o) == fold(name) })
	}
	known := make([]string, 0, len(f.Lists))
	for name := range f.Lists {
		known = append(known, name)
	}
	for _, c := range r.Conditions {
		if len(c) < 3 || c[1] != string(in) && c[1] != string(notIn) {
			continue
		}
		for _, e := range elements(c[2]) {
			if name, ok := strings.CutPrefix(e, "#"); ok && !have(known, name) && !have(lists, name) {
				lists = append(lists, name)
			}
		}
	}
	return lists
}

// misspelt are names that tools of the product write, and those that are meant.
var misspelt = map[string]string{
	"subjects": "Subject", "replay with": "Reply with", "replay to all with": "Reply to All with", "tag submit": "Tag Subject",
	"reject": "Reject with",
}

func meant(name string) string {
	if right, ok := misspelt[fold(name)]; ok {
		return right
	}
	return name
}

// importRule makes a Rule of (priority, name, conditions, actions).
func importRule(v value) (r Rule, err error) {
	if len(v.list) > 1 {
		r.Name = strings.TrimSpace(v.list[1].text)
	}
	if !v.array || len(v.list) < 3 || len(v.list) > 4 {
		return r, errors.New("it is not (priority, name, conditions, actions)")
	}
	if err := r.Priority.UnmarshalText([]byte(v.list[0].text)); err != nil {
		return r, err
	}
	if r.Conditions, err = importRows(v.list[2]); err != nil {
		return r, fmt.Errorf("conditions: %w", err)
	}
	if len(v.list) == 4 {
		if r.Actions, err = importRows(v.list[3]); err != nil {
			return r, fmt.Errorf("actions: %w", err)
		}
	}
	for _, c := range r.Conditions {
		if len(c) > 1 && c[1] != string(unary) {
			c[1] = fold(c[1])
		}
	}
	return r, nil
}

// importRows makes rows of ((a, b), …). A row of its own is taken for one.
func importRows(v value) (rows [][]string, err error) {
	if !v.array {
		if v.text == "" {
			return nil, nil
		}
		return nil, fmt.Errorf("%q is no array", v.text)
	}
	for _, e := range v.list {
		row := []string{e.text}
		if e.array {
			row = row[:0]
			for _, part := range e.list {
				if part.array {
					return nil, errors.New("an array is too deep")
				}
				row = append(row, part.text)
			}
		}
		if len(row) == 0 || row[0] == "" {
			return nil, errors.New("an empty element")
		}
		row[0] = meant(row[0])
		for len(row) > 1 && (row[len(row)-1] == "" || row[len(row)-1] == string(unary)) && !compares(row) {
			row = row[:len(row)-1]
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// compares says whether a row is a condition with an operator and an empty parameter.
func compares(row []string) bool {
	return len(row) == 3 && slices.Contains([]operator{is, isNot, in, notIn, less, greater}, operator(fold(row[1])))
}

// A value is a text or an array.
type value struct {
	text  string
	list  []value
	array bool
}

// A reader reads the product's text form of data.
type reader struct {
	s     string
	at    int
	depth int
}

const maxDepth = 8 // Rules have four

func (r *reader) fail(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", 1+strings.Count(r.s[:min(r.at, len(r.s))], "\n"), fmt.Sprintf(format, args...))
}

// document reads one array of Rules, or Rules one after the other.
func (r *reader) document() (all []value, err error) {
	for r.blank(); r.at < len(r.s); r.blank() {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		if !v.array {
			return nil, r.fail("%q is no Rule; want ((priority, name, conditions, actions), …)", v.text)
		}
		if len(v.list) > 0 && !v.list[0].array {
			all = append(all, v)
			continue
		}
		all = append(all, v.list...)
	}
	return all, nil
}

// blank passes over what has no meaning between values.
func (r *reader) blank() {
	for r.at < len(r.s) && strings.IndexByte(" \t\r\n;,", r.s[r.at]) >= 0 {
		r.at++
	}
}

func (r *reader) value() (v value, err error) {
	switch {
	case r.at == len(r.s):
		return v, r.fail("the text ends too early")
	case r.s[r.at] == '(':
		return r.arrayValue()
	case r.s[r.at] == '"':
		v.text, err = r.quoted()
		return v, err
	case strings.IndexByte(")", r.s[r.at]) >= 0:
		return v, r.fail("a ) that closes nothing")
	}
	begin := r.at
	for r.at < len(r.s) && strings.IndexByte(" \t\r\n;,()\"", r.s[r.at]) < 0 {
		r.at++
	}
	v.text = r.s[begin:r.at]
	return v, nil
}

// arrayValue reads ( value, … ).
func (r *reader) arrayValue() (v value, err error) {
	v.array = true
	if r.depth++; r.depth > maxDepth {
		return v, r.fail("arrays in arrays, %d deep", maxDepth)
	}
	r.at++
	for {
		if r.blank(); r.at < len(r.s) && r.s[r.at] == ')' {
			r.at++
			r.depth--
			return v, nil
		}
		e, err := r.value()
		if err != nil {
			return v, err
		}
		v.list = append(v.list, e)
	}
}

// quoted reads a text in quotes: \" \\ and \* are the character, \e and \n the end of a
// line, \t a tab, and \ with three digits the character of that decimal number.
func (r *reader) quoted() (string, error) {
	var b strings.Builder
	begin := r.at
	for r.at++; r.at < len(r.s); r.at++ {
		c := r.s[r.at]
		switch {
		case c == '"':
			r.at++
			return b.String(), nil
		case c != '\\':
			b.WriteByte(c)
			continue
		}
		r.at++
		if r.at == len(r.s) {
			break
		}
		switch c = r.s[r.at]; {
		case c == 'e' || c == 'n':
			b.WriteByte('\n')
		case c == 't':
			b.WriteByte('\t')
		case c == 'r':
		case c >= '0' && c <= '9' && r.at+3 <= len(r.s):
			n, err := strconv.ParseUint(r.s[r.at:r.at+3], 10, 8)
			if err != nil {
				return "", r.fail("\\%s is no character", r.s[r.at:r.at+3])
			}
			b.WriteByte(byte(n))
			r.at += 2
		default:
			b.WriteByte(c)
		}
	}
	r.at = begin
	return "", r.fail("a quote that is not closed")
}
