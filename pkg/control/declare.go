package control

import (
	"cmp"
	"reflect"
	"slices"
)

// A Form is how a request is answered.
type Form string

// The forms.
const (
	FormCall     Form = "call"     // one value
	FormStream   Form = "stream"   // rows, then how many there were, or an error
	FormDownload Form = "download" // bytes, then one value, or an error
	FormUpload   Form = "upload"   // one value, when all bytes behind the request are there
)

// A Declaration is a request as a [Mux] knows it, without what serves it.
type Declaration struct {
	Form  Form
	Path  string // below /v1/
	Right Right
	Doc   string
	In    reflect.Type
	Out   reflect.Type // the answer, a row, or what stands behind the bytes
}

func declare[In, Out any](form Form, path string, right Right, doc string) Declaration {
	return Declaration{form, path, right, doc, reflect.TypeFor[In](), reflect.TypeFor[Out]()}
}

// Declarations returns all requests that are served, sorted by path.
func (m *Mux) Declarations() []Declaration {
	all := make([]Declaration, 0, len(m.requests))
	for _, r := range m.requests {
		all = append(all, r.Declaration)
	}
	slices.SortFunc(all, func(a, b Declaration) int { return cmp.Compare(a.Path, b.Path) })
	return all
}
