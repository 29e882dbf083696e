package settings

import (
	"encoding"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"cgq/pkg/disk"
)

const (
	margin   = 72 // columns of a comment
	fileHead = "# Settings of cgqd: %s. Lengths of time: 90s, 5m, 2h30m, 5d, 1w. Sizes in bytes: 1000, 256K, 16M, 1G.\n" +
		"# \"cgqd check\" says what is wrong here; a running cgqd notices that it is edited, and cgq settings edits it, too.\n"
)

// WriteDefaults writes the file of each section into dir, which it makes: every
// key with the value that it has in the section, and its doc as a comment above.
// When it returns nil the files survive power loss. It refuses a directory that
// has a settings file already, and changes nothing then.
func WriteDefaults(fsys disk.FS, dir string, sections ...Section) error {
	present, err := fsys.List(dir)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if i := slices.IndexFunc(present, func(name string) bool { return strings.HasSuffix(name, suffix) }); i >= 0 {
		return fmt.Errorf("settings: %s is there already: nothing was written", path.Join(dir, present[i]))
	}
	if err := fsys.Mkdir(dir); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	for _, s := range sections {
		text, err := s.Document()
		if err != nil {
			return fmt.Errorf("settings: %s: %w", s.Name, err)
		}
		if err := publish(fsys, path.Join(dir, s.Name+suffix), text); err != nil {
			return fmt.Errorf("settings: write %s: %w", s.Name, err)
		}
	}
	if err := fsys.SyncDir(path.Dir(dir)); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return nil
}

// Replace gives a file of a settings directory another text, durably. At any time, and after
// power loss, there is a file, the old one or the new one. The text is the caller's affair.
// Who changes settings that are applied has a [Store].
func Replace(fsys disk.FS, dir, name, text string) error {
	file := path.Join(dir, name)
	if err := publish(fsys, file, text); err != nil {
		return fmt.Errorf("settings: write %s: %w", file, err)
	}
	return nil
}

func publish(fsys disk.FS, name, text string) error {
	tmp := name + ".tmp"
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.WriteAt([]byte(text), 0); err == nil {
		err = disk.Publish(fsys, f, tmp, name)
	}
	if err != nil {
		_ = fsys.Remove(tmp) // so far as it is there; the error to tell is the first
	}
	return err
}

// Document is the file of a section with the values that it has, each explained.
func (s Section) Document() (string, error) {
	if d, ok := s.Value.(Documenter); ok {
		return d.Document()
	}
	var b strings.Builder
	fmt.Fprintf(&b, fileHead, s.Name)
	err := writeTable(&b, nil, reflect.ValueOf(s.Value).Elem())
	return b.String(), err
}

// writeTable writes the keys of a table, then the tables in it: after a table's
// header TOML has no way back.
func writeTable(b *strings.Builder, key []string, v reflect.Value) error {
	var tables []field
	for _, f := range fieldsOf(v.Type()) {
		if isTable(f.Type) {
			tables = append(tables, f)
			continue
		}
		if f.Type.Kind() == reflect.Slice && isTable(f.Type.Elem()) {
			b.WriteByte('\n')
			writeComment(b, f.doc)
			if err := writeExample(b, append(slices.Clone(key), f.key), f.Type.Elem()); err != nil {
				return err
			}
			continue
		}
		text, err := valueText(v.FieldByIndex(f.Index))
		if err != nil {
			return fmt.Errorf("%s: %w", dotted(append(key, f.key)), err)
		}
		b.WriteByte('\n')
		writeComment(b, f.doc)
		fmt.Fprintf(b, "%s = %s\n", keyText(f.key), text)
	}
	for _, f := range tables {
		b.WriteByte('\n')
		writeComment(b, f.doc)
		inner := append(slices.Clone(key), f.key)
		fmt.Fprintf(b, "[%s]\n", dotted(inner))
		if err := writeTable(b, inner, v.FieldByIndex(f.Index)); err != nil {
			return err
		}
	}
	return nil
}

// writeExample writes what one table of a list looks like, as a comment: there is none of
// them in a new file, and an empty list would have to go before the first one comes.
func writeExample(b *strings.Builder, key []string, t reflect.Type) error {
	fmt.Fprintf(b, "#\n# [[%s]]\n", dotted(key))
	for _, f := range fieldsOf(t) {
		text, err := valueText(reflect.Zero(f.Type))
		if err != nil {
			return fmt.Errorf("%s: %w", dotted(append(key, f.key)), err)
		}
		line := "# " + keyText(f.key) + " = " + text
		if f.doc != "" {
			line += strings.Repeat(" ", max(1, 28-len(line))) + "# " + f.doc
		}
		b.WriteString(line + "\n")
	}
	return nil
}

// writeComment breaks a text into lines of margin columns.
func writeComment(b *strings.Builder, text string) {
	column := 0
	for word := range strings.FieldsSeq(text) {
		if column > 0 && column+1+len(word) > margin {
			b.WriteByte('\n')
			column = 0
		}
		if column == 0 {
			b.WriteByte('#')
			column = 1
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	if column > 0 {
		b.WriteByte('\n')
	}
}

func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// valueText is a value as TOML writes it.
func valueText(v reflect.Value) (string, error) {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		return quote(string(text)), err
	}
	switch v.Kind() {
	case reflect.String:
		return quote(v.String()), nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		s := strconv.FormatFloat(v.Float(), 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s, nil
	case reflect.Slice, reflect.Array:
		list := make([]string, v.Len())
		for i := range list {
			text, err := valueText(v.Index(i))
			if err != nil {
				return "", err
			}
			list[i] = text
		}
		return "[" + strings.Join(list, ", ") + "]", nil
	case reflect.Map:
		return mapText(v)
	}
	return "", fmt.Errorf("a %s cannot be written", v.Type())
}

func mapText(v reflect.Value) (string, error) {
	var list []string
	for key, value := range v.Seq2() {
		text, err := valueText(value)
		if err != nil {
			return "", err
		}
		list = append(list, keyText(key.String())+" = "+text)
	}
	if list == nil {
		return "{}", nil
	}
	slices.Sort(list)
	return "{ " + strings.Join(list, ", ") + " }", nil
}

// quote is a text as a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
