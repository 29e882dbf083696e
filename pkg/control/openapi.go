package control

import (
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// enums are the types that have few values, with these.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[State]():   {string(Active), string(Processing), string(Ready), string(Suspended), string(Delayed), string(Held)},
	reflect.TypeFor[Verdict](): {string(VerdictOK), string(VerdictWarning), string(VerdictCritical)},
	reflect.TypeFor[Right]():   rightNames(),
	reflect.TypeFor[Kind]():    kindNames(),
}

func rightNames() (names []string) {
	for _, r := range Rights() {
		names = append(names, string(r))
	}
	return names
}

func kindNames() (names []string) {
	for _, k := range slices.Sorted(maps.Keys(statuses)) {
		names = append(names, string(k))
	}
	return names
}

const openapiHead = `# Made by "make docs" from the declarations in pkg/control; a test holds it against the server.
openapi: 3.1.0
info:
  title: The control protocol of cgqd
  version: "1"
  description: >-
    HTTP/1.1 over the Unix socket control.sock in the base directory. The caller is who the operating system says.
    Every request is a POST with a JSON object, which may be left out where no field is needed; the server refuses fields
    that it does not know. Within v1 fields are only added, to requests and to answers: ignore those that you do not know.
    x-right is the right that is needed (none: everybody), x-form how the answer comes: a call answers with one
    value; a stream with a JSON value a line, of which the last is the end with the number of rows, or an error, and a list
    without either was cut off; a download with bytes, and behind them, in the trailer, the end (Cgq-End) or an
    error (Cgq-Error), JSON escaped as in a URL; an upload has bytes behind its request, and answers when all are there. It is
    at submit.sock, all others are at control.sock.
servers:
  - url: http://cgqd/v1
`

