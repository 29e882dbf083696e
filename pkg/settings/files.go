package settings

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"

	"cgq/pkg/disk"
)

// maxText bounds a file of a settings directory, in bytes: the Router table may be large.
const maxText = 64<<20 + 1

// Files are the files of a settings directory at one moment, by their names: queue.toml,
// router.txt. They are read once, and checked, edited, applied and remembered as they were
// read. Nobody changes them.
type Files struct {
	text  map[string]string
	wrong map[string]error // what could not be read
}

// counts says whether a file of the directory is one of settings: what an editor leaves
// beside them is not.
func counts(name string) bool {
	return !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, suffix) || strings.HasSuffix(name, ".txt"))
}

// ReadFiles reads all files of a settings directory. One that cannot be read is a problem
// of whoever loads it.
func ReadFiles(fsys disk.FS, dir string) (Files, error) {
	f := Files{map[string]string{}, map[string]error{}}
	names, err := fsys.List(dir)
	if err != nil {
		return f, fmt.Errorf("settings: %w", err)
	}
	for _, name := range names {
		if !counts(name) {
			continue
		}
		text, err := readText(fsys, path.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // it went meanwhile
		case err != nil:
			f.wrong[name] = err
		default:
			f.text[name] = text
		}
	}
	return f, nil
}

func readText(fsys disk.FS, name string) (string, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, 0, maxText+1))
	if len(text) > maxText {
		return "", fmt.Errorf("longer than %d bytes", maxText)
	}
	return string(text), err
}

// Names are the names of the files, sorted.
func (f Files) Names() []string { return slices.Sorted(maps.Keys(f.text)) }

// Text is a file; ok: there is one.
func (f Files) Text(name string) (text string, ok bool) {
	text, ok = f.text[name]
	return text, ok
}

// With is the files with another text of one.
func (f Files) With(name, text string) Files {
	next := Files{maps.Clone(f.text), maps.Clone(f.wrong)}
	if next.text == nil {
		next.text = map[string]string{}
	}
	next.text[name] = text
	delete(next.wrong, name)
	return next
}

// Whole says whether all files could be read.
func (f Files) Whole() bool { return len(f.wrong) == 0 }

// Same says whether two have the same bytes, and could be read.
func (f Files) Same(other Files) bool {
	return f.Whole() && other.Whole() && maps.Equal(f.text, other.text)
}

// Changed are the names of the files that are not the same in both, sorted.
func (f Files) Changed(other Files) []string {
	names := map[string]bool{}
	for name, text := range f.text {
		if was, ok := other.text[name]; !ok || was != text {
			names[name] = true
		}
	}
	for name := range other.text {
		if _, ok := f.text[name]; !ok {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Gone are the files that there were before and are not there any more, sorted.
func (f Files) Gone(before Files) (names []string) {
	for _, name := range before.Names() {
		if _, ok := f.text[name]; !ok && f.wrong[name] == nil {
			names = append(names, name)
		}
	}
	return names
}

// Blame is a [Problems] of a key of a section in a directory, with the line where it stands:
// for what no section can know of itself, such as an address that another has.
func (f Files) Blame(dir string, section Section, key, why string) error {
	p := Problem{File: path.Join(dir, section.Name+suffix), Key: key, Why: why}
	if text, ok := f.Text(section.Name + suffix); ok {
		_, places := check(p.File, []byte(text), section.Value)
		p.Line, p.Column = places[key].line, places[key].column
	}
	return Problems{p}
}

// Version names the bytes of all files: whoever has read them can tell by it whether they
// have changed.
func (f Files) Version() string {
	h := sha256.New()
	for _, name := range f.Names() {
		fmt.Fprintf(h, "%q %s\n", name, hash(f.text[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(f.wrong)) {
		fmt.Fprintf(h, "%q: %q\n", name, f.wrong[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Version names the bytes of one file.
func Version(text string) string { return hash(text)[:16] }

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// FS has the files, in dir, for [Load]: nothing else can be read there, and nothing written.
func (f Files) FS(dir string) disk.FS { return memory{dir, f} }

// A memory is a file system that has Files alone.
type memory struct {
	dir   string
	files Files
}

// Open implements [disk.FS].
func (m memory) Open(name string) (disk.File, error) {
	base := path.Base(name)
	if path.Dir(name) != m.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if err := m.files.wrong[base]; err != nil {
		return nil, err
	}
	text, ok := m.files.text[base]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return memoryFile{strings.NewReader(text)}, nil
}

// List implements [disk.FS].
func (m memory) List(dir string) ([]string, error) {
	if dir != m.dir {
		return nil, nil
	}
	names := append(m.files.Names(), slices.Collect(maps.Keys(m.files.wrong))...)
	slices.SortFunc(names, cmp.Compare[string])
	return names, nil
}

// Create implements [disk.FS].
func (memory) Create(name string) (disk.File, error) { return nil, readOnly("create", name) }

// Rename implements [disk.FS].
func (memory) Rename(old, _ string) error { return readOnly("rename", old) }

// Link implements [disk.FS].
func (memory) Link(old, _ string) error { return readOnly("link", old) }

// Remove implements [disk.FS].
func (memory) Remove(name string) error { return readOnly("remove", name) }

// Mkdir implements [disk.FS].
func (memory) Mkdir(name string) error { return readOnly("mkdir", name) }

// SyncDir implements [disk.FS].
func (memory) SyncDir(dir string) error { return readOnly("sync", dir) }

func readOnly(operation, name string) error {
	return &fs.PathError{Op: operation, Path: name, Err: syscall.EROFS}
}

type memoryFile struct{ *strings.Reader }

func (memoryFile) WriteAt([]byte, int64) (int, error) { return 0, syscall.EROFS }
func (memoryFile) Close() error                       { return nil }
func (memoryFile) Datasync() error                    { return syscall.EROFS }
func (f memoryFile) Size() (int64, error)             { return f.Reader.Size(), nil }
