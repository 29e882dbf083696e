// Package settings is the store of the daemon's settings: one directory with one
// TOML file a section. It reads and checks all sections together, and writes
// the commented files that a new server begins with. What the settings mean is
// the affair of the packages that own the types.
//
// A section is a struct. The tag toml names a key, in lower snake case; the tag doc
// says what it does, its unit, its range and the chapter's name of it, and becomes
// the comment above the key:
//
//	Channels int `toml:"channels" doc:"transfers at the same time, 1 to 1000 (chapter: Processors)"`
//
// A field is a bool, a number, a string, a [Duration], a [Size], any other type with
// UnmarshalText and MarshalText, a slice or a map of these, or a struct, which is a table.
// A slice of structs is a list of tables, which a new server has none of.
package settings

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"cgq/pkg/disk"
)

// A Section is the settings of one package.
type Section struct {
	Name  string // of the file, without .toml
	Value any    // a pointer to a struct that holds the defaults
	Doc   string // what it is, for the reference
}

// A Validator is a section that knows more about its values than their types say.
// The text of an error is the key, with those of the tables around it, and what is wrong:
// "receive.channels: 0 is not in 1 to 1000". In an array of tables the key has the number
// of its table, from 1: "rule[2].name: is empty". Several are joined by [errors.Join].
type Validator interface{ Validate() error }

// A Documenter is a section that writes its own file: one whose values are not a list of
// keys, such as an array of tables.
type Documenter interface{ Document() (string, error) }

// A Problem is one thing in the settings that has to be corrected.
type Problem struct {
	File   string // with the directory
	Line   int    // 0: no line of the file is the cause
	Column int    // in bytes, from 1; 0: it is not known
	Key    string // with those of the tables around it; empty: the file as a whole
	Why    string
	Absent bool // the file may be right: what is wrong is matched by ErrAbsent
}

// ErrAbsent is matched by errors of a [Validator] about what the machine does not have just
// now, such as a user. Nothing of the kind keeps a server from a start: it does without.
var ErrAbsent = errors.New("absent")

// Absent makes an error match [ErrAbsent]; its text stays.
func Absent(err error) error { return absentError{err} }

type absentError struct{ error }

func (e absentError) Unwrap() error      { return e.error }
func (absentError) Is(target error) bool { return target == ErrAbsent }

// Error is file:line: key: why, without what is not known.
func (p Problem) Error() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Why
}

// Problems are all problems of all sections, in the order of their files and lines.
type Problems []Problem

// Absent reports whether all of them are about what the machine does not have just now.
func (ps Problems) Absent() bool {
	return !slices.ContainsFunc(ps, func(p Problem) bool { return !p.Absent })
}

// Error is one line a problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

const (
	suffix  = ".toml"
	maxFile = 1 << 20 // bytes; larger is not a settings file
)

// Load reads the file of each section in dir over the section's value; where there
// is no file or no key, the default stays. Unknown keys and files are problems.
// Its error is Problems, all that there are; then the values must not be used. So a
// caller who has settings in use loads into new ones, and swaps them when all is well.
func Load(fsys disk.FS, dir string, sections ...Section) error {
	var all Problems
	names := make([]string, 0, len(sections))
	for _, s := range sections {
		names = append(names, s.Name)
		all = append(all, load(fsys, path.Join(dir, s.Name+suffix), s.Value)...)
	}
	present, err := fsys.List(dir)
	if err != nil {
		all = append(all, Problem{File: dir, Why: err.Error()})
	}
	for _, file := range present {
		name, isToml := strings.CutSuffix(file, suffix)
		if isToml && counts(file) && !slices.Contains(names, name) {
			all = append(all, Problem{File: path.Join(dir, file),
				Why: "no section has this name; the sections are " + strings.Join(names, ", ")})
		}
	}
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	if len(all) > 0 {
		return all
	}
	return nil
}

// load reads one file. Whatever the file has that value cannot take is found by
// check, which goes on after a problem; the decoder stops at the first.
func load(fsys disk.FS, file string, value any) Problems {
	text, err := read(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return validate(file, value, nil)
	}
	if err != nil {
		return Problems{{File: file, Why: err.Error()}}
	}
	return decode(file, text, value)
}

// Decode reads the text of one section over its value. The file is what problems are
// said to be in. Its error is [Problems].
func Decode(file string, text []byte, value any) error {
	if len(text) > maxFile {
		return Problems{{File: file, Why: fmt.Sprintf("longer than %d bytes", maxFile)}}
	}
	if found := decode(file, text, value); len(found) > 0 {
		return found
	}
	return nil
}

func decode(file string, text []byte, value any) Problems {
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		return Problems{{File: file, Line: 1, Column: 1, Why: "it begins with a byte order mark, which TOML has not: save it as UTF-8 without that"}}
	}
	found, places := check(file, text, value)
	if len(found) > 0 {
		return found
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(value); err != nil {
		p := Problem{File: file, Why: strings.TrimPrefix(err.Error(), "toml: ")}
		if at := (*toml.DecodeError)(nil); errors.As(err, &at) {
			p.Line, p.Column = at.Position()
			p.Key = dotted(at.Key())
		}
		return Problems{p}
	}
	return validate(file, value, places)
}

func read(fsys disk.FS, file string) ([]byte, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxFile+1))
	if len(text) > maxFile {
		return nil, fmt.Errorf("longer than %d bytes", maxFile)
	}
	return text, err
}

// validate asks the section itself. A key without a line is at its default.
func validate(file string, value any, places map[string]place) (found Problems) {
	v, ok := value.(Validator)
	if !ok {
		return nil
	}
	for _, err := range flatten(v.Validate()) {
		p := Problem{File: file, Why: err.Error(), Absent: errors.Is(err, ErrAbsent)}
		if key, why, ok := strings.Cut(p.Why, ": "); ok && !strings.Contains(key, " ") {
			p.Key, p.Why, p.Line, p.Column = key, why, places[key].line, places[key].column
		}
		found = append(found, p)
	}
	return found
}

// flatten returns what was joined.
func flatten(err error) (list []error) {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		list = append(list, flatten(e)...)
	}
	return list
}