// WriteOpenAPI writes the description of requests as OpenAPI 3.1.
func WriteOpenAPI(w io.Writer, all []Declaration) error {
	y := &openapi{types: map[string]reflect.Type{}, asked: map[reflect.Type]bool{}}
	y.b.WriteString(openapiHead + "paths:\n")
	for _, d := range all {
		y.request(d)
	}
	y.b.WriteString("components:\n  schemas:\n")
	y.ref(reflect.TypeFor[Error](), false)
	y.ref(reflect.TypeFor[endRow](), false)
	for n := -1; n != len(y.types)+len(y.asked); { // a type may bring others
		n = len(y.types) + len(y.asked)
		for _, t := range maps.Clone(y.types) {
			for _, f := range jsonFields(t) {
				y.schema(f.Type, y.asked[t])
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(y.types)) {
		y.object(name, y.types[name])
	}
	_, err := io.WriteString(w, y.b.String())
	return err
}

// An openapi is a description that is being written.
type openapi struct {
	b     strings.Builder
	types map[string]reflect.Type // that have a schema, by name
	asked map[reflect.Type]bool   // those in requests
}

func (y *openapi) linef(indent int, format string, args ...any) {
	fmt.Fprintf(&y.b, strings.Repeat("  ", indent)+format+"\n", args...)
}

func (y *openapi) request(d Declaration) {
	y.linef(1, "/%s:", d.Path)
	y.linef(2, "post:")
	y.linef(3, "operationId: %s", strings.ReplaceAll(d.Path, "/", "."))
	y.linef(3, "summary: %s", strconv.Quote(d.Doc))
	y.linef(3, "x-form: %s", d.Form)
	if d.Right != Anyone {
		y.linef(3, "x-right: %s", d.Right)
	}
	switch {
	case d.Form == FormUpload:
		y.linef(3, "requestBody:")
		y.linef(4, "description: the request as JSON in one line, then the bytes, in chunks")
		y.linef(4, "content:")
		y.linef(5, "application/octet-stream: {x-first-line: {%s}}", y.ref(d.In, true))
	case d.In != reflect.TypeFor[Nothing]():
		y.linef(3, "requestBody:")
		y.content(4, "application/json", y.ref(d.In, true))
	}
	y.linef(3, "responses:")
	y.linef(4, `"200":`)
	switch d.Form {
	case FormCall, FormUpload:
		y.linef(5, "description: the answer")
		y.content(5, "application/json", y.ref(d.Out, false))
	case FormStream:
		y.linef(5, "description: a row a line, then the end")
		y.linef(5, "content:")
		y.linef(6, "application/x-ndjson:")
		y.linef(7, "schema:")
		y.linef(8, "oneOf:")
		y.linef(9, "- {%s}", y.ref(d.Out, false))
		y.linef(9, "- {type: object, properties: {end: {$ref: \"#/components/schemas/EndRow\"}}, required: [end]}")
		y.linef(9, "- {type: object, properties: {error: {$ref: \"#/components/schemas/Error\"}}, required: [error]}")
	case FormDownload:
		y.linef(5, "description: the bytes; in the trailer Cgq-End or Cgq-Error")
		y.linef(5, "headers:")
		y.linef(6, "Cgq-End: {content: {application/json: {schema: {%s}}}}", y.ref(d.Out, false))
		y.linef(6, "Cgq-Error: {content: {application/json: {schema: {%s}}}}", y.ref(reflect.TypeFor[Error](), false))
		y.linef(5, "content:")
		y.linef(6, "application/octet-stream: {}")
	}
	y.linef(4, "default:")
	y.linef(5, "description: nothing was done")
	y.content(5, "application/json", y.ref(reflect.TypeFor[Error](), false))
}

func (y *openapi) content(indent int, media, schema string) {
	y.linef(indent, "content: {%s: {schema: {%s}}}", media, schema)
}

// ref is the reference to the schema of a struct.
func (y *openapi) ref(t reflect.Type, asked bool) string {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if old, ok := y.types[name]; ok && old != t {
		panic(fmt.Sprintf("control: %v and %v have one name", old, t)) // a declaration of ours is wrong
	}
	y.types[name] = t
	if asked {
		y.asked[t] = true
	}
	return `$ref: "#/components/schemas/` + name + `"`
}

func (y *openapi) object(name string, t reflect.Type) {
	y.linef(2, "%s:", name)
	y.linef(3, "type: object")
	fields := jsonFields(t)
	var always []string
	if len(fields) > 0 {
		y.linef(3, "properties:")
	}
	for _, f := range fields {
		schema := y.schema(f.Type, y.asked[t])
		if !f.omit && !y.asked[t] {
			always = append(always, f.name)
			if k := f.Type.Kind(); k == reflect.Slice || k == reflect.Map || k == reflect.Pointer {
				schema = `oneOf: [{` + schema + `}, {type: "null"}]`
			}
		}
		y.linef(4, "%s: {%s}", f.name, schema)
	}
	if len(always) > 0 {
		y.linef(3, "required: [%s]", strings.Join(always, ", "))
	}
	if y.asked[t] {
		y.linef(3, "additionalProperties: false")
	}
}

// schema is what stands between the braces of the schema of a type.
func (y *openapi) schema(t reflect.Type, asked bool) string {
	switch t {
	case reflect.TypeFor[time.Time]():
		return "type: string, format: date-time"
	case reflect.TypeFor[Seconds]():
		return "type: integer, description: seconds"
	}
	if t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		panic(fmt.Sprintf("control: no schema for %v", t)) // a declaration of ours is wrong
	}
	if values := enums[t]; values != nil {
		return "type: string, enum: [" + strings.Join(values, ", ") + "]"
	}
	switch t.Kind() {
	case reflect.String:
		return "type: string"
	case reflect.Bool:
		return "type: boolean"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "type: integer"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "type: integer, minimum: 0"
	case reflect.Float32, reflect.Float64:
		return "type: number"
	case reflect.Pointer:
		return y.schema(t.Elem(), asked)
	case reflect.Slice:
		return "type: array, items: {" + y.schema(t.Elem(), asked) + "}"
	case reflect.Map:
		return "type: object, additionalProperties: {" + y.schema(t.Elem(), asked) + "}"
	case reflect.Struct:
		return y.ref(t, asked)
	}
	panic(fmt.Sprintf("control: no schema for %v", t)) // a declaration of ours is wrong
}

// A jsonField is a field of a struct as encoding/json sees it.
type jsonField struct {
	reflect.StructField
	name string
	omit bool // left out when it is empty
}

// jsonFields are the fields of a struct, those of embedded structs among them.
func jsonFields(t reflect.Type) (all []jsonField) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			all = append(all, jsonFields(f.Type)...)
		case f.IsExported() && name != "-":
			if name == "" {
				name = f.Name
			}
			all = append(all, jsonField{f, name, strings.Contains(options, "omit")})
		}
	}
	return all
}
