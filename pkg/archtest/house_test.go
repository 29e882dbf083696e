package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	modulePath = "cgq"
	pkgPrefix  = modulePath + "/pkg/"
)

// A house is the code and its plan.
type house struct {
	packages []*pkg
	floors   map[string]int    // by name below pkg
	twice    []string          // names that the plan has twice
	long     map[string]string // files that may be long, and why
	fset     *token.FileSet
}

// A pkg is the files of one directory.
type pkg struct {
	dir   string // such as pkg/mail
	name  string // below pkg, such as module/smtp; empty: not there
	files []*file
}

type file struct {
	path  string
	test  bool
	lines int
	src   []byte
	ast   *ast.File
}

// code are the files that are built into the program.
func (p *pkg) code() []*file {
	return slices.DeleteFunc(slices.Clone(p.files), func(f *file) bool { return f.test })
}

// imports returns the packages of the house that a file imports, as named below
// pkg, and all other import paths.
func (f *file) imports() (own, other []string) {
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		if name, ok := strings.CutPrefix(p, pkgPrefix); ok {
			own = append(own, name)
		} else {
			other = append(other, p)
		}
	}
	return own, other
}

// at is the place of a node, for a problem.
func (h *house) at(n ast.Node) string {
	p := h.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

var row = regexp.MustCompile(`(?m)^\| *(\d+) *\| *([^|]+?) *\|\s*$`)

// read reads all Go files below cmd and pkg, for every platform, and the plan: rows
// of a table with the number of a floor and the names of its packages.
func read(fsys fs.FS, plan string) (*house, error) {
	h := &house{floors: map[string]int{}, fset: token.NewFileSet()}
	for _, m := range row.FindAllStringSubmatch(plan, -1) {
		floor, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, err
		}
		for _, name := range strings.Fields(strings.ReplaceAll(m[2], "`", "")) {
			if _, ok := h.floors[name]; ok {
				h.twice = append(h.twice, name)
			}
			h.floors[name] = floor
		}
	}
	for _, top := range []string{"cmd", "pkg"} {
		if _, err := fs.Stat(fsys, top); err != nil {
			continue
		}
		if err := fs.WalkDir(fsys, top, h.visit(fsys)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *house) visit(fsys fs.FS) fs.WalkDirFunc {
	return func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if base := path.Base(name); base == "testdata" || base[0] == '.' || base[0] == '_' {
				return fs.SkipDir
			}
			return nil
		case path.Ext(name) != ".go":
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(h.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p := h.pkg(path.Dir(name))
		p.files = append(p.files, &file{name, strings.HasSuffix(name, "_test.go"), bytes.Count(src, []byte("\n")), src, tree})
		return nil
	}
}

// pkg returns the package of a directory, a new one if need be: the walk comes back
// to a directory whose names sort around that of a directory in it.
func (h *house) pkg(dir string) *pkg {
	for _, p := range h.packages {
		if p.dir == dir {
			return p
		}
	}
	p := &pkg{dir: dir}
	p.name, _ = strings.CutPrefix(dir, "pkg/")
	if p.name == dir {
		p.name = ""
	}
	h.packages = append(h.packages, p)
	return p
}
