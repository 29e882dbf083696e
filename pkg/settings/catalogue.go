package settings

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Key is one key of a section with all that is known of it. All of it comes from the
// section's type: cgq, its completion and the reference say the same.
type Key struct {
	Key     string   // below the section: dequeuer.reporting_delay, rule[2].name
	Type    string   // length of time, size, whole number, text, list of texts …
	Value   string   // as [Edit] takes it
	Default string   // likewise; empty: what is in a list or table of its own has none
	Changed bool     // the value is not the default
	Doc     string   // what it does
	Unit    string   // of the value
	Range   string   // as "1 to 100", where there is one
	Chapter string   // its name there
	Values  []string // those that there are, where they can be counted
}

// Keys are the keys of a section in the order of its type, with the values that live, a
// pointer to the same type, has; of a list of tables or a map, those that are there.
func (s Section) Keys(live any) []Key {
	c := catalogue{standard: reflect.ValueOf(s.Value)}
	c.table(nil, reflect.ValueOf(live).Elem(), false)
	return c.keys
}

// Schema are the keys that a section can have, with their defaults. A name in capitals
// stands for one that is free, N for a number.
func (s Section) Schema() []Key {
	c := catalogue{standard: reflect.ValueOf(s.Value), schema: true}
	c.table(nil, reflect.ValueOf(s.Value).Elem(), false)
	return c.keys
}

// A catalogue lists the keys of a section.
type catalogue struct {
	standard reflect.Value
	schema   bool
	later    bool // the doc of a table around has nextStart
	keys     []Key
}

// nextStart is in the doc of a key, or of the table that it is in, that a running cgqd does
// not look at again.
const nextStart = "; takes effect at the next start"

// table lists what is in a table; free: it has no defaults.
func (c *catalogue) table(key []step, v reflect.Value, free bool) {
	for _, f := range fieldsOf(v.Type()) {
		c.value(append(slices.Clone(key), step{name: f.key}), f, v.FieldByIndex(f.Index), free)
	}
}

func (c *catalogue) value(key []step, f field, v reflect.Value, free bool) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if isTable(v.Type()) {
		around := c.later
		c.later = around || strings.Contains(f.doc, nextStart)
		c.table(key, v, free)
		c.later = around
		return
	}
	last := &key[len(key)-1]
	switch v.Kind() {
	case reflect.Slice:
		if !isTable(deref(v.Type().Elem())) {
			break
		}
		if c.schema {
			c.table(append(key[:len(key)-1:len(key)-1], step{name: last.name + "[N]"}), reflect.New(deref(v.Type().Elem())).Elem(), true)
		}
		for i := 0; i < v.Len() && !c.schema; i++ {
			last.nth = i + 1
			c.table(key, pointee(v.Index(i)), true)
		}
		return
	case reflect.Map:
		if !isTable(deref(v.Type().Elem())) {
			break
		}
		if c.schema {
			c.table(append(key, step{name: "NAME"}), reflect.New(deref(v.Type().Elem())).Elem(), true)
		}
		for _, name := range sortedNames(v) {
			if !c.schema {
				c.table(append(slices.Clone(key), step{name: name}), pointee(v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key()))), true)
			}
		}
		return
	}
	c.add(key, f, v, free)
}

func pointee(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v
}

func sortedNames(v reflect.Value) (names []string) {
	for _, k := range v.MapKeys() {
		names = append(names, k.String())
	}
	slices.Sort(names)
	return names
}

var (
	chapterName = regexp.MustCompile(`\s*\(chapter: ([^)]*)\)`)
	rangeText   = regexp.MustCompile(`\b\d\w* to \d\w*(?: in steps of \w+| each)?`)
)

