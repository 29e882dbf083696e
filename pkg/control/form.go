package control

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A RowForm writes and reads rows of one type as lines of JSON, the same that
// encoding/json would, HTML not escaped, in a fraction of its time when all fields are
// texts, numbers, truths and times. It is safe for concurrent use.
type RowForm[Row any] struct {
	fields []formField // nil: the row has others, and goes through encoding/json
}

// A formField is one field of a row.
type formField struct {
	index int
	key   []byte // `"name":`
	kind  formKind
	omit  bool // when zero
}

type formKind int

const (
	formText formKind = iota
	formInt
	formUint
	formBool
	formTime
)

// FormOf returns the form of a row type.
func FormOf[Row any]() RowForm[Row] {
	t := reflect.TypeFor[Row]()
	if t.Kind() != reflect.Struct {
		return RowForm[Row]{}
	}
	var fields []formField
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		kind, ok := formKindOf(sf.Type)
		if !ok || name == "" || name == "-" || !sf.IsExported() || options != "" && options != "omitzero" &&
			(options != "omitempty" || kind == formTime) { // which omitempty never leaves out
			return RowForm[Row]{}
		}
		fields = append(fields, formField{i, []byte(strconv.Quote(name) + ":"), kind, options != ""})
	}
	return RowForm[Row]{fields}
}

func formKindOf(t reflect.Type) (formKind, bool) {
	if t == reflect.TypeFor[time.Time]() {
		return formTime, true
	}
	for _, own := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()} {
		if reflect.PointerTo(t).Implements(own) {
			return 0, false
		}
	}
	switch t.Kind() {
	case reflect.String:
		return formText, true
	case reflect.Int, reflect.Int64:
		return formInt, true
	case reflect.Uint64:
		return formUint, true
	case reflect.Bool:
		return formBool, true
	}
	return 0, false
}

// Append appends a row, without a line end. An error is of a value that JSON cannot say,
// such as a time of the year 10000.
func (f RowForm[Row]) Append(b []byte, row *Row) ([]byte, error) {
	if f.fields == nil {
		return AppendJSON(b, row)
	}
	v := reflect.ValueOf(row).Elem()
	b = append(b, '{')
	first := len(b)
	for i := range f.fields {
		field := &f.fields[i]
		x := v.Field(field.index)
		if field.omit && x.IsZero() {
			continue
		}
		if len(b) > first {
			b = append(b, ',')
		}
		b = append(b, field.key...)
		switch field.kind {
		case formText:
			b = appendText(b, x.String())
		case formInt:
			b = strconv.AppendInt(b, x.Int(), 10)
		case formUint:
			b = strconv.AppendUint(b, x.Uint(), 10)
		case formBool:
			b = strconv.AppendBool(b, x.Bool())
		case formTime:
			var err error
			if b, err = x.Addr().Interface().(*time.Time).AppendText(append(b, '"')); err != nil {
				return b, err
			}
			b = append(b, '"')
		}
	}
	return append(b, '}'), nil
}

// AppendJSON appends a value as encoding/json does, without escaping HTML and without a line
// end.
func AppendJSON(b []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	e := json.NewEncoder(buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// appendText appends a text in quotes: what is no UTF-8 as U+FFFD, and what ends lines
// for JavaScript escaped, as encoding/json has it.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0 // what is before is written
	for i := 0; i < len(s); {
		c := s[i]
		if ' ' <= c && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
		}
		b = append(b, s[from:i]...)
		switch r {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
		i += size
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// A rowReader reads rows one after the other. Texts that say the same as in the row
// before are the same strings.
type rowReader[Row any] struct {
	form RowForm[Row]
	last []string
}

func newRowReader[Row any]() *rowReader[Row] {
	f := FormOf[Row]()
	return &rowReader[Row]{f, make([]string, len(f.fields))}
}

// read reads a line, by encoding/json if it is not just as Append would have written it:
// another version may say more.
func (in *rowReader[Row]) read(line []byte, row *Row) error {
	*row = *new(Row)
	if in.form.fields != nil && in.quick(line, reflect.ValueOf(row).Elem()) {
		return nil
	}
	*row = *new(Row)
	return json.Unmarshal(line, row)
}

var comma = []byte(",")

// quick reads the fields in their order, and gives up at anything else.
func (in *rowReader[Row]) quick(line []byte, v reflect.Value) bool {
	rest, ok := bytes.CutPrefix(line, []byte("{"))
	if !ok {
		return false
	}
	var before []byte // a field; all but the first have a comma
	for i := range in.form.fields {
		f := &in.form.fields[i]
		b, ok := bytes.CutPrefix(rest, before)
		if ok {
			b, ok = bytes.CutPrefix(b, f.key)
		}
		switch {
		case !ok && !f.omit:
			return false
		case !ok:
			continue
		}
		before = comma
		if rest, ok = in.value(i, b, v.Field(f.index)); !ok {
			return false
		}
	}
	return string(rest) == "}"
}

// value reads one value and returns what is behind it.
func (in *rowReader[Row]) value(i int, b []byte, v reflect.Value) (rest []byte, ok bool) {
	switch in.form.fields[i].kind {
	case formText:
		text, rest, ok := quoted(b)
		if !ok {
			return nil, false
		}
		if in.last[i] != string(text) {
			in.last[i] = string(text)
		}
		v.SetString(in.last[i])
		return rest, true
	case formTime:
		text, rest, ok := quoted(b)
		return rest, ok && v.Addr().Interface().(*time.Time).UnmarshalText(text) == nil
	case formInt:
		negative := len(b) > 0 && b[0] == '-'
		if negative {
			b = b[1:]
		}
		n, rest, ok := digits(b)
		if negative {
			v.SetInt(-int64(n))
		} else {
			v.SetInt(int64(n))
		}
		return rest, ok
	case formUint:
		n, rest, ok := digits(b)
		v.SetUint(n)
		return rest, ok
	case formBool:
		if rest, ok := bytes.CutPrefix(b, []byte("true")); ok {
			v.SetBool(true)
			return rest, true
		}
		return bytes.CutPrefix(b, []byte("false"))
	}
	return nil, false
}

// quoted returns a text in quotes that says nothing by escapes, and what is behind it.
func quoted(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	plain := true // ASCII
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[1:i], b[i+1:], plain || utf8.Valid(b[1:i])
		case c == '\\' || c < ' ':
			return nil, nil, false
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	return nil, nil, false
}

// digits reads a number that has 1 to 18 of them and no zero before others, and returns
// what is behind.
func digits(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		n = n*10 + uint64(b[i]-'0')
	}
	return n, b[i:], i == 1 || 1 < i && i <= 18 && b[0] != '0'
}
