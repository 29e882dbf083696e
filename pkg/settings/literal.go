package settings

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// literal is a value, as it is given on a command line, in TOML: 1h, 50M, true, a text as
// it stands, the elements of a list with commas between them; or what is TOML already: a
// text in quotes, a list in brackets, a table in braces.
func literal(t reflect.Type, s string) (string, error) {
	t = deref(t)
	if u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		text, err := unquoted(s)
		if err == nil {
			err = u.UnmarshalText([]byte(text))
		}
		return quote(text), err
	}
	switch t.Kind() {
	case reflect.String:
		text, err := unquoted(s)
		return quote(text), err
	case reflect.Bool:
		switch strings.ToLower(s) {
		case "true", "yes", "on":
			return "true", nil
		case "false", "no", "off":
			return "false", nil
		}
		return "", fmt.Errorf("%q is not true or false", s)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, t.Bits())
		if err != nil {
			return "", fmt.Errorf("%q is not a whole number", s)
		}
		return strconv.FormatInt(n, 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, t.Bits())
		if err != nil {
			return "", fmt.Errorf("%q is not a whole number from 0 on", s)
		}
		return strconv.FormatUint(n, 10), nil
	case reflect.Float32, reflect.Float64:
		if _, err := strconv.ParseFloat(s, 64); err != nil || strings.ContainsAny(s, "xXiInN_pP") {
			return "", fmt.Errorf("%q is not a number", s)
		}
		return floatText(s), nil
	case reflect.Slice, reflect.Array:
		return listLiteral(t, s)
	case reflect.Map:
		if strings.HasPrefix(s, "{") {
			return oneValue(s, unstable.InlineTable)
		}
		return "", fmt.Errorf("%q is not a table in braces, such as { name = 1 }; or set the keys in it", s)
	}
	return "", errors.New("is a table: set the keys in it")
}

// floatText gives a number its point, without which TOML takes it for a whole one, which
// a field for numbers takes, too; only what TOML cannot read is changed.
func floatText(s string) string {
	if s, ok := strings.CutPrefix(s, "."); ok {
		return "0." + s
	}
	if strings.HasSuffix(s, ".") {
		return s + "0"
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && (strings.HasPrefix(s, "0") || strings.ContainsAny(s, "eE")) {
		s = strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
	}
	return s
}

func listLiteral(t reflect.Type, s string) (string, error) {
	s = strings.TrimSpace(s)
	switch elem := deref(t.Elem()); {
	case s == "":
		return "[]", nil
	case strings.HasPrefix(s, "["):
		return oneValue(s, unstable.Array)
	case elem.Kind() == reflect.Slice || elem.Kind() == reflect.Map || isTable(elem):
		return "", fmt.Errorf("%q is not a list in brackets, as TOML writes it", s)
	}
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		text, err := literal(t.Elem(), strings.TrimSpace(part))
		if err != nil {
			return "", err
		}
		list = append(list, text)
	}
	return "[" + strings.Join(list, ", ") + "]", nil
}

// unquoted is a text, or what stands between its quotes.
func unquoted(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) && !strings.HasPrefix(s, "'") {
		return s, nil
	}
	var p unstable.Parser
	p.Reset([]byte("x = " + s))
	if !p.NextExpression() || p.Expression().Kind != unstable.KeyValue || p.Expression().Value().Kind != unstable.String {
		return "", fmt.Errorf("%s is no text in quotes, as TOML writes it", quote(s))
	}
	text := string(p.Expression().Value().Data)
	if p.NextExpression() || p.Error() != nil {
		return "", fmt.Errorf("%s is more than a text in quotes", quote(s))
	}
	return text, nil
}

// oneValue is s when it is one value of TOML.
func oneValue(s string, kind unstable.Kind) (string, error) {
	var p unstable.Parser
	p.KeepComments = true // which one value has not: it would lose them when it is set again
	p.Reset([]byte("x = " + s))
	if !p.NextExpression() || p.Expression().Kind != unstable.KeyValue || p.Expression().Value().Kind != kind {
		return "", fmt.Errorf("%s cannot be understood: %w", quote(s), syntaxError(&p))
	}
	if int(p.Expression().Raw.Length) != len("x = ")+len(s) || hasComment(p.Expression().Value()) {
		return "", fmt.Errorf("%s is more than one value", quote(s))
	}
	return s, nil
}

func syntaxError(p *unstable.Parser) error {
	if p.Error() != nil {
		return p.Error()
	}
	return errors.New("it is another kind of value")
}

func hasComment(n *unstable.Node) bool {
	for it := n.Children(); it.Next(); {
		if it.Node().Kind == unstable.Comment || hasComment(it.Node()) {
			return true
		}
	}
	return false
}

// plainText is a value as literal takes it.
func plainText(v reflect.Value) string {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return ""
		}
		return plainString(string(text))
	}
	switch v.Kind() {
	case reflect.String:
		return plainString(v.String())
	case reflect.Slice, reflect.Array:
		if list, ok := plainList(v); ok {
			return list
		}
	}
	text, err := valueText(v)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(text, ".0")
}

// plainString leaves the quotes away where nothing is lost by that.
func plainString(s string) string {
	if s == "" || s[0] == '"' || s[0] == '\'' || strings.TrimSpace(s) != s || quote(s) != `"`+s+`"` {
		return quote(s)
	}
	return s
}

// plainList has commas between the elements, where they have none.
func plainList(v reflect.Value) (string, bool) {
	list := make([]string, v.Len())
	for i := range list {
		if e := deref(v.Type().Elem()); e.Kind() == reflect.Slice || e.Kind() == reflect.Map || isTable(e) {
			return "", false
		}
		list[i] = plainText(v.Index(i))
		if strings.ContainsAny(list[i], `,"'[`) {
			return "", false
		}
	}
	return strings.Join(list, ", "), len(list) > 0
}