func (c *catalogue) add(key []step, f field, v reflect.Value, free bool) {
	k := Key{Key: stepsText(key), Type: typeText(v.Type()), Unit: unitText(v.Type()), Doc: f.doc, Value: plainText(v)}
	if c.schema {
		k.Key = strings.ReplaceAll(k.Key, `[N]"`, `[N]`)
		k.Key = strings.ReplaceAll(k.Key, `"`, "")
	}
	if m := chapterName.FindStringSubmatch(f.doc); m != nil {
		k.Chapter = m[1]
		k.Doc = chapterName.ReplaceAllString(f.doc, "")
	}
	if c.later {
		k.Doc += nextStart
	}
	k.Range = rangeText.FindString(k.Doc)
	if values := f.Tag.Get("values"); values != "" {
		k.Values = strings.Split(values, "|")
	} else if v.Kind() == reflect.Bool {
		k.Values = []string{"true", "false"}
	}
	if !free {
		k.Default = plainText(valueAt(c.standard, key))
		k.Changed = k.Value != k.Default
	}
	c.keys = append(c.keys, k)
}

// lasting is a Duration, or what has one in it.
type lasting interface{ D() time.Duration }

// typeText is what a value is, for people.
func typeText(t reflect.Type) string {
	t = deref(t)
	switch {
	case t.Implements(reflect.TypeFor[lasting]()):
		return "length of time"
	case t == reflect.TypeFor[Size]():
		return "size"
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return "text"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice, reflect.Array:
		return "list of " + manyText(typeText(t.Elem()))
	case reflect.Map:
		return "table of " + manyText(typeText(t.Elem()))
	}
	return "whole number"
}

func manyText(one string) string {
	switch first, rest, _ := strings.Cut(one, " of "); {
	case rest != "":
		return first + "s of " + rest
	case one == "true or false":
		return one
	}
	return one + "s"
}

// unitText is the unit of a value, where it has one.
func unitText(t reflect.Type) string {
	t = deref(t)
	switch {
	case t.Implements(reflect.TypeFor[lasting]()):
		return "s, m, h, d, w"
	case t == reflect.TypeFor[Size]():
		return "bytes, K, M, G, T"
	case t.Kind() == reflect.Slice:
		return unitText(t.Elem())
	}
	return ""
}

// A Difference is a key with its values before and after.
type Difference struct{ Key, Before, After string }

// Compare lists the keys whose values are not the same in two values of a section's type,
// in their order. What is a secret is not told.
func (s Section) Compare(before, after any) (all []Difference) {
	old := map[string]string{}
	was := s.Keys(before)
	for _, k := range was {
		old[k.Key] = k.Value
	}
	for _, k := range s.Keys(after) {
		value, known := old[k.Key]
		if delete(old, k.Key); !known || value != k.Value {
			all = append(all, Difference{k.Key, veil(k.Key, value), veil(k.Key, k.Value)})
		}
	}
	for _, k := range was {
		if value, gone := old[k.Key]; gone {
			all = append(all, Difference{k.Key, veil(k.Key, value), ""})
		}
	}
	return all
}

// Veil is the value of a key, in stars if it is a secret.
func (k Key) Veil() string { return veil(k.Key, k.Value) }

func veil(key, value string) string {
	if value == "" || value == `""` || !secret(key) {
		return value
	}
	return "******"
}

func secret(key string) bool {
	steps, err := parseKey(key)
	if err != nil {
		return false
	}
	switch steps[len(steps)-1].name {
	case "password", "secret", "token":
		return true
	}
	return false
}

// Reference is the page of a section in the reference, as Markdown: every key with its
// default, unit and range, and the chapter's name.
func (s Section) Reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", s.Name)
	if s.Doc != "" {
		fmt.Fprintf(&b, "%s\n\n", s.Doc)
	}
	b.WriteString("| key | default | type, unit, range | what it does | chapter |\n|---|---|---|---|---|\n")
	for _, k := range s.Schema() {
		kind := []string{k.Type}
		if k.Unit != "" {
			kind = append(kind, k.Unit)
		}
		if k.Range != "" {
			kind = append(kind, k.Range)
		}
		standard := "-"
		if k.Default != "" {
			standard = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Key, standard, strings.Join(kind, "; "), escapeCell(k.Doc), escapeCell(k.Chapter))
	}
	return b.String()
}

// escapeCell keeps a text in its cell.
func escapeCell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ").Replace(s)
}
