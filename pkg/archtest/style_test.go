package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const (
	maxMain  = 40  // lines of a main.go
	maxLines = 600 // lines of any file
)

// checkMain: a program is a call; what it does is in pkg, where it is tested.
func checkMain(h *house) (problems []string) {
	for _, p := range h.packages {
		for _, f := range p.code() {
			switch {
			case !strings.HasPrefix(p.dir, "cmd/"):
			case path.Base(f.path) != "main.go":
				problems = append(problems, fmt.Sprintf("%s: a program has main.go alone", f.path))
			case f.lines > maxMain:
				problems = append(problems, fmt.Sprintf("%s: %d lines; want %d at most", f.path, f.lines, maxMain))
			}
		}
	}
	return problems
}

// checkLength: nobody reads a long file; tests are read too.
func checkLength(h *house) (problems []string) {
	long := map[string]bool{}
	for _, p := range h.packages {
		for _, f := range p.files {
			if long[f.path] = f.lines > maxLines; long[f.path] && h.long[f.path] == "" {
				problems = append(problems, fmt.Sprintf("%s: %d lines; want %d at most", f.path, f.lines, maxLines))
			}
		}
	}
	for name := range h.long {
		if !long[name] {
			problems = append(problems, fmt.Sprintf("%s is not long: take it off the list", name))
		}
	}
	return problems
}

// word matches what is written where work was left.
var word = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

// checkWords: what is to be done is an issue; the code is done.
func checkWords(h *house) (problems []string) {
	for _, p := range h.packages {
		for _, f := range p.code() {
			for i, line := range strings.Split(string(f.src), "\n") {
				if w := word.FindString(line); w != "" {
					problems = append(problems, fmt.Sprintf("%s:%d: %s", f.path, i+1, w))
				}
			}
		}
	}
	return problems
}

// checkDocs: every package has a comment, and every exported name.
func checkDocs(h *house) (problems []string) {
	for _, p := range h.packages {
		files := p.code()
		if len(files) == 0 {
			files = p.files
		}
		if !slices.ContainsFunc(files, func(f *file) bool { return f.ast.Doc.Text() != "" }) {
			problems = append(problems, fmt.Sprintf("%s: no package comment", p.dir))
		}
		for _, f := range p.code() {
			for _, d := range f.ast.Decls {
				for _, n := range undocumented(d) {
					problems = append(problems, fmt.Sprintf("%s: %s has no comment", h.at(n), n.Name))
				}
			}
		}
	}
	return problems
}

// knownMethods say all by their name: they are those of the standard library's
// interfaces.
var knownMethods = []string{
	"String", "Error", "Unwrap", "Is", "As", "Read", "Write", "Close", "Seek", "ReadAt", "WriteAt",
	"Len", "Less", "Swap", "Push", "Pop",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "ServeHTTP",
}

// undocumented returns the exported names that a declaration leaves without a
// comment. One comment is enough for a group of constants or variables.
func undocumented(d ast.Decl) (names []*ast.Ident) {
	need := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(docs, func(c *ast.CommentGroup) bool { return c.Text() != "" }) {
			names = append(names, name)
		}
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || exportedType(d.Recv.List[0].Type) && !slices.Contains(knownMethods, d.Name.Name) {
			need(d.Name, d.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					need(name, d.Doc, s.Doc, s.Comment)
				}
			case *ast.TypeSpec:
				doc := s.Doc
				if d.Lparen == token.NoPos {
					doc = d.Doc
				}
				need(s.Name, doc, s.Comment)
				if i, ok := s.Type.(*ast.InterfaceType); ok && s.Name.IsExported() {
					names = append(names, uncommented(i)...)
				}
			}
		}
	}
	return names
}

// uncommented returns the methods of an interface of which no comment in it speaks.
// An interface of one method has one comment.
func uncommented(i *ast.InterfaceType) (names []*ast.Ident) {
	all := ""
	for _, m := range i.Methods.List {
		all += m.Doc.Text() + m.Comment.Text()
	}
	spoken := strings.FieldsFunc(all, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	for _, m := range i.Methods.List {
		if len(i.Methods.List) == 1 || m.Doc.Text()+m.Comment.Text() != "" {
			continue
		}
		for _, name := range m.Names {
			if name.IsExported() && !slices.Contains(spoken, name.Name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// exportedType says whether a receiver is of an exported type.
func exportedType(t ast.Expr) bool {
	switch t := t.(type) {
	case *ast.StarExpr:
		return exportedType(t.X)
	case *ast.IndexExpr:
		return exportedType(t.X)
	case *ast.IndexListExpr:
		return exportedType(t.X)
	case *ast.Ident:
		return t.IsExported()
	}
	return false
}
