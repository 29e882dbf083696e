package settings

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A step is one name of a key and, of an array of tables, which table.
type step struct {
	name string
	nth  int // from 1; 0: it names no table of an array
}

// parseKey reads dequeuer.reporting_delay, rule[2].name and levels."a.b".
func parseKey(s string) (key []step, err error) {
	for rest := s; ; {
		var p step
		if p, rest, err = parseStep(rest); err != nil {
			return nil, fmt.Errorf("%q is no key: %w", s, err)
		}
		key = append(key, p)
		if rest == "" {
			return key, nil
		}
		if rest[0] != '.' {
			return nil, fmt.Errorf("%q is no key: a point is missing before %q", s, rest)
		}
		rest = rest[1:]
	}
}

var errNoNumber = errors.New("in brackets stands which table, from 1, as in rule[2]")

// parseStep reads one name with its number, and returns what is behind it.
func parseStep(s string) (p step, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return p, "", errors.New("a quotation mark is missing")
		}
		if p.name, err = strconv.Unquote(quoted); err != nil {
			return p, "", err
		}
		rest = s[len(quoted):]
	} else {
		n := strings.IndexFunc(s, func(r rune) bool { return !isBare(r) })
		if n < 0 {
			n = len(s)
		}
		if n == 0 {
			return p, "", errors.New("a name is missing")
		}
		p.name, rest = s[:n], s[n:]
	}
	if !strings.HasPrefix(rest, "[") {
		return p, rest, nil
	}
	digits, rest, ok := strings.Cut(rest[1:], "]")
	p.nth, err = strconv.Atoi(digits)
	if !ok || err != nil || p.nth < 1 || p.nth > 1_000_000 {
		return p, "", errNoNumber
	}
	return p, rest, nil
}

// String is the step as parseStep reads it.
func (p step) String() string {
	if p.nth == 0 {
		return keyText(p.name)
	}
	return fmt.Sprintf("%s[%d]", keyText(p.name), p.nth)
}

// stepsText is a key as parseKey reads it.
func stepsText(key []step) string {
	parts := make([]string, len(key))
	for i, p := range key {
		parts[i] = p.String()
	}
	return strings.Join(parts, ".")
}

// begins says whether key begins with the steps of prefix.
func begins(key, prefix []step) bool {
	return len(key) >= len(prefix) && slices.Equal(key[:len(prefix)], prefix)
}

// SplitKey splits queue.dequeuer.processors into the section and the key in it.
func SplitKey(key string) (section, rest string, err error) {
	steps, err := parseKey(key)
	if err != nil {
		return "", "", err
	}
	if len(steps) < 2 || steps[0].nth > 0 {
		return "", "", fmt.Errorf("%q is no key: it begins with the section, as in queue.dequeuer.reporting_delay", key)
	}
	return steps[0].name, stepsText(steps[1:]), nil
}

// typeOf returns the type of what a key below t can have, or says why there is none.
func typeOf(t reflect.Type, key []step) (reflect.Type, error) {
	for i, p := range key {
		t = deref(t)
		switch {
		case t.Kind() == reflect.Map:
			t = t.Elem()
		case isTable(t):
			fields := fieldsOf(t)
			n := slices.IndexFunc(fields, func(f field) bool { return f.key == p.name })
			if n < 0 {
				return nil, fmt.Errorf("%s: unknown key%s", stepsText(key[:i+1]), suggest(p.name, fields))
			}
			t = fields[n].Type
		default:
			return nil, fmt.Errorf("%s: unknown key: %s is not a table", stepsText(key[:i+1]), stepsText(key[:i]))
		}
		t = deref(t)
		tables := t.Kind() == reflect.Slice && isTable(deref(t.Elem()))
		switch {
		case p.nth > 0 && !tables:
			return nil, fmt.Errorf("%s: unknown key: %s is no list of tables", stepsText(key[:i+1]), keyText(p.name))
		case p.nth > 0:
			t = t.Elem()
		case tables && i < len(key)-1:
			return nil, fmt.Errorf("%s: unknown key: say which table, as %s[1]", stepsText(key), keyText(p.name))
		}
	}
	return deref(t), nil
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// valueAt returns what a key of v has; no value where there is nothing of that name.
func valueAt(v reflect.Value, key []step) reflect.Value {
	for _, p := range key {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		switch {
		case !v.IsValid():
			return v
		case v.Kind() == reflect.Map:
			v = v.MapIndex(reflect.ValueOf(p.name).Convert(v.Type().Key()))
		case v.Kind() == reflect.Struct:
			fields := fieldsOf(v.Type())
			n := slices.IndexFunc(fields, func(f field) bool { return f.key == p.name })
			if n < 0 {
				return reflect.Value{}
			}
			v = v.FieldByIndex(fields[n].Index)
		default:
			return reflect.Value{}
		}
		if p.nth > 0 {
			if !v.IsValid() || v.Kind() != reflect.Slice || v.Len() < p.nth {
				return reflect.Value{}
			}
			v = v.Index(p.nth - 1)
		}
	}
	return v
}
