package server

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/admin"
)

// docs/openapi.yaml is what the server serves: "make docs" writes it anew.
func TestOpenAPIIsThatOfTheServer(t *testing.T) {
	file, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := writeOpenAPI(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, b.Bytes()) {
		t.Error("docs/openapi.yaml is not what the server serves: make docs")
	}
	// And the file itself says every path, and of each every field that travels.
	doc := string(file)
	for _, d := range new(admin.Server).Mux(nil).Declarations() {
		at := strings.Index(doc, "\n  /"+d.Path+":\n")
		if at < 0 {
			t.Errorf("no path %s", d.Path)
			continue
		}
		part, _, _ := strings.Cut(doc[at+1:], "\n  /")
		if right := regexp.MustCompile("x-right: (.*)").FindStringSubmatch(part); d.Right != "" && (right == nil || right[1] != string(d.Right)) {
			t.Errorf("%s: %q, want the right %s", d.Path, right, d.Right)
		}
		for _, typ := range []reflect.Type{d.In, d.Out} {
			if typ.NumField() > 0 {
				holds(t, doc, typ.Name(), travels(t, typ))
			}
		}
	}
}

// travels is what encoding/json makes of a value with something in every field.
func travels(t *testing.T, typ reflect.Type) map[string]any {
	t.Helper()
	v := reflect.New(typ).Elem()
	fill(v)
	b, err := json.Marshal(v.Interface())
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatalf("%v: %v", typ, err)
	}
	return fields
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1e9, 0)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		one := reflect.New(v.Type().Elem()).Elem()
		fill(one)
		v.SetMapIndex(reflect.ValueOf("x").Convert(v.Type().Key()), one)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.Set(reflect.ValueOf(1_000_000_000).Convert(v.Type()))
	}
}

// holds looks the fields of a value up in its schema, and of values in it in theirs.
func holds(t *testing.T, doc, name string, value map[string]any) {
	t.Helper()
	_, schema, ok := strings.Cut(doc, "\n    "+name+":\n")
	if !ok {
		t.Errorf("no schema %s", name)
		return
	}
	var said []string
	for line := range strings.Lines(schema) {
		if !strings.HasPrefix(line, "      ") {
			break
		}
		prop := regexp.MustCompile("^        ([a-z_]+): {(.*)}").FindStringSubmatch(line)
		if prop == nil {
			continue
		}
		said = append(said, prop[1])
		inner := value[prop[1]]
		if list, ok := inner.([]any); ok {
			inner = list[0]
			if !strings.Contains(prop[2], "type: array") {
				t.Errorf("%s.%s is an array", name, prop[1])
			}
		}
		ref := regexp.MustCompile("#/components/schemas/([A-Za-z]+)").FindStringSubmatch(prop[2])
		object, ok := inner.(map[string]any)
		if ok && strings.Contains(prop[2], "additionalProperties") {
			continue // a map
		}
		if ok != (ref != nil) {
			t.Errorf("%s.%s: %s", name, prop[1], prop[2])
		} else if ok {
			holds(t, doc, ref[1], object)
		}
	}
	for field := range value {
		if !slices.Contains(said, field) {
			t.Errorf("%s has a field %s, the schema has not", name, field)
		}
	}
	if len(said) != len(value) {
		t.Errorf("the schema %s has %q, and %d fields travel", name, said, len(value))
	}
}
